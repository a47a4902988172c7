"""
Local training: replicas that meet now and then
===============================================

Where the network between devices is slow, let each train alone and meet the others every tenth
step: they go on from their mean (local SGD, Stich, 2018), or an outer optimizer follows it with
momentum (DiLoCo, Douillard et al., 2023). Eight replicas learn to read digits, each from images of
its own, in as many steps as with a mean of all gradients in each. On a CPU, JAX simulates them.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from sklearn.datasets import load_digits

import gradchain as gc
from gradchain.distributed import collectives, diloco, local_sgd, wire_bytes

plt.style.use("gradchain.plot.gallery")
jax.config.update("jax_num_cpu_devices", 8)  # before anything runs
STEPS, BATCH, EVERY = 60 if "--small" in sys.argv else 300, 16, 10

mesh = jax.make_mesh((8,), ("replica",), axis_types=(AxisType.Auto,))
on_own = NamedSharding(mesh, P("replica"))
draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape) / shape[0] ** 0.5
start = {"inner": draw(0, 64, 128), "bias": jnp.zeros(128), "outer": draw(1, 128, 10)}

images, labels = load_digits(return_X_y=True)
shuffled = np.random.default_rng(0).permutation(len(images))
images, labels = (images[shuffled] / 16).astype(np.float32), labels[shuffled]
own = np.random.default_rng(1).integers(0, 180, (STEPS, 8, BATCH))
rows = own + 180 * np.arange(8)[:, None]  # each has 180 of the first 1,440 images
held_out = images[1440:], labels[1440:]


@jax.jit
def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = jnp.tanh(x @ params["inner"] + params["bias"]) @ params["outer"]
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


# %%
# The step is that of one replica, with parameters and gradients of its own. The transformation
# says when it meets the others and what it sends. ``eval_params`` finds where they last met.


def train(tx: gc.GradientTransformation) -> tuple[list[float], int]:
    """The loss after every tenth step, and the bytes that each replica sends in a meeting."""

    def train_step(params, state, x, y):
        return tx.step(jax.grad(loss_fn)(params, x, y), state, params)

    batch = lambda i: jax.device_put((images[rows[i]], labels[rows[i]]), on_own)
    alike = gc.distributed.stack_replicas((start, tx.init(start)), 8)
    params, state = jax.device_put(alike, on_own)
    step = jax.jit(gc.distributed.on_replicas(train_step, mesh))
    step = step.lower(params, state, *batch(0)).compile()
    losses = [float(loss_fn(start, *held_out))]
    for i in range(STEPS):
        params, state = step(params, state, *batch(i))
        if (i + 1) % EVERY == 0:
            met = jax.tree.map(lambda x: x[0], gc.eval_params(state, params))
            losses.append(float(loss_fn(met, *held_out)))
    return losses, wire_bytes(collectives(step))


inner, outer = gc.sgd(0.1, 0.9), gc.sgd(0.7, 0.5, nesterov=True)
methods = {
    "each step": (local_sgd(inner, every=1), 1),  # of SGD this is data parallel training
    "local SGD": (local_sgd(inner, EVERY), EVERY),
    "DiLoCo": (diloco(inner, outer, EVERY), EVERY),
    "DiLoCo, int8": (diloco(inner, outer, EVERY, wire="int8"), EVERY),
}
runs = {}
for name, (tx, every) in methods.items():
    losses, sent = train(tx)
    runs[name] = losses, sent / every
    print(
        f"{name}: loss {losses[0]:.3f} to {losses[-1]:.3f}, sent {sent // every:,} bytes a step"
    )

# %%
# After as many steps the losses are about alike. A meeting in ten steps costs a tenth of the bytes,
# in int8 a fortieth; the outer momentum makes up for what the replicas do not hear of each other.

fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
steps = np.arange(0, STEPS + 1, EVERY)
for name, (losses, sent) in runs.items():
    style = "--" if "int8" in name else "-"
    left.plot(steps, losses, style, label=name)
    right.plot(steps[1:] * sent / 1024, losses[1:], style, label=name)
left.set(xlabel="step", ylabel="held-out loss", yscale="log", title="By steps")
right.set(xlabel="KiB sent by each replica", xscale="log", title="By bytes")
left.legend()
fig.savefig("local_training.png")
print("picture: local_training.png")
