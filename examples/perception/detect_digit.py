"""
Detection: where a digit is, and which one
==========================================

Train a small convolutional network to find a digit on a noisy canvas and to name it. It has two
heads on one trunk: one gives the four sides of a box, the other the class. Two losses of the box
are compared: smooth L1 on the sides in pixels (Girshick, 2015), which is the Huber loss, and one
minus the overlap of the two boxes (Yu et al., 2016). The overlap is their intersection over their
union, IoU, which is also how a detector is judged.
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
STEPS, NUMBER, BATCH, LOOKS = (180, 4000, 32, 6) if SMALL else (2000, 20_000, 64, 40)
HELD, SIDE, KINDS = 400, 32, ("smooth L1", "1 - IoU", "10 (1 - IoU)")

# %% Data: a digit of scikit-learn, 8 by 8 pixels, is enlarged to 10 to 22 pixels and placed
# anywhere on a canvas of 32 by 32. Noise of deviation 0.2 covers all. The true box is the smallest
# that holds the ink. The digits of the held-out canvases are in no canvas of training.

digits, names = load_digits(return_X_y=True)
digits = digits.reshape(-1, 8, 8) / 16
rng = np.random.default_rng(0)
order = rng.permutation(len(digits))
held, train = rng.choice(order[:450], HELD), rng.choice(order[450:], NUMBER)
chosen = np.concatenate([held, train])
size = rng.uniform(10, 22, (len(chosen), 1))
corner = rng.uniform(0, SIDE - size, (len(chosen), 2))  # left, top
places = (np.arange(SIDE) + 0.5 - corner[..., None]) / size[..., None] * 8 - 0.5
weights = np.maximum(0, 1 - np.abs(places[..., None] - np.arange(8)))  # bilinear
x = weights[:, 1] @ digits[chosen] @ weights[:, 0].swapaxes(1, 2)
x = np.float32(x + rng.normal(0, 0.2, x.shape))
ink = np.stack([digits[chosen].max(axis=axis) > 0.25 for axis in (1, 2)], axis=1)
first, last = ink.argmax(axis=2), 8 - ink[..., ::-1].argmax(axis=2)
box = np.float32(np.tile(corner, 2) + np.concatenate([first, last], axis=1) * size / 8)
held, train = (
    tuple(jnp.asarray(a[part]) for a in (x[..., None], box, names[chosen]))
    for part in (slice(HELD), slice(HELD, None))
)
rows = rng.integers(0, NUMBER, (LOOKS, STEPS // LOOKS, BATCH))

# %% The network starts with the box in the middle of the canvas, which touches nearly every digit.
# This matters: where two boxes are apart, their overlap is zero and has no slope. A convolution is
# written as a linear layer on patches: on a CPU, in a compiled loop, that is many times faster.


def patches(x: jax.Array) -> jax.Array:
    """The 3 by 3 neighbours of every second pixel."""
    n, x = x.shape[1], jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    starts = [slice(i, i + n, 2) for i in range(3)]
    return jnp.concatenate([x[:, i, j] for i in starts for j in starts], axis=-1)


class Detector(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Linear(9, 16, rngs=rngs)
        self.conv2 = nnx.Linear(9 * 16, 32, rngs=rngs)
        self.hidden = nnx.Linear(32 * (SIDE // 4) ** 2, 96, rngs=rngs)
        self.box = nnx.Linear(96, 4, kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.label = nnx.Linear(96, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = nnx.relu(self.conv2(patches(nnx.relu(self.conv1(patches(x))))))
        x = nnx.relu(self.hidden(x.reshape(len(x), -1)))
        shift, scale = jnp.split(self.box(x), 2, axis=1)
        middle, half = SIDE / 2 + SIDE / 4 * shift, SIDE / 4 * jnp.exp(scale)
        return jnp.concatenate([middle - half, middle + half], axis=1), self.label(x)


def overlap(a: jax.Array, b: jax.Array) -> jax.Array:
    shared = jnp.minimum(a[:, 2:], b[:, 2:]) - jnp.maximum(a[:, :2], b[:, :2])
    both = jnp.maximum(shared, 0.0).prod(axis=1)
    return both / (sum((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (a, b)) - both)


# %% One program trains with each loss of the box: ``kind`` is an argument of it. The loss of the
# class is added, and the held-out canvases are looked at after every so many steps.

rate = gc.warmup_cosine_decay_schedule(0.0, 2e-3, STEPS // 10, STEPS)
tx = gc.adamw(rate, where=gc.weight_matrices())


@jax.jit
def fit(kind: int, train: tuple, held: tuple) -> tuple[jax.Array, ...]:
    """Boxes, overlaps and right answers of the held-out canvases, at every look."""
    graph, start = nnx.split(Detector(nnx.Rngs(0)))

    def loss(params: nnx.State, rows: jax.Array) -> jax.Array:
        x, true_box, y = (values[rows] for values in train)
        box, logits = nnx.merge(graph, params)(x)
        smooth = gc.losses.huber_loss(box, true_box, delta=1.0).mean()
        apart = (1 - overlap(box, true_box)).mean()
        named = gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return named + jnp.stack([smooth, apart, 10 * apart])[kind]

    def step(carry: tuple, rows: jax.Array) -> tuple:
        grads = jax.grad(loss)(carry[0], rows)
        return tx.step(grads, carry[1], carry[0]), None

    def look(carry: tuple, rows: jax.Array) -> tuple:
        carry, _ = jax.lax.scan(step, carry, rows)
        box, logits = nnx.merge(graph, carry[0])(held[0])
        return carry, (box, overlap(box, held[1]), logits.argmax(axis=1) == held[2])

    return jax.lax.scan(look, (start, tx.init(start)), rows)[1]


guess = overlap(jnp.full((HELD, 4), SIDE / 4) * jnp.array([1, 1, 3, 3]), held[1]).mean()
print(f"{'middle':12}: mean IoU {guess:.3f}")
fig, (canvas, where, which) = plt.subplots(1, 3, figsize=(10, 4))
for kind, name in enumerate(KINDS):
    box, iou, right = (np.asarray(a) for a in fit(kind, train, held))
    good, named = (iou[-1] > 0.5).mean(), right[-1].mean()
    print(
        f"{name:12}: mean IoU {iou[-1].mean():.3f},"
        f" over one half {good:.3f}, class right {named:.3f}"
    )
    for ax, share in ((where, iou), (which, right)):
        steps = np.arange(1, LOOKS + 1) * (STEPS // LOOKS)
        ax.plot(steps, share.mean(axis=1), color=f"C{kind}", label=name)

# %% All three find far better boxes than one in the middle. One network learns both heads, so the
# weight between their losses is a choice: in this run, ten times the weight on the overlap gives
# better boxes and a worse class. Errors in pixels are larger numbers than an overlap, so smooth L1
# comes between.

wall = np.asarray(held[0][:16, ..., 0]).reshape(4, 4, SIDE, SIDE).swapaxes(1, 2)
canvas.imshow(wall.reshape(4 * SIDE, 4 * SIDE), cmap="gray_r", vmin=-0.2, vmax=1.2)
for i in range(16):
    for (x0, y0, x1, y1), style in ((held[1][i], "k:"), (box[-1, i], "C2-")):
        x, y = np.array([x0, x1, x1, x0, x0]), np.array([y0, y0, y1, y1, y0])
        canvas.plot(x + i % 4 * SIDE - 0.5, y + i // 4 * SIDE - 0.5, style)
canvas.set(xticks=SIDE * np.arange(5) - 0.5, yticks=SIDE * np.arange(5) - 0.5)
canvas.tick_params(labelbottom=False, labelleft=False, length=0)
canvas.set_title("Held out: true box (dotted)\nand found by 10 (1 - IoU)")
where.axhline(guess, color="k", linestyle=":", label="a box in the middle")
where.set(title="Where: overlap of\nfound and true box", ylabel="mean IoU")
which.set(title="Which: digits\nnamed right", ylabel="share of held-out canvases")
where.legend(loc="lower right")
for ax in (where, which):
    ax.set(xlabel="training step", xlim=(0, STEPS), ylim=(0, 1))
fig.suptitle("One network finds and names a digit: weight on one head costs the other")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/detect_digit.png")
print("picture: out/detect_digit.png")
