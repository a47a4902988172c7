"""
Rare positives: cross-entropy, class weights and focal loss
===========================================================

Train a network to find fraud, where one payment in a thousand is a fraud. A model that never finds
any is right in 99.9% of all cases, so accuracy says nothing. Precision is the share of alarms that
are true; recall is the share of frauds that are found. Compared are cross-entropy, the same with a
larger weight for frauds, and the focal loss (Lin et al., 2017), on generated payments.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, SEEDS, NUMBER = (800, 2, 100_000) if SMALL else (2000, 5, 400_000)
SHIFTS, SPREAD, RARE = np.array([(3.0, -2.5), (-2.5, 3.0)]), 0.5, 1000

# %% Data: six measurements of each payment, normal with mean 0 and deviation 1. A fraud is of one
# of two kinds; each is shifted in two measurements and narrow in these. The ratio of the densities
# is the best score there can be.


def payments(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measurements, whether each is a fraud, and the logarithm of the ratio of densities."""
    x = np.random.default_rng(seed).normal(size=(NUMBER, 6)).astype(np.float32)
    ratios = []
    for kind, shift in enumerate(SHIFTS):
        pair = x[:, 2 * kind : 2 * kind + 2]
        pair[kind * RARE :: 2 * RARE] = shift + SPREAD * pair[kind * RARE :: 2 * RARE]
        ratios.append((pair**2 - ((pair - shift) / SPREAD) ** 2).sum(axis=1) / 2)
    return x, np.arange(NUMBER) % RARE == 0, np.logaddexp(*ratios)


(train_x, train_y, _), (test_x, test_y, best_score) = payments(0), payments(1)

# %% One network for all, and its three losses as one vector, so that one program trains all of
# them at once. A weight of 1000 makes the two classes equally important.


def losses(logits: jax.Array, labels: jax.Array) -> jax.Array:
    cross_entropy = gc.losses.sigmoid_binary_cross_entropy(logits, labels)
    focal = gc.losses.sigmoid_focal_loss(logits, labels, gamma=2.0)
    return jnp.stack([cross_entropy, jnp.where(labels, RARE, 1.0) * cross_entropy, focal]).mean(1)


rate = gc.warmup_cosine_decay_schedule(0.0, 2e-2, STEPS // 10, STEPS)
tx = gc.adamw(rate, where=gc.weight_matrices())
rows = np.random.default_rng(2).integers(0, NUMBER, (STEPS, 2048))
batches = jnp.asarray(train_x[rows]), jnp.asarray(train_y[rows])


def fit(kind: jax.Array, key: jax.Array) -> jax.Array:
    rngs = nnx.Rngs(key)
    first, second, last = (nnx.Linear(*n, rngs=rngs) for n in ((6, 16), (16, 16), (16, 1)))
    graph, start = nnx.split(nnx.Sequential(first, nnx.relu, second, nnx.relu, last))

    def step(carry: tuple, batch: tuple) -> tuple:
        (params, state), (x, y) = carry, batch
        grads = jax.grad(lambda p: losses(nnx.merge(graph, p)(x)[:, 0], y)[kind])(params)
        return tx.step(grads, state, params), None

    (params, _), _ = jax.lax.scan(step, (start, tx.init(start)), batches)
    return nnx.merge(graph, params)(test_x)[:, 0]


sweep = jax.jit(jax.vmap(jax.vmap(fit, in_axes=(None, 0)), in_axes=(0, None)))
logits = sweep(jnp.arange(3), jax.random.split(jax.random.key(0), SEEDS))
logits = np.concatenate([logits, logits[1:2] - np.log(RARE)])
names = ("cross-entropy", "class weights", "focal loss", "weights undone")

# %% An alarm is a probability above one half. The curve is what all other thresholds give; its
# area, the average precision, does not depend on a threshold.


def curve(scores: np.ndarray) -> np.ndarray:
    """Recall and precision, when the payments with the highest scores are the alarms."""
    hits = np.cumsum(test_y[np.argsort(-scores)])
    return np.stack([hits / hits[-1], hits / np.arange(1, len(hits) + 1)])


area = lambda points: float(np.sum(points[1] * np.diff(points[0], prepend=0.0)))
fig, ax = plt.subplots(figsize=(7.5, 4.8))
print(f"{'never an alarm':14}: accuracy {1 - test_y.mean():.4f}, recall 0.000")
for i, (name, scores) in enumerate(zip(names, logits, strict=True)):
    alarms = scores > 0
    hits, accuracy = (alarms & test_y).sum(), (alarms == test_y).mean()
    recall, precision = hits / (SEEDS * test_y.sum()), hits / max(alarms.sum(), 1)
    curves = [curve(run) for run in scores]
    row = f"accuracy {accuracy:.4f}, recall {recall:.3f}, precision {precision:.3f}"
    print(f"{name:14}: {row}, average precision {np.mean([*map(area, curves)]):.3f}")
    if i < 3:
        ax.plot(*np.mean(curves, axis=0), color=f"C{i}")
    label = f"{name}: {accuracy:.2%} right"
    ax.plot(recall, precision, "o", color=f"C{i}", markersize=9, label=label)
best = curve(best_score)
print(f"{'best possible':14}: average precision {area(best):.3f}")

# %% Accuracy does not tell a model that finds nothing from those that find frauds. At one half,
# cross-entropy misses more than half of them, and the focal loss finds somewhat more. Class weights
# find nearly all, with eight false alarms for each true one. Most of this is choice of threshold:
# the curves are closer than the points. Take log 1000 from the logit, and alarms are few again.

ax.plot(*best, "k:", label="best possible")
ax.plot([], [], " ", label=f"never an alarm: {1 - test_y.mean():.2%} right")
ax.set(xlabel="recall: share of frauds found", ylim=(0, 1.02), xlim=(0, 1.02))
ax.set(ylabel="precision: share of alarms that are true")
ax.set_title(f"One fraud in {RARE}: the loss moves the point at threshold 1/2 ({SEEDS} runs)")
ax.legend(loc="lower left")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/detect_fraud.png")
print("picture: out/detect_fraud.png")
