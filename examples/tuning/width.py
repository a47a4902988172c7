"""
Rates that do not depend on the width
=====================================

Tune the learning rate on a narrow network and keep it for a wide one. With one rate for all layers
the best one falls as networks get wider, because all inputs of a unit change together. The maximal
update parametrization, muP (Yang et al., 2022), divides the rates of the hidden and the last layer
by the width, and begins with zeros in the last. In a chain this is ``scale_by_path``.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from rich.progress import track
from sklearn.datasets import load_digits

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, WIDTHS = (40, (16, 64, 256)) if SMALL else (150, (16, 64, 256, 1024))
BASE, BATCH = WIDTHS[0], 64
RATES = jnp.logspace(-3.5, 0, 8) if SMALL else jnp.logspace(-4, 0, 13)

images, labels = load_digits(return_X_y=True)
x, y = jnp.asarray(images / 16 - 0.3, jnp.float32), jnp.asarray(labels)
rows = np.random.default_rng(0).integers(0, len(x), (STEPS, BATCH))

# %% Two hidden layers, both of the same width. The network returns the inputs of the second too.


class Net(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs):
        self.first = nnx.Linear(64, width, rngs=rngs)
        self.hidden = nnx.Linear(width, width, rngs=rngs)
        self.last = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        hidden = self.hidden(nnx.relu(self.first(x)))
        return self.last(nnx.relu(hidden)), hidden


# %% All rates train in one program for each width, with muP and without it: its factors are numbers
# like the rate. The losses are those of the last quarter of the steps, and ``moved`` says how far
# the hidden units are from where they were at the start.


@partial(jax.jit, static_argnums=0)
def train(width: int, rates: jax.Array, is_mup: jax.Array) -> tuple[jax.Array, jax.Array]:
    graph, made = nnx.split(Net(width, nnx.Rngs(0)))

    def loss(params: dict, rows: jax.Array) -> jax.Array:
        logits, _ = nnx.merge(graph, params)(x[rows])
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

    def run(setting: tuple) -> tuple[jax.Array, jax.Array]:
        rate, is_mup = setting
        factor = jnp.where(is_mup, BASE / width, 1.0)
        factors = {"hidden/kernel": factor, "last/kernel": factor}
        tx = gc.chain(gc.adam(rate), gc.scale_by_path(factors))
        start = nnx.as_pure(made)
        start["last"]["kernel"] = jnp.where(is_mup, 0.0, start["last"]["kernel"])
        hidden = lambda params: nnx.merge(graph, params)(x[:BATCH])[1]

        def step(carry: tuple, rows: jax.Array) -> tuple:
            value, grads = jax.value_and_grad(loss)(carry[0], rows)
            params, state = tx.step(grads, carry[1], carry[0])
            moved = jnp.sqrt(jnp.mean((hidden(params) - hidden(start)) ** 2))
            return (params, state), (value, moved)

        _, (losses, moved) = jax.lax.scan(step, (start, tx.init(start)), rows)
        return losses[-(STEPS // 4) :].mean(), moved

    return jax.lax.map(run, (rates, is_mup))


settings = jnp.tile(RATES, 2), jnp.repeat(jnp.array([False, True]), len(RATES))
found = {}
for width in track(WIDTHS, "widths", disable=not sys.stdout.isatty()):
    losses, moved = (np.asarray(a) for a in train(width, *settings))
    found[width] = losses.reshape(2, -1), moved.reshape(2, len(RATES), STEPS)
NAMES = "one rate for all layers", "muP"
fig, axes = plt.subplots(1, 3, figsize=(10, 4))
at = int(jnp.argmin(jnp.abs(RATES - 0.01)))
for is_mup, name in enumerate(NAMES):
    best = {}
    for i, width in enumerate(WIDTHS):
        losses = np.nan_to_num(found[width][0][is_mup], nan=np.inf)
        best[width] = RATES[losses.argmin()]
        print(f"{name}, width {width}: best rate {best[width]:.4f}, loss {losses.min():.4f}")
        axes[is_mup].plot(RATES, losses, "o-", color=f"C{i}", markersize=3, label=f"{width}")
        axes[is_mup].plot(best[width], losses.min(), "*", color=f"C{i}", markersize=12)
    print(f"{name}: best rate, narrowest over widest {best[BASE] / best[WIDTHS[-1]]:.1f}")
    moved = [found[width][1][is_mup, at, 2] for width in WIDTHS]
    print(f"{name}: hidden units move {moved[-1] / moved[0]:.2f} times as far in the widest")
    axes[2].plot(WIDTHS, moved, ("o:", "o-")[is_mup], color="k", markersize=3, label=name)

# %% With one rate for all layers the best rate falls as the width grows. With muP it stays where it
# is, within the grid, so that it can be found on the narrow network. It need not be better at its
# own best rate: here the widest network learns more with one rate, if that is found anew. The check
# of coordinates shows the cause: after three steps at one rate hidden units have moved about as far
# in all widths under muP, and farther and farther without.

for ax, name in zip(axes, NAMES, strict=False):
    ax.set(xscale="log", yscale="log", ylim=(4e-3, 4), title=name)
    ax.set(xlabel="learning rate", ylabel="training loss, end of the run")
axes[1].legend(title="width", loc="lower left")
axes[2].set(xscale="log", yscale="log", title=f"after 3 steps at rate {RATES[at]:.2g}")
axes[2].set(xlabel="width", ylabel="root mean square move of hidden units")
axes[2].legend(loc="upper left")
fig.suptitle("muP: the best rate (star) of a narrow network is that of a wide one")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/width.png")
print("picture: out/width.png")
