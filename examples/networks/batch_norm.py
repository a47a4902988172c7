"""
Batch norm and the range of learning rates
==========================================

Train the same network with and without batch norm (Ioffe & Szegedy, 2015), at many learning rates.
Batch norm gives each unit the mean 0 and the variance 1 over a batch, so the size of the weights
before it no longer matters: where a step was too long, the weights become longer and the next steps
turn them less. The range of rates at which the network trains grows, and mostly upward (Bjorck et
al., 2018). Each at its best rate, the one with batch norm learns faster in the first steps.
"""

import sys
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, WIDTH, DEPTH, COUNT = (250, 32, 3, 7) if SMALL else (600, 64, 6, 16)
BATCH, ENOUGH = 64, 0.8 if SMALL else 0.9
RATES = np.geomspace(3e-3, 30.0, COUNT).astype(np.float32)

images, labels = load_digits(return_X_y=True)
split = train_test_split(images / 16, labels, test_size=0.25, stratify=labels, random_state=0)
x, x_held, y, y_held = map(jnp.asarray, split)


class MLP(nnx.Module):
    def __init__(self, normed: bool, rngs: nnx.Rngs):
        he = nnx.initializers.he_normal()
        sizes = [64, *[WIDTH] * DEPTH]
        linear = lambda m, n: nnx.Linear(m, n, kernel_init=he, rngs=rngs)
        norm = lambda n: nnx.BatchNorm(n, momentum=0.9, rngs=rngs)
        self.layers = nnx.List(linear(m, n) for m, n in pairwise(sizes))
        self.norms = nnx.List(norm(n) if normed else nnx.identity for n in sizes[1:])
        self.head = nnx.Linear(WIDTH, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = nnx.relu(norm(layer(x)))
        return self.head(x)


# %% The rate is an argument of the optimizer, so ``vmap`` over it trains a network at each rate.
# The running means of batch norm are no parameters: they are carried beside the parameters, and
# used when the network is evaluated.


def train(normed: bool, rate: jax.Array) -> tuple:
    model = MLP(normed, nnx.Rngs(0))
    graph, params, means = nnx.split(model, nnx.Param, nnx.BatchStat)
    tx = gc.sgd(rate)

    def loss_fn(params: nnx.State, means: nnx.State, x: jax.Array, y: jax.Array) -> tuple:
        model = nnx.merge(graph, params, means, copy=True)
        loss = gc.losses.softmax_cross_entropy_with_integer_labels(model(x), y).mean()
        return loss, nnx.state(model, nnx.BatchStat)

    def step(carry: tuple, key: jax.Array) -> tuple:
        params, means, state = carry
        batch = jax.random.randint(key, (BATCH,), 0, len(x))
        grad = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, means), grads = grad(params, means, x[batch], y[batch])
        params, state = tx.step(grads, state, params)
        return (params, means, state), loss

    keys = jax.random.split(jax.random.key(0), STEPS)
    (params, means, _), losses = jax.lax.scan(step, (params, means, tx.init(params)), keys)
    model = nnx.merge(graph, params, means)
    model.eval()
    return losses, (model(x_held).argmax(axis=1) == y_held).mean()


runs = {}
for name, normed in {"without": False, "with": True}.items():
    losses, accuracy = jax.jit(jax.vmap(lambda rate, on=normed: train(on, rate)))(RATES)
    runs[name] = np.asarray(losses), np.asarray(accuracy)
    good, best = RATES[runs[name][1] >= ENOUGH], int(np.argmax(runs[name][1]))
    print(
        f"{name:7} batch norm: {len(good)} of {COUNT} rates train, {good.min():.3g} to "
        f"{good.max():.3g}; best {RATES[best]:.3g}, held-out accuracy {accuracy[best]:.3f}"
    )

# %% With batch norm the network trains at rates that are about ten times as high. At low rates the
# two are alike. At the best rates batch norm is ahead at first, and the loss has fewer spikes.

fig, axes = plt.subplots(1, 2, figsize=(10, 4.5))
for (name, (losses, accuracy)), color in zip(runs.items(), ("C3", "C0"), strict=True):
    axes[0].plot(RATES, accuracy, "o-", color=color, label=f"{name} batch norm")
    best = int(np.argmax(accuracy))
    smooth = np.convolve(losses[best], np.ones(10) / 10, "valid")
    axes[1].plot(smooth, color=color, label=f"{name} batch norm, rate {RATES[best]:.2g}")
axes[0].axhline(ENOUGH, color="0.3", linestyle="--", linewidth=0.9)
axes[0].text(RATES[-1], ENOUGH, "trains", ha="right", va="bottom", color="0.3")
axes[0].set(title="all rates", xlabel="learning rate", xscale="log", ylim=(0, 1))
axes[0].set(ylabel="accuracy on held-out images")
axes[1].set(title="the best rates", xlabel="step", yscale="log")
axes[1].set(ylabel="training loss, mean of ten batches")
for ax in axes:
    ax.legend()
fig.suptitle(f"Batch norm widens the range of learning rates ({STEPS} steps)")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/batch_norm.png")
print("picture: out/batch_norm.png")
