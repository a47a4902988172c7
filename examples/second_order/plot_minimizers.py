"""
How minimizers move
===================

Compare five minimizers on four functions of two parameters, and six on a small network: the gain
from curvature, and its cost.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import gradchain as gc
from gradchain import losses

# %% Four functions: a curved valley, a plain with steep walls, four minima of the same height, and
# a saddle between two minima.


def rosenbrock(p):
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def beale(p):
    return sum((c - p[0] * (1 - p[1] ** k)) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625)))


def himmelblau(p):
    return (p[0] ** 2 + p[1] - 11) ** 2 + (p[0] + p[1] ** 2 - 7) ** 2


def saddle(p):
    return p[0] ** 2 - p[1] ** 2 + p[1] ** 4 / 2


LANDSCAPES = {
    "Rosenbrock's valley": (rosenbrock, (-1.2, 1.0), (-1.8, 1.5), (-0.6, 1.8)),
    "Beale's plain": (beale, (1.0, 1.0), (-0.5, 4.0), (-0.8, 1.6)),
    "Himmelblau's four minima": (himmelblau, (0.3, 0.0), (-5.0, 5.0), (-5.0, 5.0)),
    "a saddle": (saddle, (1.0, 1e-3), (-1.2, 1.2), (-1.4, 1.4)),
}
MINIMA = {
    "Rosenbrock's valley": [(1, 1)],
    "Beale's plain": [(3, 0.5)],
    "Himmelblau's four minima": [(3, 2), (-2.805, 3.131), (-3.779, -3.283), (3.584, -1.848)],
    "a saddle": [(0, 1), (0, -1)],
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

fig, axes = plt.subplots(2, 2, figsize=(10, 9), layout="constrained")
for which, (ax, title) in enumerate(zip(axes.flat, LANDSCAPES, strict=True)):
    fun, start, x, y = LANDSCAPES[title]
    paths = {}
    print(title)
    for name, tx in MINIMIZERS.items():
        start_at, data = jnp.array(start), (jnp.array(which),)
        found = gc.minimize(
            height, start_at, tx, args=data, max_steps=400, tol=1e-4, history="params"
        )
        paths[name] = found.history["params"]
        work = f"{int(found.evals):4} evaluations, value {float(found.value):9.2e}"
        print(f"  {name:22} {work}, {found.status.words}")
    gc.plot.trajectories(fun, paths, x, y, ax)
    ax.plot(*start, "ko", markersize=6, label="start")
    ax.plot(*np.transpose(MINIMA[title]), "k*", markersize=12, linestyle="", label="minimum")
    ax.set(title=title, xlabel="first parameter", ylabel="second parameter")
handles = axes[0, 0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=4, frameon=False)
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
    fit = losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return fit + 1e-4 * sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(params))


BUDGET = 300  # gradients
NETWORK = {
    "gradient descent": (gc.sgd(0.5), 1),
    "momentum": (gc.sgd(0.5, momentum=0.9), 1),
    "Adam": (gc.adam(0.02), 1),
    "conjugate gradients": (gc.nonlinear_cg(), 1),
    "L-BFGS": (gc.lbfgs(), 1),
    "trust region, Newton": (
        gc.trust_region(max_steps=12),
        25,
    ),  # at most 12 products, of two gradients each
}

_, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
print("a small network, after the work of", BUDGET, "gradients")
for name, (tx, work) in NETWORK.items():
    found = gc.minimize(
        loss,
        params,
        tx,
        args=(pixels, labels),
        max_evals=BUDGET // work,
        max_steps=BUDGET,
        history=True,
    )
    values, evals = (np.asarray(found.history[k]) for k in ("value", "evals"))
    ax.plot(evals * work, values, label=name)
    print(f"  {name:22} loss {float(found.value):.4f}, {found.status.words}")
ax.set(yscale="log", xlabel="work, in gradients", ylabel="loss", xlim=(0, BUDGET))
ax.set(title="a small network, all examples at once")
ax.legend(frameon=False, fontsize="small")
plt.show()
