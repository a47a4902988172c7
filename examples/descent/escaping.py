"""
Out of local minima and off saddles
===================================

Start many runs on a landscape with a saddle, and many on one with local minima, and count how many
get out. On the line that leads to the saddle the gradient has no part that leads off it, so plain
descent stops there; any noise is enough to leave (Ge et al., 2015). Out of a local minimum it takes
more: noise that can climb the ripple and then fades (Neelakantan et al., 2015), or momentum that
rolls over it. All runs have the same rate.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, RUNS = (400, 200) if SMALL else (2000, 2000)
RATE = 0.05

# %%
# Two landscapes. The first has a saddle at the origin and a minimum on either side. The second is a
# bowl with ripples, so that each ripple holds a local minimum.


def saddle(p: jax.Array) -> jax.Array:
    return p[..., 0] ** 2 / 2 - p[..., 1] ** 2 / 2 + p[..., 1] ** 4 / 4


def ripples(p: jax.Array) -> jax.Array:
    return (0.15 * p**2 + 0.4 * (1 - jnp.cos(3 * p))).sum(-1)


# %%
# The noise is a member of a chain in front of the optimizer. A key of its own for each run makes
# the noise of the runs differ. Momentum of 0.9 adds up ten gradients, so it gets a tenth of the
# variance.

MOMENTUM = {"plain": None, "momentum": 0.9, "noise": None, "noise, momentum": 0.9}


@partial(jax.jit, static_argnums=(0, 1))
@partial(jax.vmap, in_axes=(None, None, None, 0, 0))
def descend(
    loss_fn: Callable, name: str, variance: float, start: jax.Array, key: jax.Array
) -> jax.Array:
    momentum, noisy = MOMENTUM[name], "noise" in name
    eta = variance * noisy * (0.1 if momentum else 1.0)
    tx = gc.chain(gc.add_noise(eta), gc.sgd(RATE, momentum=momentum))

    def step(carry: tuple, key: jax.Array) -> tuple:
        p, state = carry
        p, state = tx.step(jax.grad(loss_fn)(p), state, p, key=key)
        return (p, state), p

    return jax.lax.scan(step, (start, tx.init(start)), jax.random.split(key, STEPS))[1]


# %%
# The starts: on the line that leads to the saddle; and anywhere in the rippled bowl.

keys = jax.random.split(jax.random.key(1), RUNS)
along = jnp.linspace(-2, 2, RUNS)
anywhere = jax.random.uniform(jax.random.key(0), (RUNS, 2), minval=-5, maxval=5)
starts = {saddle: jnp.stack([along, 0 * along], 1), ripples: anywhere}
out, ends = {}, {}
for name in MOMENTUM:
    on_saddle = np.asarray(descend(saddle, name, 1e-4, starts[saddle], keys))
    on_ripples = np.asarray(descend(ripples, name, 400.0, starts[ripples], keys))
    out[name] = (
        100 * (np.abs(on_saddle[..., 1]) > 0.5).mean(0),
        100 * (np.abs(on_ripples) < 1.14).all(-1).mean(0),
    )
    ends[name] = on_ripples[:, -1]
    left, found = out[name][0][-1], out[name][1][-1]
    text = f"{left:5.1f} % left the saddle, {found:5.1f} % in the lowest minimum"
    print(f"{name:15}: {text}")

# %% Plain descent and momentum stop at the saddle, all of them. The slightest noise grows and grows
# there, so that all noisy runs leave, and with momentum they leave sooner. Among the ripples plain
# descent stays in the first minimum that it meets. Momentum rolls over some ripples while it
# is fast, and then stays too. Fading noise takes longer, but in the end more of its runs are in the
# lowest minimum.

fig = plt.figure(figsize=(10, 7))
grid = fig.add_gridspec(2, 4, height_ratios=(1, 1.2))
bounds = np.meshgrid(np.linspace(-5, 5, 120), np.linspace(-5, 5, 120))
height = np.asarray(ripples(jnp.stack(bounds, -1)))
below = fig.add_subplot(grid[1, :2]), fig.add_subplot(grid[1, 2:])
for i, (name, color) in enumerate(zip(MOMENTUM, ("C0", "C2", "C1", "C3"), strict=True)):
    ax = fig.add_subplot(grid[0, i])
    ax.contourf(*bounds, height, 12, cmap="Greys", alpha=0.5)
    ax.plot(*ends[name].T, ".", color=color, markersize=3, alpha=0.3)
    ax.set_title(f"{name}:\n{out[name][1][-1]:.0f} % at the lowest")
    ax.set(xlabel="x", aspect="equal")
    ax.set(xlim=(-5, 5), ylim=(-5, 5), ylabel="y")
    ax.grid(visible=False)
    for ax, values in zip(below, out[name], strict=True):
        ax.plot(np.arange(1, STEPS + 1), values, color=color, label=name)
for ax, title in zip(below, ("off the saddle", "in the lowest minimum"), strict=True):
    ax.set(xscale="log", xlabel="step", ylim=(-3, 103), title=title, ylabel="runs, %")
below[0].legend(loc="center left")
below[0].annotate("plain, momentum: none", (1, 3), fontsize=8)
fig.suptitle("Any noise leaves a saddle; fading noise often finds the lowest minimum")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/escaping.png")
print("picture: out/escaping.png")
