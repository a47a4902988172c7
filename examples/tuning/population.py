"""
Population-based training: rates that change while training
===========================================================

Train a population of networks that share what they find. After each round the worst quarter copies
the weights, the optimizer's state and the rates of the best quarter, and changes the rates a little
(Jaderberg et al., 2017). So it searches for schedules of the learning rate and the weight decay.
Beside it runs one without copies, a random search. Both, with all seeds, are one compiled program.
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
MEMBERS, ROUNDS, STEPS, SEEDS = (8, 10, 20, 2) if SMALL else (16, 40, 25, 20)
BATCH, RATES = 8, ("learning_rate", "weight_decay")

# Half of the 1,797 images are to train on, a quarter to choose by, a quarter held out.
x, y = map(jnp.asarray, load_digits(return_X_y=True))
rows = jnp.asarray(np.random.default_rng(0).permutation(len(x)))
train_rows, valid_rows, held_rows = jnp.split(rows, [len(rows) // 2, len(rows) * 3 // 4])


def network(key: jax.Array) -> nnx.Module:
    rngs = nnx.Rngs(key)
    hidden, head = nnx.Linear(64, 32, rngs=rngs), nnx.Linear(32, 10, rngs=rngs)
    return nnx.Sequential(hidden, nnx.relu, head)


def loss_fn(params: nnx.State, rows: jax.Array) -> jax.Array:
    logits = nnx.merge(graph, params)(x[rows] / 16)
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()


# %% The rates are copied together with the weights, so they belong into the state: ``gc.tunable``
# puts them there, and ``gc.set_hyperparams`` changes them, for all members at once.

LIMITS = np.log([[[1e-5], [1e-4]], [[1.0], [1.0]]])  # of the random ones
graph = nnx.graphdef(network(jax.random.key(0)))
tx = gc.tunable(gc.adamw(1e-3, where=gc.weight_matrices()), RATES)
itself = jnp.arange(MEMBERS)
losses_of = jax.vmap(loss_fn, in_axes=(0, None))


def train(copies: jax.Array, key: jax.Array) -> tuple:
    def step(population: tuple, rows: jax.Array) -> tuple:
        one = lambda params, state: tx.step(jax.grad(loss_fn)(params, rows), state, params)
        return jax.vmap(one)(*population), None

    def round_(population: tuple, key: jax.Array) -> tuple:
        draw, change = jax.random.split(key)
        batches = jax.random.choice(draw, train_rows, (STEPS, BATCH))
        (params, state), _ = jax.lax.scan(step, population, batches)
        valid, held = losses_of(params, valid_rows), losses_of(params, held_rows)
        rates = jnp.stack([state["tunable"]["hyperparams"][name] for name in RATES])
        order, some = jnp.argsort(valid), MEMBERS // 4
        source = jnp.where(copies, itself.at[order[-some:]].set(order[:some]), itself)
        params, state = jax.tree.map(lambda leaf: leaf[source], (params, state))
        factor = jax.random.choice(change, np.array([0.7, 1.4]), rates.shape)
        rate, decay = rates[:, source] * jnp.where(source == itself, 1.0, factor)
        state = gc.set_hyperparams(state, learning_rate=rate, weight_decay=decay)
        return (params, state), (rates, valid, held)

    rate, decay = jnp.exp(jax.random.uniform(key, (2, MEMBERS), float, *LIMITS))
    keys = jax.random.split(key, MEMBERS)
    params = jax.vmap(lambda key: nnx.state(network(key)))(keys)
    state = jax.vmap(tx.init)(params)
    state = gc.set_hyperparams(state, learning_rate=rate, weight_decay=decay)
    return jax.lax.scan(round_, (params, state), jax.random.split(key, ROUNDS))[1]


both = jax.jit(jax.vmap(jax.vmap(train, in_axes=(None, 0)), in_axes=(0, None)))
keys = jax.random.split(jax.random.key(0), SEEDS)
rates, valid, held = map(np.asarray, both(np.array([False, True]), keys))

# %%
# The member with the lowest validation loss wins. Its held-out loss is printed.

winner = valid[:, :, -1:].argmin(axis=-1, keepdims=True)
best = np.take_along_axis(held[:, :, -1:], winner, axis=-1)[..., 0, 0]
for i, name in enumerate(("fixed rates", "copies")):
    middle = np.median(held[i, :, -1])
    print(f"{name}: winner {best[i].mean():.3f}, median {middle:.3f}")
spread = stats.t.ppf(0.975, SEEDS - 1) * stats.sem(best[0] - best[1])
print(f"gain of the winner: {(best[0] - best[1]).mean():.3f} +- {spread:.3f}")

# %% The population finds for itself what is often prescribed: a learning rate that is high at first
# and falls by a factor of ten or more. Its winner is ahead of that of the fixed rates. The weight
# decay ends anywhere. It seems to do little here, and is copied along with good learning rates.

fig, axes = plt.subplots(1, 3, figsize=(11, 4.5))
look = {"xlabel": f"round of {STEPS} steps", "yscale": "log"}
for i, name in enumerate(RATES):
    paths = np.median(rates[1, :, :, i], axis=-1).T
    ends = "{:.1e} to {:.1e}".format(*np.quantile(paths[-1], [0.1, 0.9]))
    print(f"{name}: highest {np.median(paths.max(axis=0)):.1e}, last {ends}")
    axes[i].plot(rates[1, 0, :, i], ".", color="0.6", markersize=3)
    axes[i].plot(paths, color="C0", alpha=0.35, linewidth=0.8)
    axes[i].plot(paths[:, 0], color="C0", linewidth=2.2)
    axes[i].set(**look, ylabel=name.replace("_", " "), title="dots: members; lines: medians")
for losses, color, name in zip(valid, ("C3", "C0"), ("fixed", "copied"), strict=True):
    axes[2].plot(losses[0], color=color, alpha=0.35, linewidth=0.7)
    axes[2].plot(losses[0].min(axis=1), color=color, linewidth=2.2, label=f"best {name}")
axes[2].set(**look, ylabel="validation loss", title="all members of two populations")
fig.legend(loc="outside lower right", ncols=2)
fig.suptitle(f"{SEEDS} populations find a schedule by copying their best (one is drawn thick)")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/population.png")
print("picture: out/population.png")
