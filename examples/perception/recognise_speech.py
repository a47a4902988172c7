"""
Recognition of sounds without timing: CTC
=========================================

Train a small network to write down vowels that it hears. Each sequence comes with its symbols, but
not with their places in time. The CTC loss (Graves et al., 2006) sums over all places: a frame is
one of the symbols or a blank; to read the answer, repeats are merged and blanks left out. Beside
it, the same network learns from the true symbol of each frame, which recordings seldom have.
"""

import sys
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from scipy.ndimage import convolve1d

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, NUMBER, BATCH, LOOKS = (400, 3000, 32, 20) if SMALL else (2000, 10_000, 64, 40)
HELD, FRAMES, SYMBOLS = 300, 32, "-ieaou"  # the first is the blank

# %% Data: a long stream of vowels, cut into pieces of 32 frames of 20 ms. A vowel lasts 2 to 6
# frames, then 0 to 2 are silent. A frame has 24 channels from 100 to 3000 Hz, and shows the first
# two formants (Peterson & Barney, 1952) of a speaker, who shifts all formants of a piece by up to
# 15%. Vowels glide into one another, and noise covers all.

FORMANTS = np.array([(270, 2290), (530, 1840), (730, 1090), (570, 840), (300, 870)])
rng = np.random.default_rng(0)
vowels = rng.integers(1, 6, NUMBER * FRAMES // 4)
frames = rng.integers([2, 0], [7, 3], (len(vowels), 2))
stream = np.repeat(np.stack([vowels, 0 * vowels], axis=1).ravel(), frames.ravel())
spoken = stream[: NUMBER * FRAMES].reshape(NUMBER, FRAMES)
peaks = FORMANTS[spoken - 1] * rng.uniform(0.85, 1.15, (NUMBER, 1, 1))
away = np.linspace(100, 3000, 24)[:, None] - peaks[:, :, None]
sound = np.exp(-((away / 150) ** 2)).sum(axis=-1) * (spoken > 0)[..., None]
sound = convolve1d(sound, [0.25, 0.5, 0.25], axis=1)
sound = np.float32(sound + rng.normal(0, 0.35, sound.shape))
rows = rng.integers(HELD, NUMBER, (LOOKS, STEPS // LOOKS, BATCH))


def read(frames: np.ndarray) -> str:
    kept = frames[(np.diff(frames, prepend=0) != 0) & (frames > 0)]
    return "".join(SYMBOLS[i] for i in kept)


words = [read(frames) for frames in spoken]
filled = [word.ljust(max(map(len, words)), "-") for word in words]
labels = jnp.array([list(map(SYMBOLS.index, word)) for word in filled])
symbols = jnp.asarray(spoken)

# %% The network scores the blank and the vowels of a frame, from it and four frames on each side.

padded = np.pad(sound, ((0, 0), (4, 4), (0, 0)))
nine = jnp.concatenate([padded[:, i : i + FRAMES] for i in range(9)], axis=-1)
rngs = nnx.Rngs(0)
first, second = nnx.Linear(9 * 24, 64, rngs=rngs), nnx.Linear(64, 6, rngs=rngs)
graph, start = nnx.split(nnx.Sequential(first, nnx.relu, second))
rate = gc.warmup_cosine_decay_schedule(0.0, 1e-2, STEPS // 10, STEPS)
tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(rate, where=gc.weight_matrices()))


@jax.jit
def fit(kind: int, nine: jax.Array) -> jax.Array:
    def loss(params: nnx.State, i: jax.Array) -> jax.Array:
        x = nnx.merge(graph, params)(nine[i])
        ctc = gc.losses.ctc_loss(x, jnp.zeros(x.shape[:2]), labels[i], labels[i] == 0)
        each = gc.losses.softmax_cross_entropy_with_integer_labels(x, symbols[i])
        return jnp.stack([ctc.mean(), each.sum(axis=1).mean()])[kind]

    def step(carry: tuple, rows: jax.Array) -> tuple:
        grads = jax.grad(loss)(carry[0], rows)
        return tx.step(grads, carry[1], carry[0]), None

    def look(carry: tuple, rows: jax.Array) -> tuple:
        carry, _ = jax.lax.scan(step, carry, rows)
        return carry, nnx.merge(graph, carry[0])(nine[:HELD])

    return jax.lax.scan(look, (start, tx.init(start)), rows)[1]


@cache
def edits(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    replaced = edits(a[1:], b[1:]) + (a[0] != b[0])
    return min(replaced, edits(a[1:], b) + 1, edits(a, b[1:]) + 1)


fig, axes = plt.subplot_mosaic("AC;BC", figsize=(10, 5))
print(f"silence: in {(spoken == 0).mean():.3f} of the frames")
for i, name in enumerate(["CTC", "timing known"]):
    found = np.asarray(fit(i, nine))
    answers = [[read(best) for best in look] for look in found.argmax(axis=3)]
    wrong = [sum(map(edits, x, words)) / sum(map(len, words[:HELD])) for x in answers]
    blank = np.mean(found[-1].argmax(axis=2) == 0)
    print(f"{name}: wrong {wrong[-1]:.3f}, blank in {blank:.3f} of the frames")
    print(f"{name}: at the first look, {sum(map(len, answers[0]))} symbols written")
    axes["C"].plot(np.linspace(0, STEPS, LOOKS + 1)[1:], wrong, label=name)
    ax, color = axes["AB"[i]], ["Blues", "Oranges"][i]
    ax.imshow(nnx.softmax(found[-1, 0]).T, color, aspect="auto", zorder=2)
    ax.set(yticks=range(6), yticklabels=SYMBOLS, xlabel="frame of 20 ms")
    ax.set_title(f"{name}: {words[0]} read as {answers[-1][0]}")

# %% CTC is never told where a vowel is, and here ends with fewer errors than the network that is.
# First it writes almost only blanks. Later its blanks fill far more frames than there is silence:
# it gives each vowel a shorter time, which may help to keep double vowels apart.

axes["C"].set(xlabel="training step", ylim=(0, 1.1), title="Held-out errors per symbol")
axes["C"].legend()
fig.suptitle("CTC learns to write down vowels without being told when they are spoken")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/recognise_speech.png")
print("picture: out/recognise_speech.png")
