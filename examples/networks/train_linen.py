"""
A small MLP with Flax Linen
===========================

Train with Linen's ``TrainState``, which takes a gradchain optimizer as it is. Kernels, chosen by
their path, decay and biases do not. The state of the optimizer is a nested dict with readable
names.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.training.train_state import TrainState
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

EPOCHS, BATCH = 20, 64

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
    log_p = nn.log_softmax(model.apply({"params": params}, x))
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()


@jax.jit
def train_epoch(state: TrainState, key: jax.Array) -> tuple[TrainState, jax.Array]:
    def train_step(state: TrainState, batch: jax.Array) -> tuple[TrainState, jax.Array]:
        loss, grads = jax.value_and_grad(loss_fn)(state.params, x[batch], y[batch])
        return state.apply_gradients(grads=grads), loss

    batches = jax.random.permutation(key, len(x))[: len(x) // BATCH * BATCH].reshape(-1, BATCH)
    return jax.lax.scan(train_step, state, batches)


for key in jax.random.split(jax.random.key(1), EPOCHS):
    state, losses = train_epoch(state, key)
    print(f"step {state.step:4}  mean loss {losses.mean():.4f}")

held_out = float(
    (state.apply_fn({"params": state.params}, x_held).argmax(axis=1) == y_held).mean()
)
print(f"held-out accuracy: {held_out:.4f}")
