"""
Detection: where a digit is
===========================

Train a small convolutional network to find the box around a digit on a noisy canvas. Two losses are
compared: smooth L1 on the sides in pixels (Girshick, 2015), which is the Huber loss, and one minus
the overlap of found and true box, intersection over union or IoU (Yu et al., 2016).
"""

import sys
from functools import partial
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
STEPS, NUMBER, BATCH, LOOKS = (180, 4000, 32, 6) if SMALL else (2000, 20_000, 64, 40)
HELD, SIDE, KINDS = 400, 32, ("smooth L1", "1 - IoU")

# %% Data: a digit of scikit-learn, 8 by 8 pixels, is enlarged to 10 to 22 pixels and placed
# anywhere on a canvas of 32 by 32. The true box is the smallest that holds the ink. Noise of
# deviation 0.2 covers all. The digits of the held-out canvases are in no canvas of training.

digits, rng = load_digits().images / 16, np.random.default_rng(0)
chosen = np.append(rng.integers(450, size=HELD), rng.integers(450, len(digits), NUMBER))
size = rng.uniform(10, 22, (len(chosen), 1))
setting = np.tile(size / 8, 2), rng.uniform(0, SIDE - size, (len(chosen), 2))
move = partial(jax.image.scale_and_translate, method="linear", spatial_dims=(0, 1))
place = lambda digit, scale, corner: move(digit, (SIDE, SIDE), scale=scale, translation=corner)
x = np.asarray(jax.vmap(place)(digits[chosen], *setting))
ink = [(x > 0.25).any(axis=axis) for axis in (1, 2)]  # in each column, in each row
ends = [side.argmax(axis=1) for side in ink] + [SIDE - i[:, ::-1].argmax(axis=1) for i in ink]
boxes = np.float32(np.stack(ends, axis=1))  # left, top, right, bottom
x = np.float32(x + rng.normal(0, 0.2, x.shape))[..., None]
held, train = ((x[i], boxes[i]) for i in np.s_[:HELD, HELD:])
rows = rng.integers(0, NUMBER, (LOOKS, STEPS // LOOKS, BATCH))

# %% A convolution is written as a linear layer on the 3 by 3 neighbours of every second pixel: on a
# CPU, in a compiled loop, that is many times faster. The last layer begins with zeros, which is a
# box in the middle. It touches nearly every digit: the overlap of boxes apart has no slope.


def patches(x: jax.Array) -> jax.Array:
    n, x = x.shape[1], jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    starts = [slice(i, i + n, 2) for i in range(3)]
    return jnp.concatenate([x[:, i, j] for i in starts for j in starts], axis=-1)


linear = partial(nnx.Linear, rngs=nnx.Rngs(0))
convolutions = patches, linear(9, 16), nnx.relu, patches, linear(9 * 16, 32), nnx.relu
head = linear(SIDE**2 * 2, 96), nnx.relu, linear(96, 4, kernel_init=nnx.initializers.zeros)
graph, start = nnx.split(nnx.Sequential(*convolutions, jax.vmap(jnp.ravel), *head))


def detect(params: nnx.State, x: jax.Array) -> jax.Array:
    shift, scale = jnp.split(nnx.merge(graph, params)(x), 2, axis=1)
    middle, half = SIDE / 2 + SIDE / 4 * shift, SIDE / 4 * jnp.exp(scale)
    return jnp.concatenate([middle - half, middle + half], axis=1)


def overlap(a: jax.Array, b: jax.Array) -> jax.Array:
    shared = jnp.minimum(a[:, 2:], b[:, 2:]) - jnp.maximum(a[:, :2], b[:, :2])
    both = jnp.maximum(shared, 0.0).prod(axis=1)
    return both / (sum((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (a, b)) - both)


# %% One program trains with either loss: ``kind`` is an argument of it.

tx = gc.adamw(gc.cosine_decay_schedule(2e-3, STEPS), where=gc.weight_matrices())


@jax.jit
def fit(kind: int, train: tuple, held: tuple) -> tuple[jax.Array, jax.Array]:
    def loss(params: nnx.State, rows: jax.Array) -> jax.Array:
        box, true = detect(params, train[0][rows]), train[1][rows]
        smooth = gc.losses.huber_loss(box, true).sum(axis=1) / 4
        return jnp.where(kind == 0, smooth, 1 - overlap(box, true)).mean()

    step = lambda carry, rows: (tx.step(jax.grad(loss)(carry[0], rows), *carry[::-1]), None)

    def look(carry: tuple, rows: jax.Array) -> tuple:
        carry, _ = jax.lax.scan(step, carry, rows)
        box = detect(carry[0], held[0])
        return carry, (box, overlap(box, held[1]))

    return jax.lax.scan(look, (start, tx.init(start)), rows)[1]


fig, (canvas, curves) = plt.subplots(1, 2, figsize=(10, 4.6))
middle = overlap(detect(start, held[0]), held[1])  # zeros: every box is in the middle
print(f"{'middle':9}: mean IoU {middle.mean():.3f}")
for kind, name in enumerate(KINDS):
    box, iou = (np.asarray(a) for a in fit(kind, train, held))
    print(f"{name:9}: mean IoU {iou[-1].mean():.3f}, over one half {(iou[-1] > 0.5).mean():.3f}")
    curves.plot(STEPS / LOOKS * np.arange(1, LOOKS + 1), iou.mean(axis=1), label=name)
curves.legend(loc="lower right")

# %% Both find far better boxes than one in the middle, and end with the same overlap here. Smooth
# L1 is in pixels and the overlap has no unit: beside a loss of the class they need other weights.

wall = np.block([[*row] for row in x[:16, ..., 0].reshape(4, 4, SIDE, SIDE)])
canvas.imshow(wall, cmap="gray_r")
for i in range(16):
    for sides, style in ((boxes[i], "k:"), (box[-1, i], "C1-")):
        left, top, right, bottom = sides + np.tile(SIDE * np.array([i % 4, i // 4]), 2) - 0.5
        canvas.plot([left, right, right, left, left], [top, top, bottom, bottom, top], style)
canvas.set(xticks=[], yticks=[], title="Held out: true box (dotted) and found by 1 - IoU")
curves.set(xlabel="training step", ylabel="mean IoU, held out", xlim=(0, STEPS), ylim=(0, 1))
fig.suptitle("A network finds the digit, whether pixels or the overlap are its loss")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/detect_digit.png")
print("picture: out/detect_digit.png")
