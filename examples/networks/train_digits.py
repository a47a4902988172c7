"""
A small convolutional network with Flax NNX
===========================================

Train on handwritten digits, 8 by 8 pixels, from scikit-learn. The optimizer is a chain of four
members: clip the gradient, take Adam's direction, add weight decay on the kernels, scale by a
learning rate that warms up and decays. ``nnx.Optimizer`` takes it as it is.
"""

import sys
from pathlib import Path

import chex
import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
EPOCHS, BATCH = 2 if "--small" in sys.argv else 20, 64

# %%
# Data: 1,797 images, a quarter of them held out.

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype(np.float32) / 16
x, x_held, y, y_held = train_test_split(images, labels, stratify=labels, random_state=0)

# %%
# The model: two convolutions with batch norm, pooling, dropout, a linear layer.


class CNN(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        init = nnx.initializers.he_normal()
        self.conv1 = nnx.Conv(1, 32, kernel_size=(3, 3), kernel_init=init, rngs=rngs)
        self.norm1 = nnx.BatchNorm(32, momentum=0.9, rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, kernel_size=(3, 3), kernel_init=init, rngs=rngs)
        self.norm2 = nnx.BatchNorm(64, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.head = nnx.Linear(4 * 4 * 64, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm1(self.conv1(x)))
        x = nnx.relu(self.norm2(self.conv2(x)))
        x = nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        return self.head(self.dropout(x.reshape(len(x), -1)))


# %% The optimizer. It is a value, and prints as the code that makes it; its state is a nested dict
# of arrays.

steps = EPOCHS * (len(x) // BATCH)
rate = gc.warmup_cosine_decay_schedule(0.0, 3e-3, warmup_steps=steps // 10, decay_steps=steps)
tx = gc.chain(
    gc.clip_by_global_norm(1.0),
    gc.scale_by_adam(),
    gc.add_decayed_weights(0.01, where=gc.weight_matrices()),
    gc.scale_by_learning_rate(rate),
)
model = CNN(nnx.Rngs(0))
optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
print(tx)
print(f"optimizer state: {sum(a.nbytes for a in jax.tree.leaves(optimizer.opt_state)):,} bytes")

# %% One compiled step for shuffled mini-batches, which also gives the norm of the gradient. Chex
# checks while JAX traces it, at no cost in the run: shapes fit, and it is traced once.


def loss_fn(model: CNN, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = model(x)
    chex.assert_shape([logits, y], [(BATCH, 10), (BATCH,)])
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@nnx.jit
@chex.assert_max_traces(n=1)
def train_step(model: CNN, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> tuple:
    loss, grads = nnx.value_and_grad(loss_fn)(model, x, y)
    metrics = loss, rate(optimizer.step[...]), gc.global_norm(grads)
    optimizer.update(model, grads)
    return metrics


shuffle, size, history = np.random.default_rng(0), steps // EPOCHS * BATCH, []
order = np.concatenate([shuffle.permutation(len(x))[:size] for _ in range(EPOCHS)])
columns = BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), "{task.description}"
with Progress(*columns) as progress:
    task = progress.add_task("", total=steps)
    for batch in order.reshape(steps, BATCH):
        history.append([float(m) for m in train_step(model, optimizer, x[batch], y[batch])])
        text = "loss {:.4f}  rate {:.1e}  gradient norm {:.3f}".format(*history[-1])
        progress.update(task, advance=1, description=text)

model.eval()
held_out = float((nnx.jit(CNN.__call__)(model, x_held).argmax(axis=1) == y_held).mean())
print(f"held-out accuracy: {held_out:.4f}")

loss, rates, norm = np.array(history).T
smooth = np.convolve(loss, np.ones(25) / 25, "valid")
fig, axes = plt.subplots(3, 1, sharex=True, figsize=(8, 7), height_ratios=(2, 1, 1))
axes[0].plot(loss, color="C0", alpha=0.3, linewidth=0.8, label="each mini-batch")
axes[0].plot(range(12, steps - 12), smooth, color="C0", label="mean of 25 steps")
axes[0].set(ylabel="cross-entropy loss", yscale="log")
axes[0].set_title(f"A small CNN: {held_out:.1%} of the held-out digits are right")
axes[1].plot(rates, color="C1")
axes[1].set(ylabel="learning rate", ylim=(0, None))
axes[2].plot(norm, color="C2", linewidth=0.8)
axes[2].axhline(1.0, color="0.3", linestyle="--", linewidth=0.8, label="clipped above")
axes[2].set(ylabel="gradient norm", yscale="log", xlabel="step", xlim=(0, steps))
axes[0].legend()
axes[2].legend()
Path("out").mkdir(exist_ok=True)
fig.savefig("out/train_digits.png")
print("picture: out/train_digits.png")
