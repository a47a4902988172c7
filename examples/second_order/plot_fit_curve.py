"""
Fit a curve
===========

Fit three peaks in a noisy spectrum by least squares: from many starts at once, with the errors of
the parameters and of the curve, and with outliers in the data.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
STARTS = 30 if "--small" in sys.argv else 60

# %%
# The curve, its parameters as a tree, and data.


def curve(params, t):
    z = (t[:, None] - params["center"]) / params["width"]
    return params["ground"] + (params["height"] * jnp.exp(-0.5 * z**2)).sum(1)


def residuals(params, t, y):
    return curve(params, t) - y


def start(center):
    level, ones = {"center": center, "ground": jnp.array(0.0)}, jnp.ones(3)
    return level | {"height": ones, "width": 0.5 * ones}


rng = np.random.default_rng(0)
truth = start(jnp.array([2.0, 4.6, 7.0]))
truth |= {"ground": jnp.array(0.5), "height": jnp.array([3.0, 2.0, 1.5])}
t = jnp.linspace(0.0, 10.0, 100)
y = curve(truth, t) + 0.15 * rng.standard_normal(100)

# %% A sum of squares of peaks has many minima. Of many starts, all in one compiled loop, the best
# is taken. The residuals that remain and the Jacobian give the standard errors of its parameters.

centers = jnp.sort(jnp.asarray(rng.uniform(0.0, 10.0, (STARTS, 3)), float), 1)
options = {"args": (t, y), "max_steps": 100}
fit_from = lambda center: gc.least_squares(residuals, start(center), **options)
found = jax.vmap(fit_from)(centers)
best = jnp.nanargmin(found.value)
fit = jax.tree.map(lambda x: x[best], found)
fitted = fit.params
is_best = np.asarray(found.value < 1.01 * found.value[best])
print(f"{is_best.sum()} of {STARTS} starts end in the best minimum, {found.value[best]:.3f}")

errors = fit.standard_errors()
for i in np.argsort(fitted["center"]):
    print(f"peak at {fitted['center'][i]:.3f} ± {errors['center'][i]:.3f}")

# %%
# The Jacobian carries the covariance of the parameters over to the curve: a band of two standard
# errors. Each parameter has its own, also of two.

jacobian = fit.jacobian_matrix
band = 2 * jnp.sqrt(jnp.sum((jacobian @ fit.covariance(flat=True)) * jacobian, axis=1))
inside = jnp.mean(jnp.abs(curve(fitted, t) - curve(truth, t)) < band)
print(f"the truth is within the band at {100 * inside:.0f} % of the points")

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), width_ratios=[2, 1])
left.plot(t, y, ".", color="0.5", label="data")
left.plot(t, curve(truth, t), color="0.8", lw=4, label="truth")
left.plot(t, curve(fitted, t), label="fit")
ends = curve(fitted, t) - band, curve(fitted, t) + band
left.fill_between(t, *ends, alpha=0.4, label="its error, two standard errors")
left.set(title="the curve", xlabel="t", ylabel="y")
left.legend()
order = np.argsort(fitted["center"])
for row, name in enumerate(["center", "height", "width"]):
    found_sizes = np.abs(np.asarray(fitted[name][order]))  # a width may have either sign
    off = found_sizes - np.asarray(truth[name])
    places = row + 0.2 * np.arange(-1, 2)
    bars = 2 * np.asarray(errors[name][order])
    right.errorbar(off, places, xerr=bars, fmt="o", ms=4, capsize=2)
right.axvline(0.0, color="0.8")
right.set(title="the parameters", xlabel="off the truth")
right.set_yticks(range(3), ["centers", "heights", "widths"])
plt.show()

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

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
left.semilogy(np.sort(found.value), "o", ms=4)
left.set(title=f"where {STARTS} starts end", xlabel="starts, the best first")
left.set(ylabel="half the sum of squares")
right.plot(t, spoilt, ".", color="0.5", label="data")
right.plot(t, curve(truth, t), color="0.8", lw=5, label="truth")
right.plot(t, curve(plain.params, t), "--", label="squares")
right.plot(t, curve(robust.params, t), label="Cauchy's loss")
right.set(title="with cosmic rays", xlabel="t", ylabel="y")
fig.legend(loc="outside lower right", ncols=4)
plt.show()
