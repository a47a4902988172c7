"""
Kinds of momentum, and where momentum does harm
===============================================

Compare kinds of momentum in one valley, at many learning rates, in three worlds. In the first
the valley stands still. In the second the gradients are noisy. In the third the minimum goes round
in a circle. Heavy ball (Polyak, 1964), Nesterov's momentum (1983), quasi-hyperbolic momentum (Ma &
Yarats, 2019), aggregated momentum (Lucas et al., 2019) and the optimistic gradient (Daskalakis et
al., 2018) all use old gradients. That helps as long as old gradients tell the truth.
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
STEPS, SPACING, SEEDS = (300, 0.2, 2) if SMALL else (300, 0.05, 8)
CURVATURE, START = jnp.array([0.02, 1.0]), jnp.array([-10.0, 2.0])

OPTIMIZERS = {
    "plain": gc.sgd,
    "heavy ball 0.9": partial(gc.sgd, momentum=0.9),
    "heavy ball 0.99": partial(gc.sgd, momentum=0.99),
    "Nesterov 0.9": partial(gc.sgd, momentum=0.9, nesterov=True),
    "QHM": partial(gc.qhm, momentum=0.99),
    "AggMo": gc.aggmo,
    "optimistic": gc.optimistic_gradient_descent,
}
WORLDS = {
    "still": (0.0, 0.0),
    "noisy": (0.5, 0.0),
    "circling": (0.0, 1.0),
}

# %%
# The worlds differ in two numbers: the deviation of the noise on a gradient, and the radius on
# which the minimum goes round, once in 40 steps. So one program per optimizer serves all of them.


def loss_fn(p: jax.Array, center: jax.Array) -> jax.Array:
    return (CURVATURE * (p - center) ** 2).sum() / 2


@partial(jax.jit, static_argnums=0)
@partial(jax.vmap, in_axes=(None, 0, 0, None, None))
@partial(jax.vmap, in_axes=(None, None, None, 0, None))
@partial(jax.vmap, in_axes=(None, None, None, None, 0))
def descend(
    name: str, noise: jax.Array, radius: jax.Array, rate: jax.Array, key: jax.Array
) -> jax.Array:
    tx = OPTIMIZERS[name](rate)

    def step(carry: tuple, now: tuple) -> tuple:
        (p, state), (t, key) = carry, now
        angle = 2 * jnp.pi * t / 40
        center = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        grad = jax.grad(loss_fn)(p, center) + noise * jax.random.normal(key, (2,))
        p, state = tx.step(grad, state, p)
        return (p, state), loss_fn(p, center)

    times = (jnp.arange(STEPS), jax.random.split(key, STEPS))
    return jax.lax.scan(step, (START, tx.init(START)), times)[1]


rates = 0.003 * 10 ** np.arange(0, 3.3, SPACING)
low, high = np.abs(rates - 0.03).argmin(), np.abs(rates - 0.3).argmin()
keys = jax.random.split(jax.random.key(0), SEEDS)
noise, radius = jnp.array(list(WORLDS.values())).T
ends = {}
for name in OPTIMIZERS:
    losses = descend(name, noise, radius, jnp.asarray(rates), keys)
    losses = np.nan_to_num(losses, nan=1e9)
    ends[name] = losses.clip(0, 1e9)[..., -80:].mean((2, 3))  # two rounds of the circle
    still, noisy, circling = ends[name]
    print(
        f"{name:15}: still {still.min():.1e} at best, noisy {noisy.min():.1e} at best, "
        f"{noisy[high]:.1e} at rate 0.3, circling {circling.min():.1e} at best, "
        f"{circling[low]:.1e} at rate 0.03"
    )
standing = float(CURVATURE.sum()) / 4
print(f"standing at the center of the circle: {standing:.1e}")

# %% In the still valley a momentum of 0.9 wins by far, but one of 0.99 overshoots and swings for
# the whole run, and ends far behind none. In noise, momentum makes a rate as noisy as one ten times
# as high: at 0.3 the heavy ball ends several times higher than plain descent. A lower rate repairs
# that. When the minimum circles, no momentum follows it closer than plain descent at its best rate,
# and a low rate may resonate: near 0.03 a momentum of 0.99 is thrown far off the circle, where
# standing still would be better.

fig, axes = plt.subplots(1, 3, figsize=(10, 5.4))
titles = ("a still valley", "noisy gradients", "a minimum that circles")
lows = (1e-14, 1e-2, 2e-3)
for ax, world, title, bottom in zip(axes, range(3), titles, lows, strict=True):
    for i, (name, values) in enumerate(ends.items()):
        ax.plot(rates, values[world], color=f"C{i}", label=name if world == 0 else None)
    ax.set(xscale="log", yscale="log", ylim=(bottom, 20))
    ax.set(xlabel="learning rate", ylabel="loss of the last 80 steps", title=title)
axes[1].axvline(0.3, color="0.3", linestyle=":", linewidth=1)
axes[1].annotate("rate 0.3 ", (0.3, 12), ha="right", fontsize=8, color="0.3")
axes[2].axhline(standing, color="0.3", linestyle=":", linewidth=1)
axes[2].annotate("standing still", (0.0025, standing * 0.8), va="top", fontsize=8)
axes[2].annotate("resonance", (0.04, 8), fontsize=8, color="C2")
fig.legend(loc="outside lower center", ncols=4)
fig.suptitle("Momentum helps in a still valley; in noise and in motion it may harm")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/momentum_variants.png")
print("picture: out/momentum_variants.png")
