"""
The whole batch, mini-batches, single examples
==============================================

Descend one loss by the gradient of all examples, of 32 and of one. The problem is a line through
the diabetes data of scikit-learn with two weights, so that the paths can be drawn. All runs have
the same rate and look at the same number of examples. A small batch makes more steps of them, but
its gradient is noisy, and at a fixed rate the noise keeps it away from the minimum. A rate that
decays as one over the step (Robbins & Monro, 1951) lets it settle.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
EPOCHS, SEEDS = (30, 4) if SMALL else (100, 20)
RATE, START = 0.1, jnp.array([-0.6, 1.0])

# %%
# Data: body mass and blood pressure of 442 patients predict how far the disease went on. All three
# are centred and have unit variance, so the line needs no offset.

features, target = load_diabetes(return_X_y=True)
x, y = features[:, [2, 3]], target[:, None]
x, y = (jnp.asarray((a - a.mean(0)) / a.std(0), jnp.float32) for a in (x, y))
n = len(x)
BATCHES = {"all 442": n, "32": 32, "1": 1}


def loss_fn(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return gc.losses.l2_loss(x @ w, y[:, 0]).mean()


best = jnp.linalg.lstsq(x, y)[0][:, 0]
lowest = loss_fn(best, x, y)
hessian = x.T @ x / n

# %%
# One scan is one run. A run is mapped over the seeds that draw its batches, and over two optimizers
# that differ in one number: how fast the rate decays, which is not at all in the first.


@partial(jax.jit, static_argnums=2)
@partial(jax.vmap, in_axes=(0, None, None))
@partial(jax.vmap, in_axes=(None, 0, None))
def train(decay: jax.Array, key: jax.Array, batch: int) -> jax.Array:
    tx = gc.sgd(gc.schedules.inverse_time_decay_schedule(RATE, 100, decay))

    def step(carry: tuple, key: jax.Array) -> tuple:
        w, state = carry
        drawn = jax.random.randint(key, (batch,), 0, n)
        chosen = jnp.arange(n) if batch == n else drawn
        w, state = tx.step(jax.grad(loss_fn)(w, x[chosen], y[chosen]), state, w)
        return (w, state), w

    return jax.lax.scan(
        step, (START, tx.init(START)), jax.random.split(key, EPOCHS * n // batch)
    )[1]


paths, excess = {}, {}
each = jax.vmap(lambda x, y: jax.grad(loss_fn)(best, x[None], y[None]))(x, y)
for name, batch in BATCHES.items():
    w = train(jnp.array([0.0, 1.0]), jax.random.split(jax.random.key(0), SEEDS), batch)
    paths[name] = np.asarray(w)
    above = jnp.einsum("rsti,ij,rstj->rt", w - best, hessian, w - best) / 2 / SEEDS
    excess[name] = np.asarray(above) / float(lowest)
    noise = 0.0 if batch == n else float(jnp.sqrt((each**2).sum(1).mean() / batch))
    reach = batch * (1 + np.argmax(excess[name][0] < 0.2))
    fixed, decaying = excess[name][:, -len(excess[name][0]) // 10 :].mean(1)
    print(
        f"batch {name:7}: noise {noise:.3f}, within 20% after {reach:5} examples, "
        f"ends above the minimum by {fixed:.1e} (fixed), {decaying:.1e} (decaying)"
    )

# %% Single examples are near the minimum before the whole batch has made its first step. Then they
# stay in a cloud around it, while the whole batch goes on to any accuracy; 32 examples are in
# between. With the decaying rate single examples settle too, but the whole batch gains nothing: it
# had no noise, and its steps become too short.

fig = plt.figure(figsize=(10, 7))
grid = fig.add_gridspec(2, 3, height_ratios=(1, 1.1))
side = np.stack(np.meshgrid(np.linspace(-0.8, 1.2, 80), np.linspace(-0.5, 1.2, 80)), -1)
gap = side - np.asarray(best)
height = np.einsum("abi,ij,abj->ab", gap, hessian, gap) / 2 / float(lowest)
colors = dict(zip(BATCHES, ("C0", "C2", "C3"), strict=True))
for column, (name, color) in enumerate(colors.items()):
    ax = fig.add_subplot(grid[0, column])
    ax.contour(*np.moveaxis(side, -1, 0), height, 8, colors="0.75", linewidths=0.7)
    path = np.vstack([START, paths[name][0, 0][:1000]])
    ax.plot(*path.T, ".-", color=color, linewidth=0.7, markersize=3)
    ax.plot(*best, "k+", markersize=12, markeredgewidth=2)
    ax.set_title(f"batches of {name}: {len(path) - 1} steps, fixed rate")
    ax.set(xlabel="weight of body mass", xlim=(-0.8, 1.2), ylim=(-0.5, 1.2))
    if column == 0:
        ax.set_ylabel("weight of blood pressure")
ax = fig.add_subplot(grid[1, :])
for name, color in colors.items():
    for k, (kind, line) in enumerate({"fixed": "-", "decaying": "--"}.items()):
        kept = np.unique(np.geomspace(1, len(excess[name][k]), 300).astype(int))
        drawn = excess[name][k][kept - 1]
        ax.plot(BATCHES[name] * kept, drawn, line, color=color, label=f"{name}, {kind}")
ax.set(xscale="log", yscale="log", xlabel="examples looked at", ylim=(1e-5, None))
ax.set_ylabel("loss above the minimum,\nas a part of the minimum")
ax.legend(loc="lower left", title="examples in a batch, rate", title_fontsize="small")
fig.suptitle("Single examples come close first; only a decaying rate settles them")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/batches.png")
print("picture: out/batches.png")
