"""
32 learning rates in one compiled program
=========================================

Train a small MLP (Flax Linen) on handwritten digits with 32 learning rates at once. An optimizer is
a tree of its hyperparameters, so ``jax.vmap`` makes a population of Adams, one for each learning
rate, in a program that is compiled once.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import linen as nn
from matplotlib.colors import LogNorm
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
EPOCHS, BATCH = 4 if "--small" in sys.argv else 20, 64
rates = jnp.logspace(-5, 0, 32)

images, labels = load_digits(return_X_y=True)
split = train_test_split(
    images.astype(np.float32) / 16, labels, test_size=0.25, stratify=labels, random_state=0
)
x, x_held, y, y_held = map(jnp.asarray, split)


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(10)(nn.relu(nn.Dense(64)(x)))


model = MLP()


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = model.apply({"params": params}, x)
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


# %%
# Training as for a single network. The optimizer is an argument like the parameters.

traces = []


def train(tx: gc.GradientTransformation, params: dict, batches: jax.Array) -> tuple:
    traces.append(tx)  # Python runs this line once for each program that is compiled

    def train_step(carry: tuple, batch: jax.Array) -> tuple:
        params, state = carry
        loss, grads = jax.value_and_grad(loss_fn)(params, x[batch], y[batch])
        return tx.step(grads, state, params), loss

    (params, _), losses = jax.lax.scan(train_step, (params, tx.init(params)), batches)
    right = model.apply({"params": params}, x_held).argmax(axis=1) == y_held
    return losses, loss_fn(params, x_held, y_held), right.mean()


# %% The population: an Adam for each rate. ``vmap`` over the optimizers trains a network with each;
# the first parameters and the mini-batches are shared.

population = jax.vmap(gc.adam)(rates)
shuffle, size = np.random.default_rng(0), len(x) // BATCH * BATCH
rows = np.concatenate([shuffle.permutation(len(x))[:size] for _ in range(EPOCHS)])
params = model.init(jax.random.key(0), x[:1])["params"]
train_all = jax.jit(jax.vmap(train, in_axes=(0, None, None)))
found = train_all(population, params, rows.reshape(-1, BATCH))
curves, held_loss, accuracy = map(np.asarray, found)
best = int(held_loss.argmin())
print(f"learning rates: {len(rates)}, compiled programs: {len(traces)}")
print(f"best learning rate: {rates[best]:.1e}")
print(f"held-out accuracy: {accuracy[best]:.4f}")

# %%
# The loss of each network during training, and at the end.

box = np.ones(21)
count = np.convolve(np.ones(curves.shape[1]), box, "same")
norm, colours = LogNorm(rates[0], rates[-1]), plt.get_cmap("viridis")
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, width_ratios=(3, 2))
for rate, curve in zip(rates, curves, strict=True):
    left.plot(np.convolve(curve, box, "same") / count, color=colours(norm(rate)), linewidth=1)
left.set(
    xlabel="step", xlim=(0, curves.shape[1]), title=f"while training: mean of {len(box)} steps"
)
left.set(ylabel="cross-entropy loss", yscale="log", ylim=(5e-4, 10))
last = curves[:, -(len(x) // BATCH) :].mean(axis=1)
right.plot(rates, last, color="0.6", label="training, last epoch")
right.scatter(rates, held_loss, c=rates, norm=norm, zorder=3, s=22, label="held-out")
label = f"best held-out: {rates[best]:.1e}"
right.axvline(rates[best], color="0.3", linestyle="--", linewidth=0.8, label=label)
right.set(xlabel="learning rate", xscale="log", title="in the end")
right.legend(loc="lower left")
fig.colorbar(plt.cm.ScalarMappable(norm, colours), ax=(left, right), label="learning rate")
fig.suptitle(f"{len(rates)} learning rates of Adam on handwritten digits, in one program")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/sweep_learning_rates.png")
print("picture: out/sweep_learning_rates.png")
