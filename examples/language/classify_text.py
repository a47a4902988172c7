"""
Text classification: a bag of words and a convolution
=====================================================

Tell from one sentence to which chapter of Python's documentation it belongs. A bag of embeddings
averages a learned vector of each word (Joulin et al., 2016), and so does not know their order. A
convolution looks at three neighbouring words at a time (Kim, 2014). The run shows the accuracy of
both on held-out sentences, and which chapters are taken for which.
"""

import re
import sys
from pathlib import Path
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, STARTS, BATCH, WIDTH, WORDS = *((120, 2) if SMALL else (400, 12)), 64, 32, 40
CHAPTERS = ["debugger", "formatstrings", "string-methods", "compound", "specialnames", "types"]
CHAPTERS += ["typesseq", "typesmapping"]

# %% Data: the sentences of eight chapters, of five words or more. What stands in two chapters is
# left out, and a quarter is held out. Code 0 fills up the rows; 1 is any unknown word.

labels = {}
for i, chapter in enumerate(CHAPTERS):
    for sentence in re.split(r"(?<=[.:;])\s+|\n\n", topics[chapter]):
        words = tuple(re.findall(r"[a-z_]+|[^\sa-z_]", sentence.lower()))[:WORDS]
        if sum(len(word) > 1 for word in words) >= 5:
            labels[words] = i if labels.get(words, i) == i else -1
sentences = sorted(words for words, label in labels.items() if label >= 0)
np.random.default_rng(0).shuffle(sentences)
y = np.array([labels[words] for words in sentences])
known = sorted(set().union(*sentences[len(y) // 4 :]))
code = {word: i for i, word in enumerate(known, start=2)}
x = np.array([([code.get(w, 1) for w in s] + [0] * WORDS)[:WORDS] for s in sentences])
(held_x, train_x), (held_y, train_y) = (jnp.split(a, [len(y) // 4]) for a in (x, y))
print(f"{len(y)} sentences, {np.bincount(y).max() / len(y):.3f} in the largest chapter")


class Bag(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.embed = nnx.Embed(len(code) + 2, WIDTH, rngs=rngs)
        self.head = nnx.Linear(WIDTH, len(CHAPTERS), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        seen = (x > 0)[..., None]
        return self.head((self.embed(x) * seen).sum(axis=1) / seen.sum(axis=1))


class Convolution(Bag):
    def __init__(self, rngs: nnx.Rngs):
        super().__init__(rngs)
        self.hidden = nnx.Linear(3 * WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        e = self.embed(x) * (x > 0)[..., None]
        threes = jnp.concatenate([e[:, :-2], e[:, 1:-1], e[:, 2:]], axis=-1)
        return self.head(nnx.relu(self.hidden(threes)).max(axis=1))


# %% All starts of a model train in one program. Shown is the mean of their accuracies.

tx = gc.adamw(gc.cosine_decay_schedule(2e-2, STEPS), weight_decay=0.1)


def fit(kind: type, key: jax.Array) -> tuple[jax.Array, ...]:
    graph, params = nnx.split(kind(nnx.Rngs(key)))

    def loss(params: nnx.State, i: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, params)(train_x[i])
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, train_y[i]).mean()

    def step(carry: tuple, i: jax.Array) -> tuple:
        return tx.step(jax.grad(loss)(carry[0], i), carry[1], carry[0]), None

    def measure(carry: tuple, batches: jax.Array) -> tuple:
        carry, _ = jax.lax.scan(step, carry, batches)
        train, answer = (nnx.merge(graph, carry[0])(x).argmax(axis=1) for x in (train_x, held_x))
        return carry, ((train == train_y).mean(), (answer == held_y).mean(), answer)

    batches = jax.random.randint(key, (20, STEPS // 20, BATCH), 0, len(train_y))
    return jax.lax.scan(measure, (params, tx.init(params)), batches)[1]


fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8))
keys, times = jax.random.split(jax.random.key(0), STARTS), np.r_[1:21] * STEPS // 20
for name, color, kind in (("convolution", "C1", Convolution), ("bag", "C0", Bag)):
    runs = jax.jit(jax.vmap(lambda key, kind=kind: fit(kind, key)))(keys)
    *both, answers = (np.array(r) for r in runs)
    for curve, style, what in zip(both, [":", "-"], ["training", "held out"], strict=True):
        left.plot(times, curve.mean(axis=0), color + style, label=f"{name}, {what}")
    final = (curve[:, -1].mean() for curve in both)
    print("{:11}: training {:.3f}, held out {:.3f}".format(name, *final))

# %% Both know nearly all training sentences by heart. On new ones the bag does no worse: with 1,500
# sentences, the order of words is worth little. Related chapters are taken for one another.

confusion, *_ = np.histogram2d(np.tile(held_y, STARTS), answers[:, -1].ravel(), bins=8)
confusion *= 100 / confusion.sum(axis=1, keepdims=True)
right.imshow(confusion, cmap="Blues", vmax=100)
for (i, j), share in np.ndenumerate(confusion.round().astype(int)):
    right.text(j, i, share or "", ha="center", va="center", color="w" if share > 60 else "k")
right.set_xticks(range(8), CHAPTERS, rotation=40, ha="right")
right.set_yticks(range(8), CHAPTERS)
right.set(xlabel="answer", ylabel="chapter", title="Held-out answers, bag, in percent")
right.grid(visible=False)
left.set(title="To which chapter does a sentence belong?", xlabel="step", ylabel="accuracy")
left.legend(loc="lower right")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/classify_text.png")
print("picture: out/classify_text.png")
