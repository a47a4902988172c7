"""
The same network in four libraries
==================================

Train one network in gradchain and lay its losses over those of optax, PyTorch and Keras. The data
are scikit-learn's handwritten digits. The weights at the start, the batches and the arguments are
the same in all. The curves of the other libraries are recorded by
``python -m benchmarks.compare_libraries --write``; that of gradchain is trained here. Seen are
the losses of 200 steps with momentum, Adam and AdamW, and below them how far apart they are.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import gradchain as gc

ROOT = Path(gc.__file__).parents[1]  # of a clone, where the curves are recorded
plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS = 60 if SMALL else 200
OPTIMIZERS = {
    "sgd with momentum": gc.sgd(0.05, momentum=0.9),
    "adam": gc.adam(0.003),
    "adamw": gc.adamw(0.003, weight_decay=0.01),
}

# %%
# The batches and the weights at the start come from the same seeds as in the record.

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).integers(0, len(images), (200, 64))[:STEPS]
x, y = (images[order] / 16).astype(np.float32), labels[order].astype(np.int32)
rng = np.random.default_rng(1)
kernel = lambda n, m: jnp.asarray(rng.standard_normal((n, m)) * n**-0.5, jnp.float32)
start = {"kernel1": kernel(64, 32), "bias1": jnp.zeros(32)}
start |= {"kernel2": kernel(32, 10), "bias2": jnp.zeros(10)}


# %%
# One compiled loop over all steps.


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    hidden = jnp.tanh(x @ params["kernel1"] + params["bias1"])
    logits = hidden @ params["kernel2"] + params["bias2"]
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def train(tx: gc.GradientTransformation) -> jax.Array:
    """The loss of each step."""

    def step(carry: tuple, batch: tuple) -> tuple:
        params, state = carry
        loss, grads = jax.value_and_grad(loss_fn)(params, *batch)
        return tx.step(grads, state, params), loss

    return jax.lax.scan(step, (start, tx.init(start)), (x, y))[1]


# %%
# In float32 no two libraries round alike, so the curves part in the fifth digit or later. Keras is
# the farthest away with Adam and AdamW. It adds ``eps`` before it corrects the bias, which may be
# the reason.

file = ROOT / "docs" / "data" / "same_curves.json"
record = json.loads(file.read_text())["libraries"]
fig, axes = plt.subplots(2, 3, figsize=(10, 5.6), sharex=True, sharey="row", layout="constrained")
worst = 0.0
for (top, bottom), (name, tx) in zip(axes.T, OPTIMIZERS.items(), strict=True):
    ours = np.asarray(jax.jit(train, static_argnums=0)(tx))
    top.plot(ours, color="C0", linewidth=4.5, alpha=0.35, label="gradchain, trained here")
    for i, library in enumerate(["optax", "torch", "keras"], start=1):
        theirs = np.array(record[library]["runs"][name]["loss"][:STEPS])
        apart = np.abs(theirs - ours)
        worst = max(worst, apart.max())
        print(f"{name}, {library}: at most {apart.max():.1e} apart, end {theirs[-1]:.4f}")
        text = record[library]["label"].replace(" on ", "\non ").replace("+cpu", "")
        line = {"color": f"C{i}", "linewidth": 1.0, "label": text}
        top.plot(theirs, linestyle=(i * 3, (3, 6)), **line)
        bottom.plot(np.maximum(apart, 1e-9), **line)
    top.set_title(name)
    bottom.axhline(1e-4, color="0.3", linestyle="--", linewidth=0.9)
    bottom.set(xlabel="step", yscale="log", ylim=(1e-9, 1e-3))
axes[0, 0].set_ylabel("cross-entropy loss of a batch")
axes[1, 0].set_ylabel("distance from\ngradchain's loss")
axes[1, 0].text(STEPS * 0.02, 1.3e-4, "one in ten thousand", fontsize=8, color="0.3")
axes[0, 2].legend(fontsize=8, handlelength=3)
fig.suptitle("One network, four libraries: the losses lie on top of one another")

print(f"all: at most {worst:.1e} apart")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/same_curves.png")
print("picture: out/same_curves.png")
