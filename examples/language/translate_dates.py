"""
Translation of dates, with attention
====================================

Translate dates, written in twelve languages by Babel, to the form of ISO 8601: "3 novembre 2026"
becomes "2026-11-03". A recurrent network reads the letters forwards and backwards. Another writes
the answer, and for each letter looks where it needs to: this is attention (Bahdanau, Cho & Bengio,
2015). The same network without it has to work with the mean of all places, and is less often right.
"""

import sys
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from babel.dates import format_date
from flax import nnx
from rich.progress import track

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
LANGUAGES = ["fi", "en", "fr", "de", "es", "it", "pt", "nl", "sv", "pl", "cs", "tr"]
STEPS, BATCH, WIDTH, DATES, CHUNKS = (
    (240, 32, 32, 3000, 4) if SMALL else (1800, 64, 48, 10000, 30)
)

# %% Data: days of this century and the last, each in one language; 500 days are held out. Code 0
# fills up a date. The answer has the letters 0 to 9 and the hyphen, 10, and begins with 11.

rng = np.random.default_rng(0)
days = [date(1950, 1, 1) + timedelta(int(n)) for n in rng.permutation(36_500)[:DATES]]
spoken = rng.choice(LANGUAGES[: 3 if SMALL else None], DATES)
texts = [format_date(day, "long", str(name)) for day, name in zip(days, spoken, strict=True)]
letters = ["\0", *sorted(set("".join(texts)))]
length = max(len(text) for text in texts)
x = np.array([[letters.index(c) for c in text.ljust(length, "\0")] for text in texts])
y = np.array([[11] + ["0123456789-".index(c) for c in str(day)] for day in days])
(held_x, train_x), (held_y, train_y) = (jnp.split(a, [500]) for a in (x, y))


class Translator(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.read_in, self.write_in = (nnx.Embed(n, WIDTH, rngs=rngs) for n in (len(letters), 12))
        *both, self.writer = (nnx.RNN(nnx.GRUCell(WIDTH, WIDTH, rngs=rngs)) for _ in range(3))
        self.reader = nnx.Bidirectional(*both)
        self.query = nnx.Linear(WIDTH, 2 * WIDTH, rngs=rngs)
        self.head = nnx.Linear(3 * WIDTH, 11, rngs=rngs)

    def __call__(self, x: jax.Array, y: jax.Array, focus: jax.Array) -> tuple:
        read = self.reader(self.read_in(x), seq_lengths=(x > 0).sum(axis=1))
        written = self.writer(self.write_in(y))
        scores = focus * self.query(written) @ read.swapaxes(1, 2) / WIDTH**0.5
        look = nnx.softmax(scores, where=(x > 0)[:, None])
        return self.head(jnp.concatenate([look @ read, written], axis=-1)), look


# %% Both networks are one program, mapped over the focus: where it is 0, all places weigh the same.

focus = jnp.array([1.0, 0.0])
rate = gc.warmup_cosine_decay_schedule(0.0, 6e-3, STEPS // 20, STEPS)
tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(rate, where=gc.weight_matrices()))
graph, params, rest = nnx.jit(lambda: nnx.split(Translator(nnx.Rngs(0)), nnx.Param, ...))()


@jax.jit
@partial(jax.vmap, in_axes=(0, 0, 0, None))
def train(params: nnx.State, state: dict, focus: jax.Array, batches: jax.Array) -> tuple:
    def loss(params: nnx.State, i: jax.Array) -> jax.Array:
        logits, _ = nnx.merge(graph, params, rest, copy=True)(train_x[i], train_y[i, :-1], focus)
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, train_y[i, 1:]).mean()

    def step(carry: tuple, i: jax.Array) -> tuple:
        return tx.step(jax.grad(loss)(carry[0], i), carry[1], carry[0]), None

    return jax.lax.scan(step, (params, state), batches)[0]


@jax.jit
@partial(jax.vmap, in_axes=(0, 0, None))
def translate(params: nnx.State, focus: jax.Array, x: jax.Array) -> tuple:
    def write(y: jax.Array, t: jax.Array) -> tuple:
        logits, look = nnx.merge(graph, params, rest, copy=True)(x, y[:, :-1], focus)
        return y.at[:, t + 1].set(logits[:, t].argmax(axis=-1)), look[:, t]

    return jax.lax.scan(write, jnp.full((len(x), 11), 11), jnp.arange(10))


params = jax.tree.map(lambda p: jnp.stack([p, p]), params)
state, right = jax.vmap(tx.init)(params), []
for batches in track(rng.integers(0, len(train_x), (CHUNKS, STEPS // CHUNKS, BATCH)), "training"):
    params, state = train(params, state, focus, batches)
    written, look = translate(params, focus, held_x)
    right.append((written == held_y).all(axis=-1).mean(axis=1))
for name, share in zip(["attention", "mean"], right[-1], strict=True):
    print(f"{name:9}: {share:.3f} of the held-out dates are right")

# %% With attention every held-out date is soon right. For the year and the day the network looks at
# the same letter of the date, for the month at letters of its name. For a hyphen it does not matter
# where it looks. The mean of all places learns more slowly.

fig, (left, low) = plt.subplots(1, 2, figsize=(11, 4), width_ratios=(3, 2))
i = texts[:500].index(max(texts[:500], key=len))
left.imshow(look[0, :, i, : len(texts[i])], cmap="Blues", vmin=0, aspect="auto")
left.set_xticks(range(len(texts[i])), texts[i])
left.set_yticks(range(10), str(days[i]))
left.set(xlabel="letters of the date", ylabel="letters of the answer", title="Where it looks")
left.grid(visible=False)
steps = np.r_[: CHUNKS + 1] * STEPS // CHUNKS
low.plot(steps, np.array([[0, 0], *right]), label=["attention", "mean of all places"])
low.set(xlabel="step", ylabel="held-out dates without an error", title="How many are right")
low.legend(loc="lower right", bbox_to_anchor=(1, 0.1))
Path("out").mkdir(exist_ok=True)
fig.savefig("out/translate_dates.png")
print("picture: out/translate_dates.png")
