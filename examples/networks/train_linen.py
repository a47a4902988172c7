"""
A small MLP with Flax Linen
===========================

Train with Linen's ``TrainState``, which takes a gradchain optimizer as it is. Kernels decay and
biases do not. The state of the optimizer is a nested dict with readable names. The picture shows
how the loss falls and how the accuracy on held-out images rises.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import linen as nn
from flax.training.train_state import TrainState
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
EPOCHS, BATCH = 8 if "--small" in sys.argv else 20, 64

images, labels = load_digits(return_X_y=True)
x, x_held, y, y_held = map(
    jnp.asarray, train_test_split(images / 16, labels, test_size=0.25, random_state=0)
)


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Dense(128)(x))
        return nn.Dense(10)(x)


# %%
# The optimizer, and the names in its state.

steps = EPOCHS * (len(x) // BATCH)
rate = gc.cosine_decay_schedule(5e-3, decay_steps=steps)
model = MLP()
tx = gc.chain(
    gc.clip_by_global_norm(1.0),
    gc.adamw(rate, weight_decay=0.1, where=gc.weight_matrices()),
)
params = model.init(jax.random.key(0), x[:1])["params"]
state = TrainState.create(apply_fn=model.apply, params=params, tx=tx)

for path, leaf in jax.tree.leaves_with_path(state.opt_state):
    print(jax.tree_util.keystr(path, simple=True, separator="/"), leaf.shape)

# %%
# One compiled epoch: the training step, scanned over shuffled mini-batches.


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = model.apply({"params": params}, x)
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@jax.jit
def train_epoch(state: TrainState, key: jax.Array) -> tuple[TrainState, jax.Array]:
    def train_step(state: TrainState, batch: jax.Array) -> tuple[TrainState, jax.Array]:
        loss, grads = jax.value_and_grad(loss_fn)(state.params, x[batch], y[batch])
        return state.apply_gradients(grads=grads), loss

    batches = jax.random.permutation(key, len(x))[: len(x) // BATCH * BATCH].reshape(-1, BATCH)
    return jax.lax.scan(train_step, state, batches)


@jax.jit
def accuracy(state: TrainState) -> jax.Array:
    return (state.apply_fn({"params": state.params}, x_held).argmax(axis=1) == y_held).mean()


history = []
for key in jax.random.split(jax.random.key(1), EPOCHS):
    state, losses = train_epoch(state, key)
    history.append((losses.mean(), accuracy(state)))
    print(f"step {state.step:4}  mean loss {history[-1][0]:.4f}")
print(f"held-out accuracy: {history[-1][1]:.4f}")

# %%
# The loss keeps falling while the accuracy has come close to its end.

epoch = np.arange(1, EPOCHS + 1)
loss, held_out = np.array(history).T
fig, axes = plt.subplots(2, 1, sharex=True, figsize=(8, 6))
axes[0].plot(epoch, loss, "o-", color="C0")
axes[0].set(ylabel="training loss, mean of the epoch", yscale="log")
axes[1].plot(epoch, held_out, "o-", color="C2")
axes[1].set(ylabel="accuracy on held-out images", xlabel="epoch", xticks=epoch)
fig.suptitle(f"An MLP on handwritten digits: {held_out[-1]:.1%} of the held-out images right")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/train_linen.png")
print("picture: out/train_linen.png")
