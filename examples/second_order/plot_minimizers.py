"""
How minimizers move
===================

Compare five minimizers on four functions of two parameters, and six on a small network: the gain
from curvature, and its cost.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL, FEW = "--small" in sys.argv, {"Adam", "L-BFGS"}
chosen = lambda methods: {k: tx for k, tx in methods.items() if k in FEW or not SMALL}

# %% Four functions: a curved valley, a plain with steep walls, four minima of the same height, and
# a saddle between two minima.


def rosenbrock(p):
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def beale(p):
    return sum((c - p[0] * (1 - p[1] ** k)) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625)))


himmelblau = lambda p: (p[0] ** 2 + p[1] - 11) ** 2 + (p[0] + p[1] ** 2 - 7) ** 2
saddle = lambda p: p[0] ** 2 - p[1] ** 2 + p[1] ** 4 / 2
FOUR = [(3, 2), (-2.805, 3.131), (-3.779, -3.283), (3.584, -1.848)]
LANDSCAPES = {  # the function, its start, the ranges that are drawn, and its minima
    "Rosenbrock's valley": (rosenbrock, (-1.2, 1.0), (-1.8, 1.5), (-0.6, 1.8), [(1, 1)]),
    "Beale's plain": (beale, (1.0, 1.0), (-0.5, 4.0), (-0.8, 1.6), [(3, 0.5)]),
    "Himmelblau's four minima": (himmelblau, (0.3, 0.0), (-5.0, 5.0), (-5.0, 5.0), FOUR),
    "a saddle": (saddle, (1.0, 1e-3), (-1.2, 1.2), (-1.4, 1.4), [(0, 1), (0, -1)]),
}

# %% Each minimizer is a chain. ``minimize`` keeps the point of each step, and returns why it ended.
# The landscape is an argument of one function, so that each loop is compiled once and not four
# times.


def height(p, which):
    return jax.lax.switch(which, [fun for fun, *_ in LANDSCAPES.values()], p)


MINIMIZERS = {
    "steepest descent": gc.chain(gc.scale(-1.0), gc.strong_wolfe(guess="previous")),
    "Adam": gc.adam(0.05),
    "conjugate gradients": gc.nonlinear_cg(),
    "L-BFGS": gc.lbfgs(),
    "trust region, Newton": gc.trust_region(),
}

fig, axes = plt.subplots(2, 2, figsize=(10, 9))
for which, (ax, title) in enumerate(zip(axes.flat, LANDSCAPES, strict=True)):
    fun, start, x, y, minima = LANDSCAPES[title]
    paths, options = {}, {"max_steps": 400, "tol": 1e-4, "history": "params"}
    print(title)
    for name, tx in chosen(MINIMIZERS).items():
        found = gc.minimize(height, jnp.array(start), tx, args=(jnp.array(which),), **options)
        paths[name] = found.history["params"]
        work = f"{int(found.evals):4} evaluations, value {float(found.value):9.2e}"
        print(f"  {name:22} {work}, {found.status.words}")
    gc.plot.trajectories(fun, paths, x, y, ax)
    ax.plot(*start, "ko", markersize=6, label="start")
    ax.plot(*np.transpose(minima), "k*", markersize=12, linestyle="", label="minimum")
    ax.set(title=title, xlabel="first parameter", ylabel="second parameter")
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
fig.suptitle("Paths of five minimizers from one start, over the contours of the function")
plt.show()

# %% A small network: 300 handwritten digits, one hidden layer, all examples at once. A product with
# the Hessian costs about two gradients, so the curves are over work and not over steps.

images, labels = load_digits(return_X_y=True)
pixels, labels = jnp.asarray(images[:300] / 16, jnp.float32), jnp.asarray(labels[:300])
keys = jax.random.split(jax.random.key(0))
params = {
    "hidden": {"kernel": jax.random.normal(keys[0], (64, 16)) / 8, "bias": jnp.zeros(16)},
    "head": {"kernel": jax.random.normal(keys[1], (16, 10)) / 4, "bias": jnp.zeros(10)},
}


def loss(params, pixels, labels):
    hidden = jnp.tanh(pixels @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    logits = hidden @ params["head"]["kernel"] + params["head"]["bias"]
    fit = gc.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return fit + 1e-4 * sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(params))


BUDGET = 300  # gradients
NETWORK = {  # and the work of an evaluation
    "gradient descent": (gc.sgd(0.5), 1),
    "momentum": (gc.sgd(0.5, momentum=0.9), 1),
    "Adam": (gc.adam(0.02), 1),
    "conjugate gradients": (gc.nonlinear_cg(), 1),
    "L-BFGS": (gc.lbfgs(), 1),
    "trust region, Newton": (gc.trust_region(max_steps=12), 25),  # 12 products of two each
}

fig, ax = plt.subplots(figsize=(9, 4.5))
print("a small network, after the work of", BUDGET, "gradients")
for name, (tx, work) in chosen(NETWORK).items():
    options = {"max_evals": BUDGET // work, "max_steps": BUDGET, "history": True}
    found = gc.minimize(loss, params, tx, args=(pixels, labels), **options)
    values, evals = (np.asarray(found.history[k]) for k in ("value", "evals"))
    ax.plot(evals * work, values, label=name)
    print(f"  {name:22} loss {float(found.value):.4f}, {found.status.words}")
ax.set(yscale="log", xlabel="work, in gradients", ylabel="loss", xlim=(0, BUDGET))
ax.set(title="a small network, all examples at once")
fig.legend(loc="outside right upper")
plt.show()
