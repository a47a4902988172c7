"""
Oscillation, overshooting and momentum in a valley
==================================================

Descend a long, narrow valley at many learning rates, without momentum, with a heavy ball (Polyak,
1964) and with Nesterov's momentum (1983). Across the valley the slope is 50 times as steep as
along it. The steep direction sets the highest rate that is stable, the flat direction sets the
time. Momentum is quick along the valley, but it overshoots the minimum; Nesterov's looks ahead, and
its swings from wall to wall die out sooner.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, RATES = (200, 151) if SMALL else (200, 601)
STEEP, FLAT, DECAY = 1.0, 0.02, 0.9
START = jnp.array([-10.0, 2.0])
LIMIT = 2 / STEEP

# %%
# The loss is a quadratic. Plain descent multiplies the distance along a direction of curvature h by
# 1 - rate h at each step: below 1 / h it creeps, above it changes sides at each step, and above
# 2 / h it grows.


def loss_fn(p: jax.Array) -> jax.Array:
    return (FLAT * p[..., 0] ** 2 + STEEP * p[..., 1] ** 2) / 2


OPTIMIZERS = {
    "plain": gc.sgd,
    "heavy ball": partial(gc.sgd, momentum=DECAY),
    "Nesterov": partial(gc.sgd, momentum=DECAY, nesterov=True),
}


@partial(jax.jit, static_argnums=0)
@partial(jax.vmap, in_axes=(None, 0))
def descend(name: str, rate: jax.Array) -> jax.Array:
    tx = OPTIMIZERS[name](rate)

    def step(carry: tuple, _: None) -> tuple:
        p, state = carry
        p, state = tx.step(jax.grad(loss_fn)(p), state, p)
        return (p, state), p

    return jax.lax.scan(step, (START, tx.init(START)), length=STEPS)[1]


# %%
# Each optimizer is compiled once, and mapped over all rates. The theory has the highest stable rate
# of each in closed form: 2 / L for plain descent, 2 (1 + b) / L for a heavy ball with decay b, and
# 2 (1 + b) / (1 + 2 b) / L for Nesterov, where L is the steepest curvature.

rates = np.linspace(0, 2.2 * LIMIT, RATES)[1:]
heavy = LIMIT * (1 + DECAY)
theory = {"plain": LIMIT, "heavy ball": heavy, "Nesterov": heavy / (1 + 2 * DECAY)}
paths, losses, late = {}, {}, {}
for name in OPTIMIZERS:
    paths[name] = np.asarray(descend(name, jnp.asarray(rates)))
    losses[name] = np.nan_to_num(loss_fn(jnp.asarray(paths[name])), nan=np.inf)
    late[name] = losses[name][:, -20:].max(1)  # a swing passes the minimum at times
    stable = float(rates[late[name] < loss_fn(START)].max())
    best, shown = late[name].argmin(), np.abs(rates - 0.3).argmin()
    beyond = max(0.0, paths[name][shown, :, 0].max())
    print(
        f"{name:10}: stable below {stable:.2f} (theory {theory[name]:.2f}), best rate "
        f"{rates[best]:.2f}, loss {late[name][best]:.1e}, "
        f"overshoots by {beyond:.2f} at rate 0.3"
    )

# %% Without momentum the best rate is near the limit, where the path swings from wall to wall. The
# rate of 0.3 that creeps without momentum arrives with it, but the heavy ball swings across for a
# long time. With Nesterov these swings die out sooner. It pays with the range: its highest stable
# rate is below that of plain descent, while the heavy ball bears nearly twice as much.

SHOWN = {
    "creeps: plain, rate 0.3": ("plain", 0.3, "C0"),
    "swings: plain, rate 1.9": ("plain", 1.9, "C4"),
    "overshoots: heavy ball, rate 0.3": ("heavy ball", 0.3, "C3"),
    "looks ahead: Nesterov, rate 0.3": ("Nesterov", 0.3, "C2"),
}
fig = plt.figure(figsize=(10, 8.5))
grid = fig.add_gridspec(3, 2, height_ratios=(1, 1, 1.5))
bounds = np.meshgrid(np.linspace(-11, 8, 90), np.linspace(-2.6, 2.6, 60))
height, levels = loss_fn(np.stack(bounds, -1)), np.linspace(0.05, 1.8, 8) ** 2
left, right = fig.add_subplot(grid[2, 0]), fig.add_subplot(grid[2, 1])
for i, (title, (name, rate, color)) in enumerate(SHOWN.items()):
    ax = fig.add_subplot(grid[i // 2, i % 2])
    ax.contour(*bounds, height, levels, colors="0.75", linewidths=0.7)
    k = np.abs(rates - rate).argmin()
    ax.plot(*np.vstack([START, paths[name][k, :60]]).T, ".-", color=color)
    ax.plot(0, 0, "k+", markersize=12, markeredgewidth=2)
    ax.set(title=title + ", 60 steps", xlabel="along the valley", ylabel="across")
    left.plot(losses[name][k], color=color, label=f"{name}, {rate}")
left.set(yscale="log", xlabel="step", ylabel="loss", ylim=(1e-12, 10))
left.legend(loc="lower left")
for name, color in zip(OPTIMIZERS, ("C0", "C3", "C2"), strict=True):
    right.plot(rates, np.clip(late[name], 0, 1e9), color=color, label=name)
    right.axvline(theory[name], color=color, linestyle=":", linewidth=1)
right.annotate(" 2 / L,\n the limit of\n plain descent", (LIMIT, 1), color="C0")
right.set(yscale="log", ylim=(1e-13, 1e5), xlabel="learning rate")
right.set_ylabel("loss, highest of the last 20 steps")
right.legend(loc="lower right", bbox_to_anchor=(0.82, 0))
fig.suptitle("A high rate swings across the valley; momentum speeds along it")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/oscillation.png")
print("picture: out/oscillation.png")
