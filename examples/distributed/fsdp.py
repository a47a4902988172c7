"""
Parameters and state in parts (FSDP)
====================================

Train a network of which no device ever has the whole: parameters, gradients and moments lie in
parts on eight devices, each weight is gathered where it is used, and the state is made in parts
too. Then Orbax saves it, and four devices go on. On a CPU, JAX simulates the devices.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
from sklearn.datasets import load_digits

import gradchain as gc
from gradchain.distributed import abstract_state, fsdp_specs, init_sharded

plt.style.use("gradchain.plot.gallery")
jax.config.update("jax_num_cpu_devices", 8)  # before anything runs
STEPS, BATCH = 40 if "--small" in sys.argv else 200, 64
SHAPES = {"inner": (64, 256), "middle": (256, 256), "outer": (256, 16)}

images, labels = load_digits(return_X_y=True)
rows = np.random.default_rng(0).integers(0, len(images), (2 * STEPS, BATCH))
batches = jnp.float32(images / 16)[rows], jnp.asarray(labels)[rows]
tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(2e-3))


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    hidden = jnp.tanh(jnp.tanh(x @ params["inner"]) @ params["middle"])
    return gc.losses.softmax_cross_entropy_with_integer_labels(hidden @ params["outer"], y).mean()


@jax.jit
def train_step(params: dict, state: dict, x: jax.Array, y: jax.Array) -> tuple:
    loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
    return *tx.step(grads, state, params), loss


def mesh_of(number: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:number]), ("data",), axis_types=(AxisType.Auto,))


def bytes_of(tree: Any) -> int:
    """What the first device has of a tree."""
    return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))


# %%
# ``fsdp_specs`` says how each weight is split, and each slot lies as its weight: the mean and the
# square of AdamW in parts, its clock everywhere. Weights are drawn in parts as well.


def start_on(mesh: Mesh) -> tuple[dict, dict]:
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in SHAPES.items()}
    specs = fsdp_specs(shapes, mesh)
    keys = dict(zip(SHAPES, jax.random.split(jax.random.key(0), 3), strict=True))
    draw = lambda: {k: jax.random.normal(keys[k], s) / s[0] ** 0.5 for k, s in SHAPES.items()}
    where = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
    params = jax.jit(draw, out_shardings=where)()
    return params, init_sharded(tx, params, specs, mesh)


def train(params: dict, state: dict, mesh: Mesh, steps: range) -> tuple[dict, dict, list[float]]:
    losses = []
    for i in steps:
        x, y = (jax.device_put(d[i], NamedSharding(mesh, P("data"))) for d in batches)
        params, state, loss = train_step(params, state, x, y)
        losses.append(float(loss))
    return params, state, losses


eight, four = mesh_of(8), mesh_of(4)
params, state = start_on(eight)
held = {"eight devices": (bytes_of(params), bytes_of(state))}
params, state, first = train(params, state, eight, range(STEPS))

# %%
# A target says where everything goes: the shapes of parameters and state, split over four devices.

shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
specs = fsdp_specs(shapes, four)
lay = lambda x, spec: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(four, spec))
target = jax.tree.map(lay, shapes, specs), abstract_state(tx, shapes, specs, four)
with tempfile.TemporaryDirectory() as folder, ocp.StandardCheckpointer() as saver:
    saver.save(Path(folder) / "run", (params, state))
    saver.wait_until_finished()
    restored = saver.restore(Path(folder) / "run", target)
held["four devices"] = bytes_of(restored[0]), bytes_of(restored[1])
*_, second = train(*restored, four, range(STEPS, 2 * STEPS))

for name, (own_params, own_state) in held.items():
    print(f"{name}: parameters {own_params:,}, state {own_state:,} bytes on each")
print(f"loss {first[0]:.3f}, saved at {np.mean(first[-5:]):.3f}, at the end {second[-1]:.3f}")

fig, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.plot(range(STEPS), first, label="eight devices")
axes.plot(range(STEPS, 2 * STEPS), second, label="four devices, restored")
axes.set(xlabel="step", ylabel="loss", title="Saved on eight devices, restored on four")
axes.legend()
fig.savefig("fsdp.png")
print("picture: fsdp.png")
