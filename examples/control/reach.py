"""
A robot arm learns to reach
===========================

Find the torques that move an arm with two joints to a target in one second, and stop it there. The
equations of motion are a few lines of JAX, so the gradient with respect to all torques is that of
the whole movement. This is direct shooting (Betts, 1998), with 100 numbers per target. Gradient
descent with momentum, Adam and L-BFGS (Liu & Nocedal, 1989) solve it for six targets at once.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
EVALS, RATES = (120, 4) if SMALL else (600, 7)
TIMES, DT, UPPER, LOWER, MASS, FRICTION = 50, 0.02, 0.5, 0.4, 1.0, 0.2
TARGETS = jnp.array([[0.7, 0.3], [0.3, 0.7], [-0.3, 0.7], [-0.7, 0.3], [0.3, 0.2], [-0.2, 0.4]])
START = jnp.array([-0.5, 1.0, 0.0, 0.0])

# %% The arm lies on a table. It is two rods without weight, with a mass at the elbow and one at the
# hand. Its state is two angles and their speeds.


def places(state: jax.Array) -> jax.Array:
    """Shoulder, elbow and hand, in metres."""
    first, second = state[0], state[0] + state[1]
    elbow = UPPER * jnp.stack([jnp.cos(first), jnp.sin(first)])
    hand = elbow + LOWER * jnp.stack([jnp.cos(second), jnp.sin(second)])
    return jnp.stack([jnp.zeros(2), elbow, hand])


def move(torques: jax.Array) -> jax.Array:
    """The states of the arm, at 50 times after the start."""

    def step(state: jax.Array, torque: jax.Array) -> tuple:
        angles, speeds = state[:2], state[2:]
        cross, twist = (MASS * UPPER * LOWER * f(angles[1]) for f in (jnp.cos, jnp.sin))
        end = MASS * LOWER**2
        whole, both = 2 * MASS * UPPER**2 + end + 2 * cross, end + cross
        turning = twist * jnp.array([speeds[1] * (2 * speeds[0] + speeds[1]), -(speeds[0] ** 2)])
        inverse = jnp.array([[end, -both], [-both, whole]]) / (whole * end - both**2)
        speeds += DT * inverse @ (torque - FRICTION * speeds + turning)
        state = jnp.concatenate([angles + DT * speeds, speeds])
        return state, state

    return jax.lax.scan(step, START, torques)[1]


def loss_fn(torques: jax.Array, target: jax.Array) -> jax.Array:
    states = move(torques)
    off, speed = places(states[-1])[2] - target, states[-1, 2:]
    return jnp.sum(off**2) + 0.01 * jnp.sum(speed**2) + 1e-6 * jnp.mean(torques**2)


# %% ``minimize`` runs each optimizer in one compiled loop, here for six targets and all rates. Each
# gets the same number of gradients. Momentum and Adam have the best of many rates, by the loss of
# the hardest target. L-BFGS has a line search instead.


def solve(tx: gc.GradientTransformation, target: jax.Array) -> tuple:
    options = {"max_evals": EVALS, "max_steps": EVALS, "tol": 1e-7, "history": True}
    found = gc.minimize(loss_fn, jnp.zeros((TIMES, 2)), tx, args=(target,), **options)
    states, history = move(found.params), found.history
    arms = jax.vmap(places)(states)
    return arms, states[-1, 2:], found.value, history["value"], history["evals"]


rates = jnp.logspace(-2, 1, RATES)
optimizers = {
    "momentum": jax.vmap(lambda rate: gc.sgd(10 * rate, momentum=0.9))(rates),
    "Adam": jax.vmap(gc.adam)(rates),
    "L-BFGS": gc.lbfgs(),
}
found = {}
for name, tx in optimizers.items():
    count = 1 if name == "L-BFGS" else RATES
    sweep = jax.jit(jax.vmap(jax.vmap(solve, (None, 0)), (0, None), axis_size=count))
    result = jax.tree.map(np.asarray, sweep(tx, TARGETS))
    best = np.nanargmin(result[2].max(axis=1))
    arms, speeds, values, losses, evals = (x[best] for x in result)
    off = 1000 * np.linalg.norm(arms[:, -1, 2] - TARGETS, axis=1).max()
    turning, loss = np.abs(speeds).max(), values.max()
    found[name] = arms, losses, evals
    print(f"{name:8}: {off:7.2f} mm off at most, turns at {turning:.4f} rad/s, loss {loss:.1e}")

# %% All end within a millimetre of each target, nearly at rest. L-BFGS is there first: it takes 40
# gradients to a loss of 0.0001, momentum and Adam take hundreds. For one target (red) it ends in a
# minimum that takes the long way round. Momentum and Adam end with a smaller loss.

fig, axes = plt.subplots(1, 2, figsize=(10.5, 5.2), width_ratios=(1.2, 1))
for i, (arm, target) in enumerate(zip(found["L-BFGS"][0], TARGETS, strict=True)):
    axes[0].plot(*arm[::7].transpose(2, 1, 0), color=f"C{i}", alpha=0.25, linewidth=1)
    axes[0].plot(*arm[:, 2].T, color=f"C{i}", linestyle=":", linewidth=2)
    axes[0].plot(*arm[-1].T, "o-", color=f"C{i}", linewidth=2.5, markersize=4)
    axes[0].plot(*target, "x", color="k", markersize=9, markeredgewidth=2)
axes[0].plot(*np.asarray(places(START)).T, "o-", color="0.3", linewidth=4)
axes[0].annotate("start", places(START)[1], (0, -14), textcoords="offset points", ha="center")
axes[0].set(aspect="equal", xlabel="place, m", ylabel="place, m")
axes[0].set_title("found by L-BFGS: path of the hand (dotted),\narm at the end, target (cross)")
for style, (name, (_, losses, evals)) in zip((":", "--", "-"), found.items(), strict=True):
    grid = np.arange(1, EVALS + 1)
    lines = [np.interp(grid, e[e > 0], v[e > 0]) for v, e in zip(losses, evals, strict=True)]
    hardest = np.minimum.accumulate(lines, axis=1).max(axis=0)
    axes[1].plot(grid, hardest, f"k{style}", label=name)
axes[1].set(xscale="log", yscale="log", xlabel="gradients computed", ylabel="loss")
axes[1].set_title("the hardest of the six targets, best so far")
axes[1].legend()
fig.suptitle("An arm reaches for targets: all torques are found by gradients through its motion")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/reach.png")
print("picture: out/reach.png")
