"""
Averages of weights: good at any time, without a schedule
=========================================================

Train a small network on handwritten digits with noisy steps, and evaluate it in four ways. A
constant rate never settles. A cosine schedule lets the rate fall to zero, so it is good at its end,
which has to be known before. An exponential moving average of the weights (Polyak & Juditsky, 1992)
takes the noise out of the run with the constant rate. Schedule-free AdamW (Defazio et al., 2024)
takes gradients near such an average. The moving average is as good half way as the schedule is at
its end.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from sklearn.datasets import load_digits

import gradchain as gc
from gradchain import losses

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
BLOCKS, EVERY, SEEDS = (12, 40, 2) if SMALL else (40, 50, 8)
STEPS, BATCH, RATE = BLOCKS * EVERY, 16, 1e-2

# %%
# Two thirds of the images are for training. A fifth of their labels is wrong, drawn by chance: so
# gradients stay noisy. The labels of the other images are right.

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(images))
images, labels = jnp.float32(images[order] / 16.0), jnp.asarray(labels[order])
x, x_test, y_test = images[:1200], images[1200:], labels[1200:]
is_wrong = jax.random.bernoulli(jax.random.key(1), 0.2, (1200,))
by_chance = jax.random.randint(jax.random.key(2), (1200,), 0, 10)
y = jnp.where(is_wrong, by_chance, labels[:1200])


class Model(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(64, 64, rngs=rngs)
        self.head = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(nnx.relu(self.hidden(x)))


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = nnx.merge(graph, params)(x)
    return losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


# %%
# ``eval_params`` finds the weights to evaluate with, in whatever state keeps an average. Without
# one they are the parameters. All runs, each with its seed, train side by side.

graph = nnx.graphdef(Model(nnx.Rngs(0)))
starts = [nnx.as_pure(nnx.state(Model(nnx.Rngs(seed)))) for seed in range(SEEDS)]
starts = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)


def curves_of(tx: gc.GradientTransformation) -> np.ndarray:
    """The test losses of parameters and of their average: run, block, which of them."""

    def train(params: dict, key: jax.Array) -> jax.Array:
        def step(carry: tuple, key: jax.Array) -> tuple:
            params, state = carry
            rows = jax.random.randint(key, (BATCH,), 0, len(x))
            grads = jax.grad(loss_fn)(params, x[rows], y[rows])
            return tx.step(grads, state, params), None

        def block(carry: tuple, keys: jax.Array) -> tuple:
            params, state = jax.lax.scan(step, carry, keys)[0]
            shown = (params, gc.eval_params(state, params))
            tested = jnp.stack([loss_fn(weights, x_test, y_test) for weights in shown])
            return (params, state), tested

        keys = jax.random.split(key, (BLOCKS, EVERY))
        return jax.lax.scan(block, (params, tx.init(params)), keys)[1]

    keys = jax.random.split(jax.random.key(3), SEEDS)
    return np.asarray(jax.jit(jax.vmap(train))(starts, keys))


schedule = gc.cosine_decay_schedule(RATE, STEPS)
averaged = gc.average_weights(gc.adamw(RATE), decay=0.99)
constant, average = curves_of(averaged).T.swapaxes(1, 2)
curves = {
    "constant rate": constant,
    "its moving average": average,
    "cosine schedule": curves_of(gc.adamw(schedule))[..., 0],
    "schedule-free": curves_of(gc.schedule_free_adamw(RATE))[..., 1],
}
for name, found in curves.items():
    half, end = found[:, BLOCKS // 2 - 1].mean(), found[:, -3:].mean()
    print(f"{name:18}: test loss {half:.3f} half way, {end:.3f} at the end")

# %%
# The moving average lags in the first steps. Half way it is about where the schedule ends, and
# falls no more, because the network begins to learn the wrong labels. Schedule-free is below the
# constant rate too, here without a search for its own rate. The constant rate stays noisy.

fig, ax = plt.subplots(figsize=(8, 5))
steps = EVERY * np.arange(1, BLOCKS + 1)
for color, (name, found) in enumerate(curves.items()):
    ax.plot(steps, found.mean(axis=0), color=f"C{color}", label=name, linewidth=1.8)
    low, high = found.min(axis=0), found.max(axis=0)
    ax.fill_between(steps, low, high, color=f"C{color}", alpha=0.12)
ax.set(xlabel="step", ylabel="test loss (nats)", xlim=(0, STEPS), ylim=(0.3, 0.65))
title = "The average of the weights settles without a schedule"
ax.set_title(f"{title} (mean and range, {SEEDS} runs)")
ax.legend()
Path("out").mkdir(exist_ok=True)
fig.savefig("out/averages.png")
print("picture: out/averages.png")
