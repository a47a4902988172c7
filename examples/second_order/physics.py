"""
Error bars of a fit, and whether to believe them
================================================

Fit the law of a damped pendulum to a noisy recording, by least squares. The fit states a standard
error for each of the five parameters, from the Jacobian and the residuals. The experiment is then
repeated with new noise, thousands of times in one program, to count how often the truth is within
one and within two errors. This should be so in 68 % and 95 % of the experiments. It is, as long as
each measurement errs on its own. Noise that drifts is as large, but the errors become too small.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
jax.config.update("jax_enable_x64", True)
REPEATS = 400 if "--small" in sys.argv else 4000
NOISE, DRIFT = 0.03, 0.7

# %%
# The law: an oscillation that decays, about a place of rest that the camera does not show at zero.
# The recording is 80 angles in ten seconds. Each has an error of 0.03 rad.

TRUTH = {"swing": 0.5, "decay": 0.15, "turn": 3.0, "phase": 0.4, "rest": 0.1}
START = {"swing": 0.4, "decay": 0.1, "turn": 2.8, "phase": 0.0, "rest": 0.0}
UNITS = {"swing": "rad", "decay": "1/s", "turn": "rad/s", "phase": "rad", "rest": "rad"}
t = jnp.linspace(0.0, 10.0, 80)


def law(params: dict, t: jax.Array) -> jax.Array:
    oscillation = jnp.cos(params["turn"] * t + params["phase"])
    return params["rest"] + params["swing"] * jnp.exp(-params["decay"] * t) * oscillation


# %% The noise is normal. It is drawn anew for each angle, or it drifts: then each error is 0.7 of
# the one before, plus a new part. Both have the same size.


def noise(key: jax.Array, drift: jax.Array) -> jax.Array:
    def step(before: jax.Array, new: jax.Array) -> tuple:
        now = drift * before + jnp.sqrt(1 - drift**2) * new
        return now, now

    fresh = jax.random.normal(key, t.shape)
    return NOISE * jax.lax.scan(step, fresh[0], fresh)[1]


def experiment(key: jax.Array, drift: jax.Array) -> tuple:
    angles = law(TRUTH, t) + noise(key, drift)
    fit = gc.least_squares(lambda p: law(p, t) - angles, START)
    return angles, fit.params, fit.standard_errors(), fit.success


# %% One program repeats the experiment with both kinds of noise. Each fit has its own data, and all
# start from the same rough guess.

keys = jax.random.split(jax.random.key(0), REPEATS)
both = jax.vmap(jax.vmap(experiment, (0, None)), (None, 0))
found = jax.jit(both)(keys, jnp.array([0.0, DRIFT]))
angles, params, errors, success = jax.tree.map(np.asarray, found)
print(f"{success.size} fits, {success.mean():.1%} converged")
for name, unit in UNITS.items():
    print(f"the first: {name:5} = {params[name][0, 0]:.3f} ± {errors[name][0, 0]:.3f} {unit}")

# %% How far is each fit from the truth, in units of the error that it states?

off = {name: (params[name] - TRUTH[name]) / errors[name] for name in TRUTH}
shares = {name: [100 * np.mean(np.abs(z) < k, axis=1) for k in (1, 2)] for name, z in off.items()}
for i, kind in enumerate(("independent", "drifting")):
    for name, (one, two) in shares.items():
        scatter, stated = params[name][i].std(), np.median(errors[name][i])
        print(
            f"{kind:11} {name:5}: {one[i]:.1f} % within one error, {two[i]:.1f} % within two; "
            f"scatter {scatter:.4f}, stated {stated:.4f}"
        )

# %% With independent noise the stated errors are as large as the scatter, for all five parameters.
# With drifting noise they are too small, most of all that of the place of rest. No single fit shows
# this in its numbers: look at the residuals, whether neighbours are alike.

layout = [["data", "data"], ["z", "shares"]]
fig, axes = plt.subplot_mosaic(layout, figsize=(9.5, 7), width_ratios=(1, 1.25))
axes["data"].plot(t, angles[0, 0], "o", color="0.4", markersize=4, label="measured")
fit = {name: value[0, 0] for name, value in params.items()}
axes["data"].plot(t, law(fit, t), color="C0", linewidth=2, label="fitted law")
axes["data"].set(xlabel="time, s", ylabel="angle, rad", title="one of the experiments")
axes["data"].legend(ncols=2)
bins, grid = np.linspace(-8, 8, 65), np.linspace(-8, 8, 200)
for i, (kind, color) in enumerate((("independent", "C0"), ("drifting", "C3"))):
    axes["z"].hist(off["rest"][i], bins, density=True, color=color, alpha=0.45, label=kind)
    for k, marker in enumerate("os"):
        values = [share[k][i] for share in shares.values()]
        label = f"{kind}, within {('one error', 'two errors')[k]}"
        axes["shares"].plot(values, range(5), marker, color=color, markersize=9, label=label)
axes["z"].plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), "k--", lw=1, label="normal")
axes["z"].set(xlabel="distance from the truth, in stated errors", ylabel="density")
axes["z"].set_title("the place of rest, in all experiments")
axes["z"].legend(loc="upper left")
for share in (68.3, 95.4):
    axes["shares"].vlines(share, -0.5, 4.5, color="0.3", linestyle="--", linewidth=1)
    axes["shares"].text(share, -0.65, f"{share} %", ha="center")
axes["shares"].set(yticks=range(5), yticklabels=TRUTH, xlim=(0, 100), ylim=(6.2, -1))
axes["shares"].set(xlabel="experiments with the truth within, %")
axes["shares"].legend(ncols=2, loc="lower center")
fig.suptitle(
    "Error bars of a fit hold for independent noise (blue), not for drifting noise (red)"
)

Path("out").mkdir(exist_ok=True)
fig.savefig("out/physics.png")
print("picture: out/physics.png")
