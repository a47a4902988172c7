"""
Few bits: parameters in bfloat16, moments in 8 and 4
====================================================

Train a small convolutional network on handwritten digits with AdamW, and keep less. A bfloat16
parameter loses what is less than 1/512 of it, so when the rate falls it stands still. Four ways of
rounding help: by chance, with what was lost kept aside (Kahan), with the low bits beside it, or
with a float32 copy (Micikevicius et al., 2017; Zamirai et al., 2020). The moments of AdamW are kept
in 8 bits (Dettmers et al., 2021) or 4.
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

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, BATCH = 200 if SMALL else 500, 32

images, labels = load_digits(return_X_y=True)
x = jnp.float32(images.reshape(-1, 8, 8, 1) / 16.0)
y = jnp.asarray(labels)


class CNN(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 16, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, kernel_size=(3, 3), rngs=rngs)
        self.head = nnx.Linear(4 * 4 * 32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.conv2(nnx.relu(self.conv1(x))))
        return self.head(nnx.max_pool(x, (2, 2), strides=(2, 2)).reshape(len(x), -1))


# %%
# The network computes in float32 from whatever its parameters are, so that the runs differ by what
# is kept alone. Gradients have the dtype of the parameters.

graph, start = nnx.split(CNN(nnx.Rngs(0)))
rows = np.random.default_rng(0).integers(0, len(x), (STEPS, BATCH))


def loss_fn(params: nnx.State, x: jax.Array, y: jax.Array) -> jax.Array:
    params = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    logits = nnx.merge(graph, params)(x)
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def train(tx: gc.GradientTransformation, dtype: str) -> tuple[np.ndarray, float]:
    """The loss of each batch, and the bytes of state for each parameter."""
    params = jax.tree.map(lambda p: p.astype(dtype), start)
    state, seen = tx.init(params), []

    @jax.jit
    def step(params: nnx.State, state: dict, x: jax.Array, y: jax.Array) -> tuple:
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        return *tx.step(grads, state, params), loss

    size = sum(a.nbytes for a in jax.tree.leaves(state)) / sum(
        p.size for p in jax.tree.leaves(params)
    )
    for some in rows:
        params, state, loss = step(params, state, x[some], y[some])
        seen.append(loss)
    return np.array(jax.device_get(seen)), size


# %%
# Each way is a wrapper around the same optimizer.

rate = gc.warmup_cosine_decay_schedule(0.0, 3e-3, STEPS // 20, STEPS)
adamw = gc.adamw(rate)
runs = {
    "float32": (adamw, "float32"),
    "bfloat16": (adamw, "bfloat16"),
    "bfloat16, by chance": (gc.stochastic_rounding(adamw), "bfloat16"),
    "bfloat16, Kahan": (gc.kahan(adamw), "bfloat16"),
    "bfloat16, split": (gc.split_weights(adamw), "bfloat16"),
    "bfloat16, master": (gc.master_weights(adamw), "bfloat16"),
    "moments in 8 bits": (gc.storage(adamw, mu="int8_dynamic", nu="uint8_log"), "float32"),
    "moments in 4 bits": (gc.storage(adamw, mu="int4", nu="uint4_log"), "float32"),
}
curves = {}
for name, (tx, dtype) in runs.items():
    curves[name], size = train(tx, dtype)
    end = curves[name][-STEPS // 10 :].mean()
    print(f"{name:20}: final loss {end:.4f}, {size:.2f} bytes of state a parameter")

# %%
# Plain bfloat16 stays behind as the rate falls; with any of the four ways it is where float32 is.
# Moments in 8 bits make hardly a difference. In 4 bits second moments are slow, so that steps are
# longer than the rate says: it is another optimizer, here with a lower loss.

fig, axes = plt.subplots(2, 2, figsize=(10, 6.4), sharex=True, sharey="row", height_ratios=(3, 2))
curves = {name: np.convolve(loss, np.ones(50) / 50, "valid") for name, loss in curves.items()}
for color, (name, loss) in enumerate(curves.items()):
    style = {"color": "0.2", "linestyle": "--"} if name == "float32" else {"color": f"C{color}"}
    for side in [0, 1] if name == "float32" else [int("bfloat16" not in name)]:
        axes[0, side].plot(np.arange(49, STEPS), loss, label=name, **style)
        axes[1, side].plot(np.arange(49, STEPS), loss / curves["float32"], **style)
axes[0, 0].set(title="Parameters", ylabel="loss, mean of 50 batches", yscale="log")
axes[0, 1].set(title="Moments")
axes[1, 0].set(ylabel="over that of float32", xlabel="step", xlim=(0, STEPS))
axes[1, 1].set(xlabel="step")
axes[0, 0].legend(loc="upper right")
axes[0, 1].legend(loc="upper right")
fig.suptitle("A CNN on digits in few bits")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/plot_precision.png")
print("picture: out/plot_precision.png")
