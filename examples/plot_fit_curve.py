"""
Fit a curve
===========

Fit three peaks in a noisy spectrum by least squares: from many starts at once, with standard errors
of the parameters, and with outliers in the data.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.flatten_util import ravel_pytree

import gradchain as gc

# %%
# The curve, its parameters as a tree, and data.


def curve(params, t):
    peaks = params["height"] * jnp.exp(
        -0.5 * ((t[:, None] - params["center"]) / params["width"]) ** 2
    )
    return params["ground"] + peaks.sum(1)


def residuals(params, t, y):
    return curve(params, t) - y


def start(center):
    return {
        "center": center,
        "ground": jnp.array(0.0),
        "height": jnp.ones(3),
        "width": jnp.full(3, 0.5),
    }


rng = np.random.default_rng(0)
truth = start(jnp.array([2.0, 4.6, 7.0])) | {
    "ground": jnp.array(0.5),
    "height": jnp.array([3.0, 2.0, 1.5]),
}
t = jnp.linspace(0.0, 10.0, 100)
y = curve(truth, t) + 0.15 * rng.standard_normal(100)

# %% A sum of squares of peaks has many minima. Of 60 starts, all in one compiled loop, the best is
# taken. The residuals that remain and the Jacobian give the standard errors.

centers = jnp.sort(jnp.asarray(rng.uniform(0.0, 10.0, (60, 3)), float), 1)
found = jax.vmap(
    lambda center: gc.least_squares(residuals, start(center), args=(t, y), max_steps=100)
)(centers)
best = jnp.nanargmin(found.value)
fitted = jax.tree.map(lambda x: x[best], found.params)
is_best = np.asarray(found.value < 1.01 * found.value[best])
print(f"{is_best.sum()} of {len(centers)} starts end in the best minimum, {found.value[best]:.3f}")

vector, to_tree = ravel_pytree(fitted)
jacobian = jax.jacfwd(lambda v: residuals(to_tree(v), t, y))(vector)
variance = 2 * found.value[best] / (len(t) - len(vector))
errors = to_tree(jnp.sqrt(variance * jnp.diag(jnp.linalg.inv(jacobian.T @ jacobian))))
for i in np.argsort(fitted["center"]):
    print(f"peak at {fitted['center'][i]:.3f} ± {errors['center'][i]:.3f}")

# %% Outliers, for example cosmic rays in a detector, dominate a sum of squares. A robust loss
# reduces their weight.

hit = rng.choice(100, 15, replace=False)
spoilt = y.at[hit].add(jnp.asarray(rng.uniform(1.0, 4.0, 15)))
plain = gc.least_squares(residuals, fitted, args=(t, spoilt))
robust = gc.least_squares(residuals, fitted, args=(t, spoilt), loss="cauchy", f_scale=0.15)
for name, result in {"squares": plain, "cauchy": robust}.items():
    off = jnp.sqrt(jnp.mean((curve(result.params, t) - curve(truth, t)) ** 2))
    print(f"{name:7} is off by {off:.3f} after {int(result.steps)} steps: {result.status.words}")

# %%
# The minima that the starts reach, and the two fits.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
left.semilogy(np.sort(found.value), "o", ms=4)
left.set(
    title="where 60 starts end", xlabel="starts, the best first", ylabel="half the sum of squares"
)
right.plot(t, spoilt, ".", color="0.5", label="data")
right.plot(t, curve(truth, t), color="0.8", lw=5, label="truth")
right.plot(t, curve(plain.params, t), "--", label="squares")
right.plot(t, curve(robust.params, t), label="Cauchy's loss")
right.set(title="with cosmic rays", xlabel="t")
right.legend(frameon=False)
plt.show()
