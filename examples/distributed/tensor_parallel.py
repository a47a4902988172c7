"""
Tensor parallel training: one layer on several devices
======================================================

Split the matrices of a network over the second axis of a mesh, by columns and then by rows, so that
each device multiplies a part, and the batch over the first. Muon trains the matrices, AdamW the
rest. The optimizer is written as for one device: a slot lies as its parameter, and XLA brings
together what Muon needs whole. On a CPU, JAX simulates the devices.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
from sklearn.datasets import load_digits

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
jax.config.update("jax_num_cpu_devices", 8)  # before anything runs
STEPS, BATCH = 30 if "--small" in sys.argv else 150, 64

images, labels = load_digits(return_X_y=True)
rows = np.random.default_rng(0).integers(0, len(images), (STEPS, BATCH))
batches = jnp.float32(images / 16)[rows], jnp.asarray(labels)[rows]
draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape) / shape[0] ** 0.5
start = {
    "embed": draw(0, 64, 128),
    "up": draw(1, 128, 512),
    "up_bias": jnp.zeros(512),
    "down": draw(2, 512, 128),
    "head": draw(3, 128, 10),
}
specs = {
    "embed": P(),
    "up": P(None, "model"),  # each device has some columns
    "up_bias": P("model"),
    "down": P("model", None),  # and the rows that belong to them
    "head": P(),
}
tx = gc.muon(5e-3, where=gc.path_matches("^(up|down)$"))


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    x = x @ params["embed"]
    x = x + jax.nn.gelu(x @ params["up"] + params["up_bias"]) @ params["down"]
    return gc.losses.softmax_cross_entropy_with_integer_labels(x @ params["head"], y).mean()


@jax.jit
def train_step(params: dict, state: dict, x: jax.Array, y: jax.Array) -> tuple:
    loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
    return *tx.step(grads, state, params), loss


def train(mesh: Mesh) -> tuple[dict, dict, list[float]]:
    put = lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec))
    params = jax.tree.map(put, start, specs)
    state, losses = tx.init(params), []
    for i in range(STEPS):
        params, state, loss = train_step(params, state, *(put(d[i], P("data")) for d in batches))
        losses.append(float(loss))
    return params, state, losses


# %%
# Two devices for the batch and four for each layer; then all on one.

axes = dict(axis_names=("data", "model"), axis_types=(AxisType.Auto,) * 2)
many = Mesh(np.array(jax.devices()).reshape(2, 4), **axes)
alone = Mesh(np.array(jax.devices()[:1]).reshape(1, 1), **axes)
runs = {"2 x 4 devices": train(many), "one device": train(alone)}
_, state, _ = runs["2 x 4 devices"]

print("slot, its shape, and the part on each device:")
for path, x in jax.tree_util.tree_leaves_with_path(state):
    if x.ndim:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        print(f"  {name}: {x.shape}, {x.addressable_shards[0].data.shape}")
for name, (_, _, losses) in runs.items():
    print(f"{name}: loss {losses[0]:.3f} to {np.mean(losses[-5:]):.3f}")
ends = [params for params, *_ in runs.values()]
apart = [np.max(np.abs(np.asarray(ends[0][k]) - np.asarray(ends[1][k]))) for k in start]
print(f"largest difference: {max(apart):.1e}")

fig, panel = plt.subplots(figsize=(6, 3.2), layout="constrained")
for (name, (_, _, losses)), style in zip(runs.items(), ("-", "--"), strict=True):
    panel.plot(losses, style, label=name)
panel.set(xlabel="step", ylabel="loss", title="One layer on four devices")
panel.legend()
fig.savefig("tensor_parallel.png")
print("picture: tensor_parallel.png")
