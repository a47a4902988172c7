"""
Recognition of sounds without timing: CTC
=========================================

Train a small network to write down vowels that it hears. Each sequence comes with its symbols, but
not with their places in time. The CTC loss (Graves et al., 2006) sums over all places: a frame is
one of the symbols or a blank, and to read the answer repeats are merged and blanks left out. For
comparison, the same network learns from the true symbol of each frame, which real recordings
seldom have. The sounds are generated from the formants of five vowels.
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
STEPS, NUMBER, BATCH, LOOKS = (300, 3000, 32, 10) if SMALL else (3000, 20_000, 64, 60)
HELD, FRAMES, LENGTH, CHANNELS = 300, 48, 6, 24
NAMES = ["sound", "CTC", "timing known"]

# %% Data: a word is 3 to 6 vowels. Each lasts 2 to 6 frames of 20 ms; up to 2 silent frames follow,
# at least one before the same vowel. A frame has 24 channels from 100 to 3000 Hz and shows the
# first two formants (Peterson & Barney, 1952) of a speaker, who shifts all of them by up to 15%.
# Vowels glide into one another, and noise covers all.

SYMBOLS = "-ieaou"  # the first is the blank
FORMANTS = np.array([(270, 2290), (530, 1840), (730, 1090), (570, 840), (300, 870)])
HERTZ = np.linspace(100, 3000, CHANNELS)
rng = np.random.default_rng(0)
shape = HELD + NUMBER, LENGTH
words = rng.integers(1, 6, shape)
unused = np.arange(LENGTH) >= rng.integers(3, LENGTH + 1, (len(words), 1))
pause = rng.integers(0, 3, shape)
pause[:, :-1] = np.maximum(pause[:, :-1], words[:, :-1] == words[:, 1:])
lasts = np.stack([rng.integers(2, 7, shape), pause], axis=2) * ~unused[..., None]
ends = lasts.reshape(len(words), -1).cumsum(axis=1)
place = (ends[:, None] <= np.arange(FRAMES)[:, None]).sum(axis=2)
quiet = place == 2 * LENGTH  # after the word
spoken = np.where(
    place % 2, 0, np.take_along_axis(np.pad(words, ((0, 0), (0, 1))), place // 2, 1)
)
formants = FORMANTS[spoken - 1] * rng.uniform(0.85, 1.15, (len(words), 1, 1))
sound = sum(np.exp(-(((HERTZ - formants[..., [k]]) / 150) ** 2)) for k in (0, 1))
sound = np.pad(sound * (spoken > 0)[..., None], ((0, 0), (1, 1), (0, 0)))
sound = sound[:, :-2] / 4 + sound[:, 1:-1] / 2 + sound[:, 2:] / 4
sound = np.float32(sound + rng.normal(0, 0.35, sound.shape)) * ~quiet[..., None]
rows = rng.integers(HELD, len(words), (LOOKS, STEPS // LOOKS, BATCH))

# %% Two convolutions over time, each over 5 frames, written as linear layers on the frames side by
# side, give each frame a score for the blank and for each vowel. One program trains either way.


class Listener(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(5 * CHANNELS, 48, rngs=rngs)
        self.second = nnx.Linear(5 * 48, 48, rngs=rngs)
        self.score = nnx.Linear(48, 6, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in (self.first, self.second):
            x = jnp.pad(x, ((0, 0), (2, 2), (0, 0)))
            x = jnp.concatenate([x[:, i : i + FRAMES] for i in range(5)], axis=-1)
            x = nnx.relu(layer(x))
        return self.score(x)


rate = gc.warmup_cosine_decay_schedule(0.0, 5e-3, STEPS // 10, STEPS)
tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(rate, where=gc.weight_matrices()))


@jax.jit
def fit(kind: int, sound: jax.Array, *labels: jax.Array) -> jax.Array:
    """The scores of the frames of the held-out sounds, at every look."""
    graph, start = nnx.split(Listener(nnx.Rngs(0)))

    def loss(params: nnx.State, i: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, params)(sound[i])
        quiet, words, unused, spoken = (values[i] for values in labels)
        ctc = gc.losses.ctc_loss(logits, quiet, words, unused, blank_id=0)
        each = gc.losses.softmax_cross_entropy_with_integer_labels(logits, spoken)
        return jnp.stack([ctc.mean(), (each * ~quiet).sum(axis=1).mean()])[kind]

    def step(carry: tuple, rows: jax.Array) -> tuple:
        grads = jax.grad(loss)(carry[0], rows)
        return tx.step(grads, carry[1], carry[0]), None

    def look(carry: tuple, rows: jax.Array) -> tuple:
        carry, _ = jax.lax.scan(step, carry, rows)
        return carry, nnx.merge(graph, carry[0])(sound[:HELD])

    return jax.lax.scan(look, (start, tx.init(start)), rows)[1]


# %% Greedy decoding takes the best symbol of each frame, merges repeats and leaves out blanks. The
# error rate is the number of symbols to insert, delete or replace, over the number of symbols.


def decoded(best: np.ndarray) -> str:
    begins = np.flatnonzero(np.diff(best, prepend=0))
    return "".join(SYMBOLS[i] for i in best[begins] if i)


def edits(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        left, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (x != y))
    return row[-1]


data = [jnp.asarray(values) for values in (sound, quiet, words, unused, spoken)]
heard = ~quiet[:HELD]
true = [decoded(frames) for frames in spoken[:HELD]]
shown = next(i for i in range(HELD) if len(set(true[i])) == 5 and len(true[i]) == 6)
fig, axes = plt.subplot_mosaic([[name, "errors"] for name in NAMES], figsize=(10, 6))
seconds = 0.02 * heard[shown].sum()
print(f"{'silence':12}: in {(spoken == 0)[~quiet].mean():.3f} of the frames")
for i, name in enumerate(NAMES[1:]):
    scores = np.asarray(fit(i, *data))
    read = [[decoded(best) for best in look] for look in scores.argmax(3) * heard]
    wrong = [sum(map(edits, look, true)) / sum(map(len, true)) for look in read]
    blank = (scores[-1].argmax(2) == 0)[heard].mean()
    print(f"{name:12}: wrong {wrong[-1]:.3f}, blank in {blank:.3f} of the frames")
    print(f"{name:12}: at the first look, {sum(map(len, read[0]))} symbols written")
    steps = np.linspace(0, STEPS, LOOKS + 1)[1:]
    axes["errors"].plot(steps, wrong, color=f"C{i}", label=name)
    chances = np.asarray(nnx.softmax(scores[-1, shown, heard[shown]])).T
    cmap, extent = ("Blues", "Oranges")[i], (0, seconds, 5.5, -0.5)
    axes[name].imshow(chances, cmap=cmap, extent=extent, aspect="auto", zorder=2)
    axes[name].set_yticks(range(6), ["blank", *SYMBOLS[1:]])
    axes[name].set_title(f"{name}: probabilities, read as {read[-1][shown]}")

# %% CTC is never told where a vowel is, and here ends with fewer errors than the network that is.
# It is trained to get the symbols right, the other to get the frames right. First it writes nothing
# but blanks, so every symbol is missing. Later its blanks fill about twice as many frames as there
# is silence: it gives each vowel a shorter time, which may help to keep double vowels apart.

picture, extent = sound[shown, heard[shown]][:, ::-1].T, (0, seconds, 0.1, 3)
axes["sound"].imshow(picture, cmap="gray_r", extent=extent, aspect="auto", zorder=2)
axes["sound"].set(title=f"One held-out sound: {true[shown]}", ylabel="frequency, kHz")
axes["timing known"].set_xlabel("time, seconds")
axes["errors"].set(xlabel="training step", ylabel="errors per symbol, held out")
axes["errors"].set(title="Symbols to insert, delete or replace", ylim=(0, 1.05))
axes["errors"].legend()
fig.suptitle("CTC learns to write down vowels without being told when they are spoken")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/recognise_speech.png")
print("picture: out/recognise_speech.png")
