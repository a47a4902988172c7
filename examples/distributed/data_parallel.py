"""
Data parallel training, and its state in parts
==============================================

Split each batch over eight devices, which all have the whole network: the compiled step takes the
mean of their gradients. All keep the same state of AdamW then, and make the same update. ``zero1``
lets each keep an eighth of the state, update with it, and gather the other updates; the parameters
stay the same (Rajbhandari et al., 2020). On a CPU, JAX simulates the devices.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from sklearn.datasets import load_digits

import gradchain as gc
from gradchain.distributed import collectives, zero1

plt.style.use("gradchain.plot.gallery")
jax.config.update("jax_num_cpu_devices", 8)  # before anything runs
STEPS, BATCH = 60 if "--small" in sys.argv else 300, 64

mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
on_all, in_parts = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape) / shape[0] ** 0.5
start = {"inner": draw(0, 64, 256), "outer": draw(1, 256, 10), "bias": jnp.zeros(256)}

images, labels = load_digits(return_X_y=True)
rows = np.random.default_rng(0).integers(0, len(images), (STEPS, BATCH))
batches = jnp.float32(images / 16)[rows], jnp.asarray(labels)[rows]


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    hidden = jnp.tanh(x @ params["inner"] + params["bias"])
    return gc.losses.softmax_cross_entropy_with_integer_labels(hidden @ params["outer"], y).mean()


# %%
# The step is that of one device. Where arrays lie says what is sent.


def train(tx: gc.GradientTransformation) -> tuple[dict, Any, list[float], int]:
    """Parameters and state at the end, the loss of each batch, and the bytes that a step sends."""

    def train_step(params, state, x, y):
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        return *tx.step(grads, state, params), loss

    params = jax.device_put(start, on_all)
    state = tx.init(params)
    put = lambda i: jax.device_put(tuple(data[i] for data in batches), in_parts)
    where = jax.tree.map(lambda x: x.sharding, (params, state))
    step = jax.jit(train_step, out_shardings=(*where, on_all))
    step = step.lower(params, state, *put(0)).compile()
    losses = []
    for i in range(STEPS):
        params, state, loss = step(params, state, *put(i))
        losses.append(float(loss))
    return params, state, losses, sum(one.wire_bytes for one in collectives(step))


def bytes_of(tree: Any) -> int:
    """What the first device has of a tree."""
    return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))


adamw = gc.adamw(3e-3)
methods = {"data parallel": adamw, "ZeRO-1": zero1(adamw)}
runs = {name: train(tx) for name, tx in methods.items()}
size = bytes_of(start)
for name, (params, state, losses, sent) in runs.items():
    held = bytes_of(params), bytes_of(state)
    print(f"{name}: parameters {held[0]:,}, state {held[1]:,}, sent {sent:,} bytes a step")
    print(f"{name}: loss {losses[0]:.3f} to {np.mean(losses[-10:]):.3f}")
ends = [runs[name][0] for name in methods]
apart = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), *ends)
print(f"largest difference: {max(apart.values()):.1e}")

# %%
# The parameters stay whole, the moments become an eighth. The CPU's compiler sends a sum and
# gathers; one for TPUs makes a scatter of the sum, so that no more is sent than before.

fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for name, (_, _, losses, _) in runs.items():
    left.plot(losses, label=name, linestyle="--" if name == "ZeRO-1" else "-")
left.set(xlabel="step", ylabel="loss", title="The same training")
left.legend()
held = {name: (bytes_of(p), bytes_of(s)) for name, (p, s, _, _) in runs.items()}
right.bar(list(held), [p / 1024 for p, _ in held.values()], label="parameters")
below = [p / 1024 for p, _ in held.values()]
right.bar(list(held), [s / 1024 for _, s in held.values()], bottom=below, label="state of AdamW")
right.set(ylabel="KiB", title="What each device keeps")
right.legend()
fig.savefig("data_parallel.png")
print("picture: data_parallel.png")
