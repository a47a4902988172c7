"""
More than a million parameters: what an optimizer costs
=======================================================

Train a wide network on handwritten digits with four optimizers, and measure what each costs. Plain
gradient descent keeps nothing. Momentum keeps one number for each parameter and Adam (Kingma & Ba,
2015) two. Adafactor (Shazeer & Stern, 2018) keeps the means of the rows and the columns of a matrix
instead of a number for each element. ``gc.describe`` knows the size of a state before any array is
made.
"""

import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, WIDTH = (40, 1024) if SMALL else (250, 1536)
BATCH = 64

images, labels = load_digits(return_X_y=True)
split = train_test_split(images / 16, labels, test_size=0.25, stratify=labels, random_state=0)
x, x_held, y, y_held = (jnp.asarray(a) for a in split)

# %% Sizes come from shapes alone, so the state of a network that does not fit into memory could be
# counted in this way too.

linear = lambda m, n, seed: nnx.Linear(m, n, rngs=nnx.Rngs(seed))
hidden = [linear(64, WIDTH, 0), nnx.relu, linear(WIDTH, WIDTH, 1), nnx.relu]
graph, params = nnx.split(nnx.Sequential(*hidden, linear(WIDTH, 10, 2)))
params = nnx.as_pure(params)
optimizers = {
    "sgd": gc.sgd(0.1),
    "momentum": gc.sgd(0.02, momentum=0.9),
    "adam": gc.adam(5e-4),
    "adafactor": gc.adafactor(0.02),
}
bytes_of = {name: gc.describe(tx, params).total_bytes for name, tx in optimizers.items()}
size = gc.describe(optimizers["adafactor"], params)
print(f"parameters: {size.parameter_bytes // 4:,}, {size.parameter_bytes:,} bytes")


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = nnx.merge(graph, params)(x)
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


# %% The gradient and the step of the optimizer are timed apart from each other. Parameters and
# state are donated, so the step writes into the arrays that it read.

gradient = jax.jit(jax.value_and_grad(loss_fn))
batches = np.random.default_rng(0).integers(0, len(x), (STEPS, BATCH))


def run(tx: gc.GradientTransformation) -> tuple[np.ndarray, float, float, float]:
    step = jax.jit(tx.step, donate_argnums=(1, 2))
    now, state = jax.tree.map(jnp.copy, params), tx.init(params)
    losses, times = [], []
    for batch in batches:
        start = time.perf_counter()
        loss, grads = jax.block_until_ready(gradient(now, x[batch], y[batch]))
        middle = time.perf_counter()
        now, state = jax.block_until_ready(step(grads, state, now))
        times.append((middle - start, time.perf_counter() - middle))
        losses.append(float(loss))
    right = nnx.merge(graph, now)(x_held).argmax(axis=1) == y_held
    return np.array(losses), *(1e3 * np.median(times, axis=0)), float(right.mean())


runs = {name: run(tx) for name, tx in track(optimizers.items(), description="training")}
for name, (losses, back, step, accuracy) in runs.items():
    ratio = bytes_of[name] / size.parameter_bytes
    print(
        f"{name:9}: state {bytes_of[name]:,} bytes, {ratio:.3f} times the parameters; "
        f"gradient {back:.2f} ms, step {step:.2f} ms; loss {losses[-10:].mean():.4f}, "
        f"held-out accuracy {accuracy:.3f}"
    )

# %% Adam's state is twice as large as the network, that of Adafactor a few hundredths of it, mostly
# for the first layer: with a side under 128 it is not factored. The times are those of the
# machine that made this page. The optimizer takes a good part of a step here, because the batch is
# small; a larger batch makes the gradient longer and leaves the optimizer as it is.

COLORS = ("C0", "C1", "C2", "C3")
fig, axes = plt.subplots(1, 3, figsize=(11, 4), width_ratios=(1, 1, 1.4))
names = list(runs)
megabytes = [bytes_of[name] / 1e6 for name in names]
bars = axes[0].bar(names, megabytes, color=COLORS)
axes[0].bar_label(bars, fmt="%.1f")
axes[0].axhline(size.parameter_bytes / 1e6, color="0.3", linestyle="--", linewidth=0.9)
axes[0].text(-0.55, size.parameter_bytes / 1e6, "parameters", va="bottom", fontsize="small")
axes[0].set(title="state", ylabel="size, megabytes")
bars = axes[1].bar(names, [runs[name][2] for name in names], color=COLORS)
axes[1].bar_label(bars, fmt="%.1f")
axes[1].set(title="step of the optimizer", ylabel="time, milliseconds")
box = np.ones(10) / 10
for (name, (losses, *_)), color in zip(runs.items(), COLORS, strict=True):
    axes[2].plot(np.convolve(losses, box, "valid"), color=color, label=name)
axes[2].set(title="training", xlabel="step", ylabel="loss, mean of ten batches", yscale="log")
axes[2].legend()
for ax in axes[:2]:
    ax.tick_params(axis="x", rotation=20)
fig.suptitle(f"Four optimizers for {size.parameter_bytes / 4e6:.1f} million parameters")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/wide.png")
print("picture: out/wide.png")
