"""
Adagrad's vanishing rate, and its cures
=======================================

Follow the rate that each of four methods gives to common and to rare features. Adagrad (Duchi,
Hazan & Singer, 2011) divides by the root of the sum of all squared gradients, so a rare feature
gets a larger rate than a common one. The sum never shrinks, so every rate falls for ever. RMSprop
(Tieleman & Hinton, 2012), Adadelta (Zeiler, 2012) and Adam (Kingma & Ba, 2015) take an average that
forgets. The target changes seven times, and it is seen who can still follow.
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
PHASE, SEEDS = (500, 2) if SMALL else (1000, 5)
RATES, PHASES, BATCH, COMMON, RARE, PRESENT, NOISE = 13, 8, 4, 10, 50, 0.04, 1.0
WINDOW = PHASE // 10

# %%
# Data: a stream. Ten common features are there in every example, and fifty rare ones in one example
# of 25. A feature that is there is a normal number. The target is their weighted sum plus noise.
# There are eight phases. From each phase to the next all true weights change their sign.

draw = np.random.default_rng(0)
chance = np.concatenate([np.ones(COMMON), np.full(RARE, PRESENT)])
shape = (SEEDS, PHASES * PHASE, BATCH, COMMON + RARE)
x = draw.normal(size=shape) * (draw.uniform(size=shape) < chance)
turns = (-1.0) ** np.arange(PHASES).repeat(PHASE)
truth = turns[:, None] * draw.normal(size=(SEEDS, 1, COMMON + RARE))
y = np.einsum("stbf,stf->stb", x, truth) + NOISE * draw.normal(size=shape[:3])
streams = tuple(jnp.asarray(a, jnp.float32) for a in (x, y, truth))

# %%
# The rate that a weight gets is the number by which its gradient is multiplied. A method keeps in
# its state what it divides by, so this number is computed from the state.

PARTS = slice(None, COMMON), slice(COMMON, None)
methods = {"Adagrad": gc.adagrad, "RMSprop": gc.rmsprop, "Adadelta": gc.adadelta, "Adam": gc.adam}


def rates_of(name: str, rate: jax.Array, state: dict) -> jax.Array:
    (own,) = (slots for member, slots in state.items() if member != "scale_by_learning_rate")
    if name == "Adagrad":
        return rate / jnp.sqrt(own["sum_of_squares"] + 1e-7)
    if name == "RMSprop":
        return rate / jnp.sqrt(own["nu"] + 1e-8)
    if name == "Adadelta":
        return rate * jnp.sqrt((own["e_x"] + 1e-6) / (own["e_g"] + 1e-6))
    return rate / (jnp.sqrt(own["nu"] / (1 - 0.999 ** own["count"])) + 1e-8)


def train(name: str, rate: jax.Array, stream: tuple) -> tuple:
    tx = methods[name](rate)

    def step(carry: tuple, now: tuple) -> tuple:
        (weights, state), (x, y, truth) = carry, now
        above = chance * (weights - truth) ** 2 / 2  # the loss of a weight above the noise
        grads = jax.grad(lambda w: gc.losses.l2_loss(x @ w, y).mean())(weights)
        weights, state = tx.step(grads, state, weights)
        seen = grads != 0  # a rare weight gets no gradient most of the time
        logs = jnp.where(seen, jnp.log(rates_of(name, rate, state)), 0.0)
        common, rare = (jnp.stack([above, logs, seen])[:, i].sum(axis=1) for i in PARTS)
        return (weights, state), jnp.stack([common, rare])

    weights = jnp.zeros(COMMON + RARE)
    return jax.lax.scan(step, (weights, tx.init(weights)), stream)[1]


# %%
# One program runs all rates and seeds of a method. As one tunes on a short run, it is shown with
# the rate that has the smallest loss in the first two phases.

grid = jnp.logspace(-2, 2, RATES)
found = {}
for name in methods:
    sweep = jax.vmap(jax.vmap(partial(train, name), (None, 0)), (0, None))
    history = np.asarray(jax.jit(sweep)(grid, streams), np.float64)
    history = history.reshape(RATES, SEEDS, PHASES * 10, WINDOW, 2, 3).mean(axis=(1, 3))
    total = history[..., 0].sum(axis=-1).reshape(RATES, PHASES, 10).mean(axis=-1)
    best = int(np.nanargmin(total[:, :2].mean(axis=-1)))
    rates = np.exp(history[best, ..., 1] / history[best, ..., 2])
    found[name] = rates, history[best, ..., 0].sum(axis=-1)
    print(
        f"{name:8} rate {float(grid[best]):.3f}: "
        "common {:.4f} to {:.4f}, rare {:.3f} to {:.3f}, ".format(*rates[[9, -1]].T.flat)
        + "loss in phase 2 {:.3f}, 8 {:.3f}".format(*total[best, [1, 7]])
    )

# %% All methods give a rare feature a rate several times that of a common one. Adagrad's rates fall
# from phase to phase. At first this is right: in phase 2 its loss is the smallest, as a falling
# rate averages the noise away. In phase 8 its loss is the largest. The other three meet each change
# as they met the first one. The price is that their loss stops falling while the target stays.

fig, axes = plt.subplot_mosaic([["common", "rare"], ["loss", "loss"]], figsize=(9, 6.6))
time = (np.arange(PHASES * 10) + 0.5) * WINDOW
for color, (name, (rates, loss)) in enumerate(found.items()):
    for ax, curve in zip(axes.values(), (*rates.T, loss), strict=True):
        ax.plot(time, curve, color=f"C{color}", linewidth=2.4 if color == 0 else 1.3, label=name)
for ax in axes.values():
    ax.set(yscale="log", xlabel="step", xlim=(0, PHASES * PHASE))
    for change in time[10::10] - WINDOW / 2:
        ax.axvline(change, color="0.6", linestyle=":", linewidth=0.8)
axes["common"].set(title="rate of a common feature", ylabel="effective rate", ylim=(5e-3, 3))
axes["rare"].set(title="rate of a rare feature", ylim=(5e-3, 3))
axes["loss"].set(title="loss above the noise", ylabel="squared error")
fig.legend(*axes["loss"].get_legend_handles_labels(), ncols=4, loc="outside lower center")
fig.suptitle("Adagrad's rate vanishes: it follows each change of the target (dotted) more slowly")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/vanishing_rate.png")
print("picture: out/vanishing_rate.png")
