"""
Muon beside AdamW
=================

Train a small transformer with Muon (Jordan et al., 2024) and with AdamW. It predicts the next
character of the documentation that ships with Python. Muon gives each hidden matrix a step whose
singular values are nearly equal; embeddings, biases, norms and the output go on with AdamW. Both
are tuned over the same rates and seeds. The run counts the steps until Muon has the loss at which
the tuned AdamW ends.
"""

import sys
from collections.abc import Callable
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
STEPS, SEEDS, WIDTH, LAYERS = (100, 2, 16, 1) if SMALL else (300, 5, 32, 2)
RATES = (0.02, 0.04, 0.08) if SMALL else (0.005, 0.01, 0.02, 0.04)
BATCH, WINDOW, EVERY = 8, 32, 10
SHAPE = STEPS // EVERY, EVERY, BATCH

# %% Data: characters, in the order of the topics. The end of the text is held out.

text = "".join(topics[name] for name in sorted(topics))
letters, codes = np.unique(list(text), return_inverse=True)
codes, held = codes[: -64 * (WINDOW + 1)], codes[-64 * (WINDOW + 1) :].reshape(64, -1)


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.norm1, self.norm2 = (nnx.LayerNorm(WIDTH, rngs=rngs) for _ in range(2))
        self.attend = nnx.MultiHeadAttention(2, WIDTH, decode=False, rngs=rngs)
        up, down = (nnx.Linear(n, 4 * WIDTH**2 // n, rngs=rngs) for n in (WIDTH, 4 * WIDTH))
        self.feed = nnx.Sequential(up, nnx.gelu, down)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attend(self.norm1(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.feed(self.norm2(x))


class Transformer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.embed, self.place = (nnx.Embed(n, WIDTH, rngs=rngs) for n in (len(letters), WINDOW))
        self.blocks = nnx.Sequential(*(Block(rngs) for _ in range(LAYERS)))
        head = nnx.Linear(WIDTH, len(letters), rngs=rngs)
        self.head = nnx.Sequential(nnx.LayerNorm(WIDTH, rngs=rngs), head)

    def __call__(self, codes: jax.Array) -> jax.Array:
        return self.head(self.blocks(self.embed(codes) + self.place.embedding))


# %% Two optimizers, as functions of the rate. ``where`` leaves the output to AdamW; the kernels of
# attention, which have three dimensions, are seen as matrices by their names.

adamw = lambda rate: gc.adamw(rate, weight_decay=0.1, where=gc.weight_matrices(embeddings=False))
muon = lambda rate: gc.muon(rate, weight_decay=0.1, where="blocks/*kernel", fallback=adamw(rate))


def held_out(make: Callable, peak: jax.Array, seed: jax.Array) -> jax.Array:
    """The loss on held-out text, in nats per character, each ``EVERY`` steps of a run."""
    graph, params = nnx.split(Transformer(nnx.Rngs(jax.random.key(seed))))
    tx = make(gc.warmup_cosine_decay_schedule(0.0, peak, STEPS // 20, STEPS))
    starts = jax.random.randint(jax.random.key(seed), SHAPE, 0, len(codes) - WINDOW)

    def loss(params: nnx.State, x: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, params)(x[:, :-1])
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, x[:, 1:]).mean()

    def step(carry: tuple, start: jax.Array) -> tuple:
        batch = jnp.asarray(codes)[start[:, None] + jnp.arange(WINDOW + 1)]
        return tx.step(jax.grad(loss)(carry[0], batch), carry[1], carry[0]), None

    def several(carry: tuple, starts: jax.Array) -> tuple:
        carry, _ = jax.lax.scan(step, carry, starts)
        return carry, loss(carry[0], jnp.asarray(held))

    return jax.lax.scan(several, (params, tx.init(params)), starts)[1]


tuned = {}
for name, make in track({"adamw": adamw, "muon": muon}.items(), "training"):
    runs = jax.vmap(lambda r, s, make=make: held_out(make, r, s), (None, 0))
    found = np.array(jax.jit(jax.vmap(runs, (0, None)))(jnp.array(RATES), jnp.arange(SEEDS)))
    ends = found[..., -1].mean(axis=1)  # of rates, seeds, times
    tuned[name] = found[ends.argmin()]
    print(f"{name:5}: best rate {RATES[ends.argmin()]}, loss at the end by rate {ends.round(3)}")

times, share = np.arange(EVERY, STEPS + 1, EVERY), []
for ours, last in zip(tuned["muon"], tuned["adamw"][:, -1], strict=True):
    share.append(np.interp(-last, -np.minimum.accumulate(ours), times) / STEPS)
half = {2: 12.71, 5: 2.78}[SEEDS] * np.std(share, ddof=1) / SEEDS**0.5
print(f"muon has the last loss of adamw after {np.mean(share):.2f} ± {half:.2f} of the steps")

# %% At full size Muon has the last loss of AdamW after about half of the steps, and ends lower. The
# interval is that of the mean over seeds, by Student's t. Steps are counted, not seconds, and a
# step of Muon takes longer. Larger networks that train longer gain less (Wen et al., 2025).

fig, ax = plt.subplots(figsize=(8, 4.6))
for color, (name, runs) in zip(("C0", "C1"), tuned.items(), strict=True):
    ax.plot(times, runs.T, color=color, linewidth=0.6, alpha=0.6)
    ax.plot(times, runs.mean(axis=0), color=color, linewidth=2, label=name)
ax.axhline(tuned["adamw"][:, -1].mean(), color="0.3", linestyle="--", label="last of adamw")
ax.set(xlabel="step", ylabel="held-out loss, nats per character", ylim=(None, 3.5))
ax.legend(title=f"the mean of {SEEDS} seeds")
fig.suptitle("A character model with AdamW and with Muon, each at the best of the same rates")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/muon.png")
print("picture: out/muon.png")
