"""
Sharpness-aware minimization: flat minima, and wrong labels
===========================================================

Train a network on digits of which one in five has a wrong label, with SAM (Foret et al., 2021) and
without. SAM takes the gradient at the worst point within a radius: it steps uphill first, and
descends with the gradient from there. A step costs two gradients instead of one. The network learns
by gradient descent with momentum and by AdamW, with several radii; a radius of zero is without SAM.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from scipy import stats
from sklearn.datasets import load_digits

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, SEEDS, WIDTH, PARTS = (800, 2, 32, 4) if SMALL else (1000, 5, 64, 20)
RADII = np.array([0.0, 0.4] if SMALL else [0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
NUMBER, WRONG = 900, 0.2
adamw, sgd = gc.adamw(3e-3, where=gc.weight_matrices()), gc.sgd(0.1, momentum=0.9)
OPTIMIZERS = {"AdamW": adamw} if SMALL else {"AdamW": adamw, "SGD": sgd}

# %%
# Data: 900 images to train on, a fifth of them with a wrong label, and 897 with right ones.

rng = np.random.default_rng(0)
images, labels = load_digits(return_X_y=True)
order = rng.permutation(len(images))
(x, x_held), (y, y_held) = (np.split(a[order], [NUMBER]) for a in (images / 16, labels))
y = (y + rng.integers(1, 10, NUMBER) * (rng.random(NUMBER) < WRONG)) % 10
x, x_held, y, y_held = map(jnp.asarray, (x, x_held, y, y_held))


def interval(values: np.ndarray) -> tuple:
    """The mean over seeds, and half the width of its 95% interval."""
    return values.mean(axis=0), stats.sem(values) * stats.t.ppf(0.975, SEEDS - 1)


# %% ``gc.sam`` asks for the loss of the batch, ``value_fn=``, because it takes a second gradient
# there. All runs are twice as long as needed: a plain run then makes as many gradients as SAM in
# half of it. After half of it ``gc.curvature`` gives the largest eigenvalue of the Hessian.


def train(tx: gc.GradientTransformation, key: jax.Array) -> tuple:
    rngs = nnx.Rngs(key)
    hidden, head = nnx.Linear(64, WIDTH, rngs=rngs), nnx.Linear(WIDTH, 10, rngs=rngs)
    graph, start = nnx.split(nnx.Sequential(hidden, nnx.relu, head))

    def loss_fn(params: nnx.State, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, params)(x)
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def step(carry: tuple, rows: jax.Array) -> tuple:
        params, state = carry
        loss = lambda params: loss_fn(params, x[rows], y[rows])
        return tx.step(jax.grad(loss)(params), state, params, value_fn=loss), None

    def part(carry: tuple, batches: jax.Array) -> tuple:
        carry, _ = jax.lax.scan(step, carry, batches)
        right = nnx.merge(graph, carry[0])(x_held).argmax(axis=1) == y_held
        return carry, (100 * right.mean(), carry[0])

    batches = jax.random.randint(key, (2 * PARTS, STEPS // PARTS, 32), 0, NUMBER)
    _, (accuracy, params) = jax.lax.scan(part, (start, tx.init(start)), batches)
    params = jax.tree.map(lambda a: a[PARTS - 1], params)
    return accuracy, gc.curvature.sharpness(lambda p: loss_fn(p, x, y), params, key=key)


population = jax.jit(jax.vmap(jax.vmap(train, in_axes=(0, None)), in_axes=(None, 0)))
keys = jax.random.split(jax.random.key(0), SEEDS)

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 4.2))
places, shown = np.arange(len(RADII)), list(RADII).index(0.4)
for (name, tx), color in zip(OPTIMIZERS.items(), ("C0", "C3"), strict=False):
    sams = jax.vmap(lambda radius, tx=tx: gc.sam(tx, rho=radius))(RADII)
    accuracy, top = map(np.asarray, population(sams, keys))
    held, eigenvalue = interval(accuracy[..., PARTS - 1]), interval(top)
    for radius, row in zip(RADII, np.transpose([*held, *eigenvalue]), strict=True):
        text = "held-out accuracy {:.1f}% +- {:.1f}, eigenvalue {:.2f} +- {:.2f}"
        print(f"{name}, radius {radius}:", text.format(*row))
    twice = interval(accuracy[:, 0, -1])
    print("{}, twice the steps: {:.1f}% +- {:.1f}".format(name, *twice))
    for i, cost, style in ((0, 1, "--"), (shown, 2, "-")):
        curve, width = interval(accuracy[:, i, : 2 * PARTS // cost])
        work = cost * STEPS // PARTS * np.arange(1, len(curve) + 1)
        label = f"{name} with SAM, radius {RADII[i]}" if i else name
        left.plot(work, curve, style, color=color, label=label)
        left.fill_between(work, curve - width, curve + width, color=color, alpha=0.2)
    look = {"color": color, "capsize": 3}
    middle.errorbar(places, *held, fmt="o-", label=name, **look)
    middle.errorbar(0, *twice, fmt="o", markerfacecolor="white", **look)
    right.errorbar(places, *eigenvalue, fmt="o-", label=name, **look)

# %% With SAM the network is right more often, and the loss is flatter: at a radius of 0.4 its
# largest eigenvalue is less than half of that without. At the same number of gradients the gain is
# larger than at the same number of steps, because the plain optimizers go on to learn the wrong
# labels. To stop them early helps as well. Too large a radius does harm, to SGD most.

left.set(title="while training, at equal cost", xlabel="gradients of a batch")
middle.set(title=f"after {STEPS} steps (open: twice as many)")
right.set(title=f"after {STEPS} steps", ylabel="largest Hessian eigenvalue", ylim=0)
for ax in (left, middle):
    ax.set(ylabel="accuracy on held-out images, %", ylim=(75, 100))
for ax in (middle, right):
    ax.set(xlabel="radius of SAM (0: without)", xticks=places, xticklabels=RADII)
    ax.legend()
fig.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4)
fig.suptitle("One label in five is wrong: with SAM the minima are flatter (95% intervals)")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/sharpness_aware.png")
print("picture: out/sharpness_aware.png")
