"""
Rare words: Adagrad and lazy Adam beside Adam
=============================================

Train an embedding, most of whose rows have no gradient in most steps, because their word is not in
the batch. Adam moves such rows nevertheless, along the momentum of old batches. ``lazy_adam``
leaves such rows and their moments as they are. Adagrad has no momentum, and keeps a large rate for
rows that were rarely moved. The model predicts the next word in the documentation that ships with
Python; its loss is shown by the frequency of the word before.
"""

import itertools
import re
import sys
from pathlib import Path
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from rich.progress import track

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
EPOCHS, BATCH, WIDTH, TARGETS = 1 if SMALL else 3, 64, 16 if SMALL else 64, 500

# %% Data: pairs of a word and the next. Every tenth pair is held out; the 500 most frequent words
# are told apart as answers, all others are one.

text = " ".join(topics[name] for name in sorted(topics)).lower()
words, codes, counts = np.unique(
    re.findall(r"[a-z_]+|[^\sa-z_]", text), return_inverse=True, return_counts=True
)
rank = np.argsort(np.argsort(-counts, kind="stable"))
pairs = np.stack([codes[:-1], np.minimum(rank[codes[1:]], TARGETS)], axis=1)
held_out = np.arange(len(pairs)) % 10 == 0
train, test = pairs[~held_out], pairs[held_out]
seen = np.bincount(train[:, 0], minlength=len(words))
steps = EPOCHS * (len(train) // BATCH)
rare = f"{np.mean(seen <= 10):.0%} of them seen ten times or less"
print(f"{len(words)} words, {rare} in {len(train)} pairs")


class NextWord(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.embed = nnx.Embed(len(words), WIDTH, rngs=rngs)
        self.head = nnx.Linear(WIDTH, TARGETS + 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.embed(x))


def losses(model: NextWord, batch: jax.Array) -> jax.Array:
    logits = model(batch[:, 0])
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, batch[:, 1])


# %%
# Three optimizers, each at the best of several rates. One compiled loop takes all steps.

optimizers = {
    "adam": gc.adam(3e-3),
    "lazy_adam": gc.lazy_adam(6e-3),
    "adagrad": gc.adagrad(0.15, initial_accumulator_value=0.0),
}
shuffled = np.concatenate(
    [np.random.default_rng(i).permutation(len(train)) for i in range(EPOCHS)]
)
batches = jnp.asarray(train[shuffled[: steps * BATCH]].reshape(steps, BATCH, 2))
graph, start = nnx.split(NextWord(nnx.Rngs(0)))


@jax.jit
def fit(tx: gc.GradientTransformation) -> tuple:
    """The last parameters, and how far rows moved in steps without a gradient."""

    def step(carry: tuple, batch: jax.Array) -> tuple:
        params, state, drift = carry
        grads = jax.grad(lambda p: losses(nnx.merge(graph, p), batch).mean())(params)
        new, state = tx.step(grads, state, params)
        moved = jnp.linalg.norm(new.embed.embedding[...] - params.embed.embedding[...], axis=1)
        silent = jnp.all(grads.embed.embedding[...] == 0, axis=1)
        return (new, state, drift + jnp.where(silent, moved, 0.0)), None

    carry = start, tx.init(start), jnp.zeros(len(words))
    (params, _, drift), _ = jax.lax.scan(step, carry, batches)
    return params, drift


frequency = seen[test[:, 0]]
edges = [0, 10, 30, 100, 300, 1000, 10**6]
names = ["≤ 10", "≤ 30", "≤ 100", "≤ 300", "≤ 1000", "more"]
by_bin, drifts = {}, {}
for name, tx in track(optimizers.items(), "training"):
    params, drifts[name] = fit(tx)
    loss = np.asarray(losses(nnx.merge(graph, params), test))
    by_bin[name] = [
        loss[(frequency > a) & (frequency <= b)].mean() for a, b in itertools.pairwise(edges)
    ]
    print(
        f"{name:9}: rare words {by_bin[name][0]:.3f}, all words {loss.mean():.3f} nats;"
        f" a row moves {drifts[name].mean():.2f} without a gradient"
    )

# %% Adagrad is best, most of all on rare words. Adam moves rows far in steps without a gradient for
# them. Lazy Adam and Adagrad do not, so they have to touch only the 64 rows of the batch, of 3,408.
# On this small text the drift does Adam no harm, and lazy Adam is worse on the rarest words. Where
# an embedding has a hundred million rows, touching all of them in each step is the cost.

fig, axes = plt.subplots(1, 2, figsize=(10, 4))
for i, (name, color) in enumerate({"adam": "C3", "lazy_adam": "C0", "adagrad": "C2"}.items()):
    axes[0].bar(
        np.arange(len(names)) + 0.27 * (i - 1), by_bin[name], width=0.25, color=color, label=name
    )
    steps_apart = np.unique(np.geomspace(1, 1000, 20).astype(int))
    drift = [np.mean(drifts[name][(seen >= a) & (seen <= 1.4 * a)]) for a in steps_apart]
    axes[1].plot(steps_apart, drift, "o-", color=color, markersize=4, label=name)
axes[0].set_xticks(range(len(names)), names)
axes[0].set(
    ylabel="held-out loss, nats",
    xlabel="times that the word was seen in training",
    ylim=(1.5, None),
)
axes[1].set(xscale="log", xlabel="times that the word was seen in training")
axes[1].set(ylabel="length of the way of its row\nin steps without a gradient")
axes[1].annotate("lazy_adam and adagrad: 0", (1, 0.3), color="0.3", fontsize=9)
axes[0].legend()
fig.suptitle("Adagrad learns rare words best; only Adam moves rows without a gradient")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/train_words.png")
print("picture: out/train_words.png")
