"""
Convolutions: architecture and learning rate
============================================

Compare a network of convolutions (LeCun et al., 1989) with a dense one of about as many parameters,
and three ways to make images smaller: the largest of four pixels, their mean, or a convolution with
stride 2. Then look for width, depth and learning rate together. A convolution uses the same weights
all over the image, so a shifted digit looks less strange to it.
"""

import sys
from functools import cache, partial
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
STEPS, BATCH = (80, 32) if SMALL else (150, 64)
RATES = (0.01, 0.1, 1.0) if SMALL else (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
WIDTHS, DEPTHS = ((8,), (2, 1)) if SMALL else ((2, 4, 8, 16), (1, 2, 3, 5))

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1) / 16
split = train_test_split(images, labels, test_size=0.3, stratify=labels, random_state=0)
x, x_held, y, y_held = map(jnp.asarray, split)
shifted = jnp.roll(x_held, 1, axis=2)
POOLS = {"max": nnx.max_pool, "average": nnx.avg_pool}


def network(kind: str, width: int, depth: int) -> nnx.Sequential:
    rngs, layers = nnx.Rngs(0), []
    flat, linear = lambda x: x.reshape(len(x), -1), partial(nnx.Linear, rngs=rngs)
    if kind == "dense":
        return nnx.Sequential(flat, linear(64, 24), nnx.relu, linear(24, 10))
    for i in range(depth):
        stride = 2 if kind == "stride" and i == depth - 1 else 1
        layers += [nnx.Conv(width if i else 1, width, (3, 3), stride, rngs=rngs), nnx.relu]
    if kind in POOLS:
        layers.append(lambda x: POOLS[kind](x, (2, 2), strides=(2, 2)))
    return nnx.Sequential(*layers, flat, linear(16 * width, 10))


# %% The optimizer is an argument of the compiled program: a network is compiled once for all rates.


@cache
def results(kind: str, width: int, depth: int) -> np.ndarray:
    """Accuracy at each rate, on held-out images and on shifted ones."""
    graph, start = nnx.split(network(kind, width, depth))

    def loss_fn(params: nnx.State, batch: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, params)(x[batch])
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y[batch]).mean()

    @jax.jit
    def train(tx: gc.GradientTransformation) -> jax.Array:
        def step(carry: tuple, key: jax.Array) -> tuple:
            batch = jax.random.randint(key, (BATCH,), 0, len(x))
            return tx.step(jax.grad(loss_fn)(carry[0], batch), carry[1], carry[0]), None

        keys = jax.random.split(jax.random.key(0), STEPS)
        (params, _), _ = jax.lax.scan(step, (start, tx.init(start)), keys)
        fitted = nnx.merge(graph, params)
        right = lambda x: (fitted(x).argmax(axis=1) == y_held).mean()
        return jnp.array([right(x_held), right(shifted)])

    return np.array([train(gc.sgd(rate, momentum=0.9)) for rate in RATES]).T


kinds = ("dense", "max") if SMALL else ("dense", "max", "average", "stride")
maps = {"width": WIDTHS, "depth": DEPTHS}
units = {"width": "channels of each of 2 layers", "depth": "layers of 8 channels"}
found = {kind: results(kind, 8, 2) for kind in track(kinds, description="architecture")}
found |= {("width", w): results("max", w, 2) for w in track(WIDTHS, description="width")}
found |= {("depth", d): results("max", 8, d) for d in track(DEPTHS, description="depth")}

best = {kind: found[kind][0].argmax() for kind in kinds}
for kind, i in best.items():
    print(f"{kind}: best rate {RATES[i]}, held out, shifted:", *found[kind][:, i].round(3))
for kind, sizes in maps.items():
    for size in sizes:
        print(f"{kind} {size:2}:", *(f"{a:.3f}" for a in found[kind, size][0]))

# %% On images where they lie as in training the architectures differ little. Images shifted by a
# pixel are hard for all of them, and less so for those that pool. Wider networks are better at most
# rates. A deeper one needs a lower rate: the edge beyond which nothing is learned moves by a
# factor of three or more from one layer to five.

fig, axes = plt.subplots(1, 3, figsize=(12, 4.2), width_ratios=(1, 1.2, 1.2))
for i, label in enumerate(("held out", "shifted by a pixel")):
    heights, place = [found[k][i, best[k]] for k in kinds], np.arange(len(kinds)) + 0.4 * i
    axes[0].bar_label(axes[0].bar(place, heights, 0.4, label=label), fmt="%.2f", fontsize=8)
axes[0].set_xticks(np.arange(len(kinds)) + 0.2, kinds)
axes[0].set(title="architecture", ylabel="accuracy at the best rate", ylim=(0, 1.2))
axes[0].legend(loc="upper center", ncols=2)
for ax, (kind, sizes) in zip(axes[1:], maps.items(), strict=True):
    grid = np.stack([found[kind, size][0] for size in sizes])
    ax.imshow(grid, aspect="auto", vmin=0, vmax=1)
    for (i, j), a in np.ndenumerate(grid):
        ax.text(j, i, f"{a:.2f}", color="kw"[int(a < 0.6)], ha="center", va="center")
    ax.set_xticks(range(len(RATES)), RATES)
    ax.set_yticks(range(len(sizes)), sizes)
    ax.set(title="accuracy on held-out images", xlabel="learning rate", ylabel=units[kind])
    ax.grid(False)
fig.suptitle("Convolutions: architecture, width and depth against the learning rate")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/convolutions.png")
print("picture: out/convolutions.png")
