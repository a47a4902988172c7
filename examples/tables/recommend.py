"""
Recommendation: factors of users and films, with lazy rows
==========================================================

Learn a short vector for each user and each film, whose product is the rating. A batch has ratings
of few films, so the gradient of most rows is zero. Adam moves these rows all the same, along the
momentum of their last rating; ``lazy_adam`` lets them and their moments rest. The ratings are made
from known factors (model of Koren, Bell & Volinsky, 2009), so that the smallest error is known.
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
USERS, FILMS, RATINGS, EPOCHS = (400, 300, 24_000, 6) if SMALL else (2000, 1000, 150_000, 8)
BATCH, WIDTH, NOISE = 64, 4, 0.5

# %% Data: the true factors are normal; a rating is their product plus noise of deviation 0.5. Users
# are alike, but the first film is rated hundreds of times more often than the last.

rng = np.random.default_rng(0)
popularity = 1 / np.arange(1, FILMS + 1)
user = rng.integers(0, USERS, 2 * RATINGS)
film = rng.choice(FILMS, 2 * RATINGS, p=popularity / popularity.sum())
factors = rng.normal(size=(USERS, WIDTH)), rng.normal(size=(FILMS, WIDTH)) / WIDTH**0.5
rating = (factors[0][user] * factors[1][film]).sum(axis=1)
rating += NOISE * rng.normal(size=len(rating))
pairs, rating = np.stack([user, film], axis=1), rating.astype(np.float32)
seen = np.bincount(film[:RATINGS], minlength=FILMS)
watched = int(np.argmin(np.abs(seen - 8)))  # a film of about eight ratings, to look at its row

steps = EPOCHS * (RATINGS // BATCH)
order = np.concatenate([rng.permutation(RATINGS) for _ in range(EPOCHS)])[: steps * BATCH]
batches = pairs[order].reshape(steps, BATCH, 2), rating[order].reshape(steps, BATCH)


class Factors(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.user = nnx.Embed(USERS, WIDTH, rngs=rngs)
        self.film = nnx.Embed(FILMS, WIDTH, rngs=rngs)

    def __call__(self, pairs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.user(pairs[..., 0]), self.film(pairs[..., 1])


# %% The loss is the squared error, and a small penalty on the rows of the batch. Each optimizer
# tries all rates in one compiled program, and keeps the rate of the smallest held-out error.

RATES, LOOKED = jnp.geomspace(3e-3, 0.3, 5 if SMALL else 9), slice(RATINGS, None)
graph, start = nnx.split(Factors(nnx.Rngs(0)))


def fit(make: type, rate: jax.Array) -> tuple[jax.Array, ...]:
    tx = make(gc.cosine_decay_schedule(rate, steps))

    def step(carry: tuple, batch: tuple) -> tuple:
        params, state, drift = carry

        def loss(params: nnx.State) -> jax.Array:
            u, v = nnx.merge(graph, params)(batch[0])
            penalty = 0.02 * ((u**2).sum(axis=1) + (v**2).sum(axis=1))
            return (gc.losses.squared_error((u * v).sum(axis=1), batch[1]) + penalty).mean()

        grads = jax.grad(loss)(params)
        new, state = tx.step(grads, state, params)
        rows, before = new.film.embedding[...], params.film.embedding[...]
        moved = jnp.linalg.norm(rows - before, axis=1)
        rests = jnp.all(grads.film.embedding[...] == 0, axis=1)
        return (new, state, drift + jnp.where(rests, moved, 0.0)), rows[watched]

    first = start, tx.init(start), jnp.zeros(FILMS)
    (params, _, drift), track = jax.lax.scan(step, first, batches)
    u, v = nnx.merge(graph, params)(pairs[LOOKED])
    return ((u * v).sum(axis=1) - rating[LOOKED]) ** 2, drift, track


EDGES = [0, 10, 30, 100, 300, 1000, 10**6]
bins = np.digitize(seen[film[LOOKED]], EDGES, right=True)
rare, results = bins <= 2, {}
print(f"{'noise':9}: error {NOISE:.3f}")
for name, make in {"adam": gc.adam, "lazy_adam": gc.lazy_adam}.items():
    runs = jax.jit(jax.vmap(lambda rate, make=make: fit(make, rate)))(RATES)
    best = int(jnp.argmin(runs[0].mean(axis=1)))
    error, drift, track = (np.asarray(values[best]) for values in runs)
    results[name] = error, track
    errors = f"error {error.mean() ** 0.5:.3f}, rare films {error[rare].mean() ** 0.5:.3f}"
    moves = f"rows move {drift.mean():.3f} without a gradient"
    print(f"{name:9}: {errors}, {moves}, rate {float(RATES[best]):.4f}")

# %% At the best rate of each, the held-out errors are nearly equal: the drift costs Adam no
# accuracy here. But Adam's rows go a long way between their ratings, and lazy Adam's rest: it has
# to touch only the rows of the batch, which counts where there are millions. The error of the
# rarest films is partly chance, because held-out ratings of them are few.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
for i, (name, (error, track)) in enumerate(results.items()):
    first = int(np.argmax(track[:, 0] != track[0, 0]))  # the step of its first rating
    left.plot(np.arange(-9, 60), track[first - 9 : first + 60, 0], color=f"C{i}", label=name)
    by_bin = [error[bins == b].mean() ** 0.5 for b in range(1, len(EDGES))]
    right.plot(by_bin, "o-", color=f"C{i}", label=name)
left.set(xlabel="steps after the first rating of the film", ylabel="first number of its row")
left.legend(loc="center right", title=f"one film of {seen[watched]} ratings")
right.axhline(NOISE, color="k", linestyle=":", label="the noise")
right.set_xticks(range(len(EDGES) - 1), ["≤ 10", "≤ 30", "≤ 100", "≤ 300", "≤ 1000", "more"])
right.set(xlabel="ratings of the film in training", ylim=(0.4, None))
right.set(ylabel="held-out error, root of mean square")
right.legend(loc="lower left")
fig.suptitle("Adam moves the row of a film between its ratings; lazy Adam does not")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/recommend.png")
print("picture: out/recommend.png")
