"""
Overfitting: L1, L2, decoupled decay and early stopping
=======================================================

Train a network on 150 images of which one label in ten is wrong. It learns all of them by heart,
and after a while the loss on other images rises. Four remedies are compared: an L1 penalty by a
proximal step (Tibshirani, 1996), an L2 penalty in the gradient, weight decay that does not pass
through Adam (Loshchilov & Hutter, 2019), and the oldest one, to stop in time (Prechelt, 1998). Each
strength is chosen on images for validation, and the result is measured on test images.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.utils import shuffle

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, WIDTH, COUNT = (400, 64, 3) if SMALL else (1500, 128, 6)
EVERY, RATE = 10, 3e-3

images, labels = shuffle(*load_digits(return_X_y=True), random_state=0)
labels[:15] = (labels[:15] + 1 + np.arange(15) % 9) % 10  # wrong ones, for training images only
x, y = jnp.asarray(images / 16), jnp.asarray(labels)
parts = slice(0, 150), slice(150, 450), slice(450, None)  # to train, to validate, to test

# %% One chain holds all three penalties. A strength of zero turns a member off, and a strength is a
# number like any other, so ``vmap`` over the chain trains all of them at once.

hidden, head = nnx.Linear(64, WIDTH, rngs=nnx.Rngs(0)), nnx.Linear(WIDTH, 10, rngs=nnx.Rngs(1))
graph, start = nnx.split(nnx.Sequential(hidden, nnx.relu, head))
kernels = gc.weight_matrices()


def loss_fn(params: nnx.State, part: slice) -> jax.Array:
    logits = nnx.merge(graph, params)(x[part])
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y[part]).mean()


@jax.jit
@jax.vmap
def train(l1: jax.Array, l2: jax.Array, decay: jax.Array) -> tuple:
    tx = gc.chain(
        gc.add_decayed_weights(l2, where=kernels),
        gc.scale_by_adam(),
        gc.add_decayed_weights(decay, where=kernels),
        gc.scale_by_learning_rate(RATE),
        gc.prox(gc.penalties.l1(l1), RATE, where=kernels),
    )

    def step(carry: tuple, _: None) -> tuple:
        return tx.step(jax.grad(loss_fn)(carry[0], parts[0]), carry[1], carry[0]), None

    def steps(carry: tuple, _: None) -> tuple:
        carry, _ = jax.lax.scan(step, carry, length=EVERY)
        seen = jnp.array([loss_fn(carry[0], part) for part in parts])
        zeros = sum((p == 0).sum() for p in jax.tree.leaves(carry[0]) if p.ndim > 1)
        return carry, (seen, zeros)

    return jax.lax.scan(steps, (start, tx.init(start)), length=STEPS // EVERY)[1]


largest = {"L1": 1.0, "L2": 0.03, "decoupled decay": 10.0}
grid = np.geomspace(0.01, 1.0, COUNT)
rows = [s * top * np.eye(3)[i] for i, top in enumerate(largest.values()) for s in grid]
table = np.array([np.zeros(3), *rows], np.float32)  # the first row has no penalty
losses, zeros = (np.asarray(a) for a in train(*table.T))
best = 1 + losses[1:, -1, 1].reshape(3, COUNT).argmin(axis=1) + COUNT * np.arange(3)
rows = {"nothing": 0, **dict(zip(largest, best, strict=True))}
chosen = {name: (losses[row], zeros[row, -1]) for name, row in rows.items()}

# %% Early stopping needs no penalty: the run without one ends as soon as the validation loss has
# not improved ten times in a row, and the best parameters so far are kept.

lowest = 0
for now in range(STEPS // EVERY):
    if losses[0, now, 1] < losses[0, lowest, 1]:
        lowest = now
    if now - lowest == 10:
        break
chosen["early stopping"] = losses[0, : lowest + 1], zeros[0, lowest]

total = sum(p.size for p in jax.tree.leaves(start) if p.ndim > 1)
for name, (seen, zero) in chosen.items():
    loss, gap = seen[-1, 2], seen[-1, 2] - seen[-1, 0]
    print(f"{name:15}: test loss {loss:.3f}, gap {gap:.3f}, {zero} of {total} weights are zero")

# %% Without a remedy the test loss rises while the training loss falls to nothing. All four keep
# the gap smaller. Only L1 makes weights exactly zero, and many of them: a proximal step can do so,
# a gradient cannot.

fig, axes = plt.subplots(1, 2, figsize=(10, 4.8), width_ratios=(1.7, 1))
for i, (name, (seen, zero)) in enumerate(chosen.items()):
    step = EVERY * np.arange(1, len(seen) + 1)
    axes[0].plot(step, seen[:, 2], color=f"C{i}", label=name)
    axes[0].plot(step, seen[:, 0], "--", color=f"C{i}")
    gap = seen[-1, 2] - seen[-1, 0]
    axes[1].barh(i, gap, color=f"C{i}")
    axes[1].annotate(f" {zero / total:.0%} zeros", (gap, i), va="center")
axes[0].plot(step[-1], seen[-1, 2], "o", color=f"C{i}", markersize=8)  # where it stopped
axes[0].set(title="solid: test images, dashed: training images", ylim=(0, 1.2))
axes[0].set(xlabel="step", ylabel="cross-entropy loss, nats")
axes[0].legend(loc="upper center", ncols=3)
axes[1].set(title="gap, and share of zero weights", xlabel="test less training loss, nats")
axes[1].set_yticks(range(len(chosen)), chosen)
axes[1].invert_yaxis()
axes[1].margins(x=0.4)
fig.suptitle("Four remedies against overfitting on 150 images")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/overfitting.png")
print("picture: out/overfitting.png")
