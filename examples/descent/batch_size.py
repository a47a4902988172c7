"""
The batch size and the gradient noise scale
===========================================

Count the steps to one loss for many batch sizes, each at its best rate. McCandlish, Kaplan & Amodei
(2018) measure the gradient noise scale in a single run: the variance of the gradients of examples,
divided by the squared length of their mean. Far below it, twice the batch halves the steps and
costs no more examples. Far above it, a larger batch saves no step.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from sklearn.datasets import load_digits

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
BATCHES = np.array([4, 32, 512] if SMALL else [2**k for k in range(2, 11)])
RATES = jnp.array([0.1, 0.4, 1.6] if SMALL else [0.05 * 2**k for k in range(7)])
SEEDS, EXAMPLES, TARGET = (1, 2000, 1.9) if SMALL else (3, 20_000, 1.82)

# %% Digits, and a network with one hidden layer. Half of the labels are replaced by chance each
# time an example is drawn, so the noise does not end when the digits are learned. The target is the
# expected loss; no network comes below 1.68.
images, digits = load_digits(return_X_y=True)
x = jnp.asarray(images / 16, jnp.float32)
chances = gc.losses.smooth_labels(jax.nn.one_hot(digits, 10), 0.5)
linear = partial(nnx.Linear, rngs=nnx.Rngs(0))
graph, params = nnx.split(nnx.Sequential(linear(64, 32), nnx.tanh, linear(32, 10)))
start = nnx.as_pure(params), gc.sgd(1.0).init(nnx.as_pure(params))
random = np.random.default_rng(0)


def draw(*shape: int) -> tuple:
    chosen, other = random.integers(len(x), size=shape), random.integers(10, size=shape)
    return chosen, np.where(random.random(shape) < 0.5, other, digits[chosen])


def loss_fn(params: dict, x: jax.Array, chances: jax.Array) -> jax.Array:
    return gc.losses.softmax_cross_entropy(nnx.merge(graph, params)(x), chances).mean()


def train(rate: jax.Array, now: tuple, drawn: tuple) -> tuple:
    def step(now: tuple, batch: tuple) -> tuple:
        grads = jax.grad(loss_fn)(now[0], x[batch[0]], jax.nn.one_hot(batch[1], 10))
        return gc.sgd(rate).step(grads, now[1], now[0]), None

    now, _ = jax.lax.scan(step, now, drawn)
    return now, loss_fn(now[0], x[:400], chances[:400])


# %% One program per batch size trains all rates and seeds together.


@jax.jit
@partial(jax.vmap, in_axes=(0, None))
@partial(jax.vmap, in_axes=(None, 0))
def steps_to_target(rate: jax.Array, drawn: tuple) -> jax.Array:
    loss = jax.lax.scan(partial(train, rate), start, drawn)[1]
    count = drawn[0].shape[1] * (1 + (loss < TARGET).argmax())
    return jnp.where(loss.min() < TARGET, count, jnp.inf)


taken = []
for batch in BATCHES:
    every = max(1, 32 // batch)
    drawn = draw(SEEDS, 60 + EXAMPLES // (every * batch), every, batch)
    taken.append(steps_to_target(RATES, drawn).mean(1))
steps, rates = np.min(taken, 1), np.asarray(RATES)[np.argmin(taken, 1)]

# %% The noise scale, estimated from the gradients of single examples, along one run with batches of
# 64, until it has reached the target.


def ten_steps(now: tuple, drawn: tuple) -> tuple:
    chosen, labels = drawn[0].ravel(), jax.nn.one_hot(drawn[1].ravel(), 10)
    each = jax.vmap(jax.grad(loss_fn), (None, 0, 0))(now[0], x[chosen], labels)
    now, loss = train(0.3, now, drawn)
    return now, (loss, gc.curvature.gradient_noise_scale(each))


loss, found = jax.lax.scan(ten_steps, start, draw(40, 10, 64))[1]
scales = np.asarray(found.scale)[: 1 + (loss < TARGET).argmax()]

# %% The law of McCandlish et al. says that the steps are a minimum times 1 + bend / batch. Both are
# fitted to the steps counted, by least relative squares.

once, fewest = np.polyfit(1 / BATCHES, steps, 1, w=1 / steps)
bend, noise = once / fewest, scales.mean()
for n, s, rate in zip(BATCHES, steps, rates, strict=True):
    print(f"batch {n:4}: {s:5.0f} steps, {n * s:6.0f} examples, rate {rate:.2f}")
print(f"noise scale: mean {noise:.0f}, bend of the steps: {bend:.0f}")

# %% Small batches share the cost: twice the batch, half the steps. Large ones do not. The noise
# scale is no constant, but its mean over the run is of the order of the bend, within a factor of a
# few: it tells where larger batches stop paying off before any other batch has been tried.

fig, axes = plt.subplots(1, 2, figsize=(10, 4.6))
for times, label in enumerate(("steps", "examples looked at")):
    ax = axes[times]
    ax.axvspan(scales.min(), scales.max(), color="C1", alpha=0.15, linewidth=0)
    ax.axvline(noise, color="C1", label="noise scale: mean and range")
    ax.loglog(BATCHES, steps * BATCHES**times, "o", color="C0", label="counted")
    law = fewest * (1 + bend / BATCHES) * BATCHES**times
    ax.plot(BATCHES, law, "--", color="C0", label=f"law, bend at {bend:.0f}")
    ax.set(xlabel="examples in a batch", ylabel=f"{label} to a loss of {TARGET}")
axes[0].legend()
fig.suptitle("The gradient noise scale tells where larger batches stop paying off")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/batch_size.png")
print("picture: out/batch_size.png")
