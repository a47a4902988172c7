"""
A transformer language model
============================

Train a small transformer (Vaswani et al., 2017) to predict the next character of the documentation
that ships with Python. The optimizer is the usual one: AdamW behind a clip by the global norm,
decay of the matrices alone, a rate that warms up and falls as a cosine, an average of the weights.
The run shows the loss on held-out paragraphs, and what the model writes.
"""

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
STEPS, BATCH, WIDTH, LAYERS, WINDOW = (240, 16, 32, 1, 32) if SMALL else (1800, 32, 64, 2, 64)

# %% Data: every paragraph once, because topics repeat one another. A tenth is held out.

paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
paragraphs = np.random.default_rng(0).permutation(list(dict.fromkeys(paragraphs)))
letters, codes = np.unique(list("\n\n".join(paragraphs)), return_inverse=True)
codes, held = np.split(codes, [len(codes) * 9 // 10])
windows = held[: 400 * (WINDOW + 1)].reshape(-1, WINDOW + 1)[:: 8 if SMALL else 1]


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.norm1, self.norm2 = (nnx.LayerNorm(WIDTH, rngs=rngs) for _ in range(2))
        self.attend = nnx.MultiHeadAttention(4, WIDTH, decode=False, rngs=rngs)
        up, down = (nnx.Linear(n, 4 * WIDTH**2 // n, rngs=rngs) for n in (WIDTH, 4 * WIDTH))
        self.feed = nnx.Sequential(up, nnx.gelu, down)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attend(self.norm1(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.feed(self.norm2(x))


class Transformer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.embed, self.place = (nnx.Embed(n, WIDTH, rngs=rngs) for n in (len(letters), WINDOW))
        layers = [*(Block(rngs) for _ in range(LAYERS)), nnx.LayerNorm(WIDTH, rngs=rngs)]
        self.layers = nnx.Sequential(*layers, nnx.Linear(WIDTH, len(letters), rngs=rngs))

    def __call__(self, codes: jax.Array) -> jax.Array:
        return self.layers(self.embed(codes) + self.place(jnp.arange(WINDOW)))


# %% The optimizer, and around it an average of the weights, over about a fiftieth of the run.

rate = gc.warmup_cosine_decay_schedule(0.0, 1e-2, STEPS // 20, STEPS)
adamw = gc.adamw(rate, weight_decay=0.1, where=gc.weight_matrices(embeddings=False))
tx = gc.average_weights(gc.chain(gc.clip_by_global_norm(1.0), adamw), decay=1 - 36 / STEPS)
graph, params = nnx.jit(lambda: nnx.split(Transformer(nnx.Rngs(0))))()


def bits(params: nnx.State, x: jax.Array) -> jax.Array:
    logits, y = nnx.merge(graph, params)(x[:, :-1]), x[:, 1:]
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean() / np.log(2)


@jax.jit
def train(params: nnx.State, state: dict, starts: jax.Array) -> tuple:
    def step(carry: tuple, start: jax.Array) -> tuple:
        batch = jnp.asarray(codes)[start[:, None] + jnp.arange(WINDOW + 1)]
        loss, grads = jax.value_and_grad(bits)(carry[0], batch)
        return tx.step(grads, carry[1], carry[0]), (loss, gc.global_norm(grads))

    (params, state), seen = jax.lax.scan(step, (params, state), starts)
    averaged = gc.eval_params(state, params)
    return params, state, *seen, jnp.array([bits(params, windows), bits(averaged, windows)])


state, history = tx.init(params), []
starts = np.random.default_rng(0).integers(0, len(codes) - WINDOW, (30, STEPS // 30, BATCH))
for some in track(starts, "training"):
    params, state, *seen = train(params, state, some)
    history.append(jax.device_get(seen))
loss, norm, found = (np.array(x) for x in zip(*history, strict=True))
for name, both in {"half-way": found[14], "at the end": found[-1]}.items():
    print("{:10}: trained {:.3f}, averaged {:.3f} bits a character".format(name, *both))


@jax.jit
def write(params: nnx.State, window: jax.Array) -> jax.Array:
    def step(window: jax.Array, key: jax.Array) -> tuple:
        drawn = jax.random.categorical(key, nnx.merge(graph, params)(window[None])[0, -1] / 0.7)
        return jnp.append(window[1:], drawn), drawn

    return jax.lax.scan(step, window, jax.random.split(jax.random.key(0), 240))[1]


print("".join(letters[write(gc.eval_params(state, params), windows[0, 1:])]))

# %% The clip acts almost only in the first steps. While the rate is high, the averaged weights are
# soon better than the trained ones. When it has fallen to zero both are the same.

fig, axes = plt.subplots(3, 1, sharex=True, figsize=(8, 7), height_ratios=(3, 1, 1))
axes[0].plot(loss.ravel(), color="0.6", linewidth=0.5, label="mini-batches")
axes[0].plot(np.r_[1:31] * STEPS // 30, found, label=["held out", "held out, averaged weights"])
axes[0].set(title="A transformer learns Python's documentation", ylabel="loss, bits a character")
axes[1].plot(rate(jnp.arange(STEPS)), color="C2")
axes[1].set(ylabel="learning rate", ylim=(0, None))
axes[2].plot(norm.ravel(), color="C3", linewidth=0.7)
axes[2].axhline(1.0, color="0.3", linestyle="--")
axes[2].set(ylabel="gradient norm,\nclipped above 1", xlabel="step", ylim=(0, 6), xlim=(0, STEPS))
axes[0].legend()
Path("out").mkdir(exist_ok=True)
fig.savefig("out/transformer.png")
print("picture: out/transformer.png")
