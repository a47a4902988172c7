"""
Summarise by choosing a sentence
================================

Choose the sentence that stands for a text. The texts are docstrings of the standard library, whose
first line is the summary that its author wrote. The model does not see the order of the sentences:
the place would tell everything. It scores each sentence, and a softmax over the scores of a
docstring is trained to find the first line (ListNet: Cao et al., 2007). Counted are the first lines
that it finds in docstrings of other modules, beside simple rules.
"""

import importlib
import inspect
import re
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, STARTS, BATCH, WIDTH, SENTENCES, WORDS = 120, 2 if SMALL else 24, 64, 32, 10, 30
MODULES = """argparse ast base64 bisect builtins calendar collections configparser contextlib csv
datetime decimal difflib doctest enum fractions ftplib functools gzip heapq http.client imaplib io
itertools json logging math os pathlib pickle random selectors shutil smtplib socket ssl statistics
string subprocess tarfile tempfile threading tokenize unittest urllib.parse uuid weakref zipfile"""

# %% Data: docstrings of three to ten sentences, as codes of words. Every third module is held out.

texts = {}
for i, module in enumerate(MODULES.split()):
    found = list(vars(importlib.import_module(module)).values())
    found += [v for c in found if isinstance(c, type) for v in vars(c).values()]
    for v in (v for v in found if inspect.isroutine(v) or isinstance(v, type)):
        first, _, rest = (inspect.getdoc(v) or "").partition("\n\n")
        text = [" ".join(s.split()) for s in [first, *re.split(r"(?<=[.:])\s+|\n\n", rest)]]
        usable = [s for s in text if len(re.findall("[A-Za-z_]+", s)) >= 3]
        if "(" not in first and usable[:1] == text[:1] and 3 <= len(usable) <= SENTENCES:
            texts.setdefault(tuple(usable), i % 3 == 2)
held = np.array(list(texts.values()))
split = [[re.findall("[a-z_]+", s.lower())[:WORDS] for s in text] for text in texts]
code = {w: i for i, w in enumerate(sorted({w for t in split for s in t for w in s}), start=1)}
x = np.zeros((len(split), SENTENCES, WORDS), int)
for i, j in ((i, j) for i, text in enumerate(split) for j in range(len(text))):
    x[i, j, : len(split[i][j])] = [code[w] for w in split[i][j]]
x, held_x = x[~held], x[held]


class Scorer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.embed = nnx.Embed(len(code) + 1, WIDTH, rngs=rngs)
        self.head = nnx.Linear(2 * WIDTH, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        words, seen = self.embed(x) * (x > 0)[..., None], (x > 0)[..., None]
        mean = words.sum(axis=2) / jnp.maximum(seen.sum(axis=2), 1)
        scores = self.head(jnp.concatenate([mean, words[:, :, 0]], axis=-1))[..., 0]
        return jnp.where(x[..., 0] > 0, scores, -jnp.inf)


# %% A sentence is scored by the mean of its words and by its first word. All starts are one run.

tx = gc.adamw(gc.cosine_decay_schedule(1e-2, STEPS), weight_decay=0.1)


@jax.jit
@jax.vmap
def fit(key: jax.Array) -> jax.Array:
    graph, params = nnx.split(Scorer(nnx.Rngs(key)))

    def loss(params: nnx.State, i: jax.Array) -> jax.Array:
        scores = nnx.merge(graph, params)(jnp.asarray(x)[i])
        return gc.losses.ranking_softmax_loss(
            scores, jnp.eye(SENTENCES)[:1], where=jnp.isfinite(scores)
        )

    def step(carry: tuple, i: jax.Array) -> tuple:
        return tx.step(jax.grad(loss)(carry[0], i), carry[1], carry[0]), None

    batches = jax.random.randint(key, (STEPS, BATCH), 0, len(x))
    (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), batches)
    return nnx.softmax(nnx.merge(graph, params)(held_x))


shares = np.array(fit(jax.random.split(jax.random.key(0), STARTS)))
length = (held_x > 0).sum(axis=2)
rates = {
    "a guess": (1 / (length > 0).sum(axis=1)).mean(),
    "the longest": (length.argmax(axis=1) == 0).mean(),
    "the shortest": (np.where(length, length, WORDS + 1).argmin(axis=1) == 0).mean(),
    "the network": (shares.argmax(axis=2) == 0).mean(),
}
for name, rate in rates.items():
    print(f"{name:12}: {rate:.3f} of the first lines found in {len(held_x)} docstrings")

# %% The network finds most first lines. The best rule, to take the shortest sentence, finds fewer.
# It knows how a summary begins, not what the text is about: it sees one sentence at a time.

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), width_ratios=(2, 3))
bars = left.barh(list(rates), list(rates.values()), color=["0.7", "0.7", "0.7", "C0"])
left.bar_label(bars, fmt="%.2f", padding=3)
left.set(title="First lines found", xlabel="share of held-out docstrings", xlim=(0, 1))
unseen, share = [text for text, out in texts.items() if out], shares.mean(axis=0)
short = [i for i, text in enumerate(unseen) if 3 < len(text) < 6 and max(map(len, text)) < 140]
i = min(short, key=lambda i: abs(share[i, 0] - 0.6))
right.barh([textwrap.fill(s, 46) for s in unseen[i]], share[i, : len(unseen[i])], color="C0")
right.set(title="One docstring, first line on top", xlabel="share of the softmax", xlim=(0, 1))
for ax in (left, right):
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/summarise.png")
print("picture: out/summarise.png")
