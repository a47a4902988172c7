"""
Segmentation: cross-entropy, focal and Dice losses where the foreground is rare
===============================================================================

Train a small convolutional network to find the ink of one digit on a cluttered canvas. About three
pixels in a hundred belong to the digit. Cross-entropy counts all pixels alike, so for a while
"nothing anywhere" is a good answer. The focal loss (Lin et al., 2017) counts pixels less that are
right already; the Dice loss (Milletari, Navab & Ahmadi, 2016) measures the overlap itself.
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
STEPS, BATCH, POOL = (110, 4, 440) if SMALL else (600, 16, 4000)
SIDE, WIDTH = 24, 8
digits = load_digits().images.astype(np.float32) / 16
rate = gc.warmup_cosine_decay_schedule(0.0, 5e-3, STEPS // 10, STEPS)
tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(rate, where=gc.weight_matrices()))


def network(rngs: nnx.Rngs) -> nnx.Sequential:
    conv = lambda n, dilation: nnx.Conv(n, WIDTH, (3, 3), kernel_dilation=dilation, rngs=rngs)
    layers = [conv(1, 1), nnx.relu, conv(WIDTH, 1), nnx.relu, conv(WIDTH, 2), nnx.relu]
    return nnx.Sequential(*layers, conv(WIDTH, 4), nnx.relu, nnx.Linear(WIDTH, 1, rngs=rngs))


# %% Data: images with a digit of 8 by 8 pixels, and masks of its ink. The clutter is pieces of
# other digits, 3 by 3 pixels, and noise. The last 297 digits are only for the final measure.


def canvases(digits: np.ndarray, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = 0.1 * rng.normal(size=(number, SIDE, SIDE)).astype(np.float32)
    masks = np.zeros_like(images)
    for image, mask in zip(images, masks, strict=True):
        for digit in digits[rng.integers(0, len(digits), 14)]:
            y, x = rng.integers(0, SIDE - 2, 2)
            image[y : y + 3, x : x + 3] = digit[2:5, 2:5]
        digit, (y, x) = digits[rng.integers(len(digits))], rng.integers(0, SIDE - 7, 2)
        mask[y : y + 8, x : x + 8] = digit > 0.5
        np.maximum(image[y : y + 8, x : x + 8], digit, out=image[y : y + 8, x : x + 8])
    return images[..., None], masks


pool, pool_masks = map(jnp.asarray, canvases(digits[:1500], POOL, 0))
images, masks = canvases(digits[1500:], 100, 1)
batches = np.random.default_rng(2).integers(0, POOL, (STEPS, BATCH))
graph, start = nnx.split(network(nnx.Rngs(0)))

# %% The three losses are one vector, so that one program trains for all of them. The score is the
# intersection over union of all pixels together: those found and true, by those found or true.


def losses(logits: jax.Array, masks: jax.Array) -> jax.Array:
    cross_entropy = gc.losses.sigmoid_binary_cross_entropy(logits, masks).mean()
    focal = gc.losses.sigmoid_focal_loss(logits, masks, alpha=0.75).mean()
    return jnp.stack([cross_entropy, focal, gc.losses.binary_dice_loss(logits, masks).mean()])


def overlap(logits: jax.Array, masks: jax.Array) -> jax.Array:
    found, true = logits > 0, masks > 0
    return (found & true).sum() / jnp.maximum((found | true).sum(), 1)


@jax.jit
def fit(kind: jax.Array) -> tuple[jax.Array, jax.Array]:
    def loss(params: nnx.State, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = nnx.merge(graph, params)(pool[rows])[..., 0]
        return losses(logits, pool_masks[rows])[kind], overlap(logits, pool_masks[rows])

    def step(carry: tuple, rows: jax.Array) -> tuple:
        params, state = carry
        grads, score = jax.grad(loss, has_aux=True)(params, rows)
        return tx.step(grads, state, params), score

    (params, _), scores = jax.lax.scan(step, (start, tx.init(start)), batches)
    return scores, nnx.merge(graph, params)(images)[..., 0]


curves, outputs = {}, {}
for kind, name in enumerate(("cross-entropy", "focal", "Dice")):
    curves[name], logits = map(np.asarray, fit(jnp.int32(kind)))
    outputs[name] = logits > 0
    score, recall = overlap(logits, masks), outputs[name][masks > 0].mean()
    best = max(overlap(logits - t, masks) for t in np.linspace(-3, 2, 21))
    print(f"{name:13}: overlap {score:.3f}, at its best threshold {best:.3f},", end=" ")
    print(f"first third {curves[name][: STEPS // 3].mean():.3f}, ink found {recall:.3f}")

# %% With cross-entropy the network first answers "nothing anywhere": for a while its overlap is
# zero. The Dice loss leaves this answer first, the focal loss, which weighs ink three times as much
# as the rest, next. With this start and number of steps they end ahead, at any threshold.

fig = plt.figure(figsize=(9, 6.4))
above, below = fig.subfigures(2, 1, height_ratios=[1.2, 1])
pictures = {"canvas": images[..., 0], "truth": masks} | outputs
for row, axes in enumerate(above.subplots(2, 5)):
    for ax, (name, shown) in zip(axes, pictures.items(), strict=True):
        ax.imshow(shown[row], cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[], title="" if row else name)
        ax.spines[:].set_visible(True)
ax = below.subplots()
for name, curve in curves.items():
    ax.plot(range(9, STEPS), np.convolve(curve, np.ones(10) / 10, "valid"), label=name)
ax.set(xlabel="step", ylabel="intersection over union", ylim=(0, 1))
ax.legend(loc="upper left", ncols=3, title="overlap with the next batch, mean of ten steps")
above.suptitle(f"The ink of one digit, {masks.mean():.1%} of the pixels, found with three losses")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/segment_digits.png")
print("picture: out/segment_digits.png")
