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
STEPS, SEEDS = (100, 1) if SMALL else (400, 8)
RATES = jnp.array([0.1, 0.3]) if SMALL else jnp.logspace(-4, 0, 9)
DT, TRAINED, LONGEST, LIMITS = 0.04, 50, 250, jnp.array([0.1, jnp.inf])
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
starts = 0.6 * jax.random.uniform(jax.random.key(0), (STEPS + 1, 16, 4)) - 0.3


def loss(params: nnx.State, starts: jax.Array, used: int, length: int) -> jax.Array:
    x, _, angle, _ = jax.vmap(lambda s: simulate(params, s, length))(starts).T
    return (angle**2 + 0.1 * x**2).mean(axis=1).mean(where=jnp.arange(length) < used)


def look(params: nnx.State) -> tuple:
    bodies = jax.vmap(lambda s: simulate(params, s, LONGEST))(starts[-1])
    passed = (jnp.abs(bodies[:, -1, 2]) < 0.1) & (jnp.abs(bodies[:, -1, 0]) < 1)
    grads = jax.vmap(lambda n: jax.grad(loss)(params, starts[-1], n, 100))(LENGTHS)
    return passed.mean(), bodies[0, :, 2], jax.vmap(gc.global_norm)(grads)


def train(limit: jax.Array, rate: jax.Array, key: jax.Array) -> tuple:
    tx = gc.chain(gc.clip_by_global_norm(limit), gc.sgd(rate, momentum=0.9))
    params = nnx.state(controller(nnx.Rngs(key)))

    def step(carry: tuple, starts: jax.Array) -> tuple:
        grads = jax.grad(loss)(carry[0], starts, TRAINED, TRAINED)
        return tx.step(grads, carry[1], carry[0]), None

    trained = jax.lax.scan(step, (params, tx.init(params)), starts[:-1])[0][0]
    return jax.vmap(look)(jax.tree.map(lambda *x: jnp.stack(x), params, trained))


# %% An infinite limit is no clip, so one program trains with and without, all rates and seeds.

sweep = jax.vmap(jax.vmap(train, (None, None, 0)), (None, 0, None))
runs = jax.jit(jax.vmap(sweep, (0, None, None)))
passed, angles, norms = runs(LIMITS, RATES, jax.random.split(jax.random.key(1), SEEDS))
shares = passed[..., 1].mean(axis=2)
best = shares[0].argmax()

# %% Before training the gradient grows some hundredfold in a second, while the pole falls. Without
# a clip one long gradient throws the weights away; a tiny rate balances half of the starts at best.
# With a clip, rates a hundred times larger balance all, and the gradient no longer grows.

fig, axes = plt.subplot_mosaic([["poles"] * 2, ["norms", "rates"]], figsize=(9, 7.5))
names = "untrained", "trained, clipped", "trained, not clipped"
foot = 0.85 * np.arange(20)
for i, angle in enumerate((angles[0, best, 0, 0], *angles[:, best, 0, 1])):
    low = np.full(20, -2.3 * i)
    x, y = foot + np.sin(angle[:100:5]), low + np.cos(angle[:100:5])
    axes["poles"].plot([foot, x], [low, y], f"C{i}", linewidth=2)
    axes["poles"].plot(foot, low, "s", color="0.3")
    axes["poles"].text(-1.2, low[0], names[i], ha="right", va="center", color=f"C{i}")
axes["poles"].set(aspect="equal", xticks=foot[::5], xticklabels=range(4), yticks=[])
axes["poles"].set(title="the pole every 0.2 s: same start, same rate", xlabel="time, s")
for i in range(2):
    middle = np.median(norms[0, best, :, i], axis=0)
    print(f"{names[i]} gradients up to 4 s:", ", ".join(f"{x:.1e}" for x in middle))
    axes["norms"].plot(DT * LENGTHS, middle, f"C{i}", label=f"{names[i]}, median")
axes["norms"].axhline(LIMITS[0], color="0.3", linestyle="--", label="clipped above")
axes["norms"].set(yscale="log", xlabel="length of the run, s", ylabel="gradient norm")
for i, name in enumerate(("clipped", "not clipped")):
    axes["rates"].plot(RATES, 100 * shares[i], "o-", color=f"C{i + 1}", label=name)
    for rate, share in zip(RATES, shares[i], strict=True):
        print(f"{name:11} rate {rate:.4f}: {share:.3f} balanced")
axes["rates"].set(xscale="log", xlabel="learning rate", ylabel="balanced for 10 s, %")
axes["norms"].legend()
axes["rates"].legend()
fig.suptitle("Gradients through a falling pole explode; a clip lets them teach balance")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/balance_pole.png")
print("picture: out/balance_pole.png")
