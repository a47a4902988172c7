"""
Balance a pole by gradients through a simulator
===============================================

Train a small network to balance a pole on a cart. The cart-pole of Barto, Sutton & Anderson (1983)
is a few lines of JAX, so the loss of a whole run is differentiated with respect to the weights. A
falling pole doubles an error every fifth of a second, so the gradient grows fast with the length of
the run. Clipping by the global norm (Pascanu, Mikolov & Bengio, 2013) is compared with no clip.
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
STEPS, SEEDS = (150, 2) if SMALL else (400, 8)
RATES = jnp.array([0.1, 0.3]) if SMALL else jnp.logspace(-4, 0, 9)
DT, TRAINED, LONGEST, LIMIT = 0.04, 50, 250, 0.1
LENGTHS = jnp.array([5, 10, 15, 20, 30, 40, 50, 60, 80, 100])

# %% The network sees the place and speed of the cart, and the angle and its speed, and pushes.


def controller(rngs: nnx.Rngs) -> nnx.Sequential:
    first, last = nnx.Linear(4, 16, rngs=rngs), nnx.Linear(16, 1, rngs=rngs)
    return nnx.Sequential(first, jnp.tanh, last, jnp.tanh)


def simulate(params: nnx.State, start: jax.Array, length: int) -> jax.Array:
    def step(body: jax.Array, _: None) -> tuple:
        x, v, angle, turn = body
        sin, cos = jnp.sin(angle), jnp.cos(angle)
        push = (10.0 * nnx.merge(graph, params)(body)[0] + 0.05 * turn**2 * sin) / 1.1
        turning = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        v, turn = v + DT * (push - 0.05 * turning * cos / 1.1), turn + DT * turning
        body = jnp.stack([x + DT * v, v, angle + DT * turn, turn])
        return body, body

    return jax.lax.scan(step, start, length=length)[1]


# %% The loss is the mean of the squared angle over two seconds, plus a part for the cart's place.
# A test takes ten seconds. It is passed with the pole within 0.1 rad and the cart within 1 m.

graph = nnx.graphdef(controller(nnx.Rngs(0)))
starts = jax.random.uniform(jax.random.key(0), (STEPS + 1, 16, 4), minval=-0.3, maxval=0.3)


def loss_fn(params: nnx.State, starts: jax.Array, used: jax.Array, length: int) -> jax.Array:
    x, _, angle, _ = jax.vmap(lambda s: simulate(params, s, length))(starts).T
    return (angle**2 + 0.1 * x**2).mean(axis=1).mean(where=jnp.arange(length) < used)


def look(params: nnx.State) -> tuple:
    bodies = jax.vmap(lambda s: simulate(params, s, LONGEST))(starts[-1])
    passed = (jnp.abs(bodies[:, -1, 2]) < 0.1) & (jnp.abs(bodies[:, -1, 0]) < 1)
    grads = jax.vmap(lambda used: jax.grad(loss_fn)(params, starts[-1], used, 100))(LENGTHS)
    return passed.mean(), bodies[0, :, 2], jax.vmap(gc.global_norm)(grads)


def train(limit: jax.Array, rate: jax.Array, key: jax.Array) -> tuple:
    tx = gc.chain(gc.clip_by_global_norm(limit), gc.sgd(rate, momentum=0.9))
    params = nnx.state(controller(nnx.Rngs(key)))

    def step(carry: tuple, starts: jax.Array) -> tuple:
        grads = jax.grad(loss_fn)(carry[0], starts, TRAINED, TRAINED)
        return tx.step(grads, carry[1], carry[0]), None

    trained = jax.lax.scan(step, (params, tx.init(params)), starts[:-1])[0][0]
    return look(params), look(trained)


# %% An infinite limit is no clip, so one program trains with and without, all rates and seeds.

keys = jax.random.split(jax.random.key(1), SEEDS)
sweep = jax.vmap(jax.vmap(train, (None, None, 0)), (None, 0, None))
found = jax.jit(jax.vmap(sweep, (0, None, None)))(jnp.array([LIMIT, jnp.inf]), RATES, keys)
(_, angle, norm), (passed, angles, norms) = jax.tree.map(np.asarray, found)
shares, best = passed.mean(axis=2), passed.mean(axis=2)[0].argmax()

# %% Before training the gradient grows some hundredfold in a second, while the pole falls. Without
# a clip one long gradient throws the weights away; a tiny rate balances half of the starts at best.
# With a clip, rates a hundred times larger balance all, and the gradient no longer grows.

fig, axes = plt.subplot_mosaic([["poles"] * 2, ["norms", "rates"]], figsize=(9, 7.5))
names, colors = ("untrained", "trained,\nclipped", "trained,\nnot clipped"), ("C2", "C0", "C3")
foot, time = 0.85 * np.arange(20), DT * LENGTHS
for i, values in enumerate((angle[0, best, 0], *angles[:, best, 0])):
    height, tip = np.full(20, -2.3 * i), np.stack([np.sin(values), np.cos(values)])[:, :100:5]
    axes["poles"].plot([foot, foot + tip[0]], [height, height + tip[1]], colors[i], linewidth=2)
    axes["poles"].plot(foot, height, "s", color="0.3")
    axes["poles"].text(-1.2, height[0], names[i], ha="right", va="center", color=colors[i])
axes["poles"].set(aspect="equal", xticks=foot[::5], xticklabels=range(4), yticks=[])
axes["poles"].set(title="the pole every 0.2 s: same start, same rate", xlabel="time, s")
for color, name, values in (("C2", "untrained", norm), ("C0", "trained, clipped", norms)):
    shown = ", ".join(f"{x:.1e}" for x in np.median(values[0, best], axis=0))
    print(f"{name:16} gradients for 0.2 to 4 s: {shown}")
    axes["norms"].plot(time, values[0, best].T, color=color, alpha=0.3, linewidth=0.8)
    axes["norms"].plot(time, np.median(values[0, best], axis=0), color, lw=2.5, label=name)
axes["norms"].axhline(LIMIT, color="0.3", linestyle="--", linewidth=0.8, label="clipped above")
axes["norms"].set(yscale="log", xlabel="length of the run, s", ylabel="norm of the gradient")
for color, name, row in zip(("C0", "C3"), ("clipped", "not clipped"), shares, strict=True):
    axes["rates"].plot(RATES, 100 * row, "o-", color=color, label=name)
    for rate, share in zip(RATES, row, strict=True):
        print(f"{name:11} rate {rate:.4f}: {share:.3f} balanced")
axes["rates"].set(xscale="log", xlabel="learning rate", ylabel="starts balanced for 10 s, %")
axes["norms"].legend()
axes["rates"].legend()
fig.suptitle("Gradients through a falling pole explode; with a clip they teach to balance it")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/balance_pole.png")
print("picture: out/balance_pole.png")
