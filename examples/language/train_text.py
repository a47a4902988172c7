"""
Character models: RNN, LSTM and GRU, with and without clipping
==============================================================

Train three recurrent networks with and without clipping. They read the documentation that ships
with Python and predict the next character. Back-propagation through time multiplies as many
matrices as there are characters, so now and then a gradient is many times longer than the one
before. Clipping by the global norm (Pascanu, Mikolov & Bengio, 2013) was invented for this.
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
STEPS, BATCH, WINDOW, HIDDEN, RATE = (60, 16, 64, 48, 2.0) if SMALL else (300, 32, 64, 96, 2.0)
CELLS = {"RNN": nnx.SimpleCell, "LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell}
LIMITS = {"clipped": 0.25, "not clipped": jnp.inf}

# %% Data: streams of characters, cut into windows. A window continues the last one, so the state of
# the network is handed from window to window, but the gradient stops there: truncated
# back-propagation through time.

text = "".join(topics[name] for name in sorted(topics))
letters, codes = np.unique(list(text), return_inverse=True)
streams = codes[: len(codes) // BATCH * BATCH].reshape(BATCH, -1)
places = np.arange(STEPS)[:, None] * WINDOW + np.arange(WINDOW + 1)
windows = streams[:, places % streams.shape[1]].swapaxes(0, 1)


class CharacterModel(nnx.Module):
    def __init__(self, cell: type, rngs: nnx.Rngs):
        self.embed = nnx.Embed(len(letters), HIDDEN, rngs=rngs)
        self.recurrent = nnx.RNN(cell(HIDDEN, HIDDEN, rngs=rngs), return_carry=True)
        self.head = nnx.Linear(HIDDEN, len(letters), rngs=rngs)

    def __call__(self, x: jax.Array, memory: tuple) -> tuple:
        memory, hidden = self.recurrent(self.embed(x), initial_carry=memory)
        return self.head(hidden), memory


# %% Plain gradient descent at a high rate, behind a clip at 0.25, and behind one that never acts.
# Both runs of a network are one compiled program, mapped over the limit.


def fit(cell: type, limit: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The loss and the length of the gradient at each step."""
    tx = gc.chain(gc.clip_by_global_norm(limit), gc.sgd(RATE))
    graph, params, rest = nnx.split(CharacterModel(cell, nnx.Rngs(0)), nnx.Param, ...)

    def loss(params: nnx.State, window: jax.Array, memory: tuple) -> tuple:
        model = nnx.merge(graph, params, rest, copy=True)
        logits, memory = model(window[:, :-1], memory)
        loss = gc.losses.softmax_cross_entropy_with_integer_labels(logits, window[:, 1:])
        return loss.mean(), memory

    def step(carry: tuple, window: jax.Array) -> tuple:
        params, state, memory = carry
        (value, memory), grads = jax.value_and_grad(loss, has_aux=True)(params, window, memory)
        return (*tx.step(grads, state, params), memory), (value, gc.global_norm(grads))

    memory = cell(HIDDEN, HIDDEN, rngs=nnx.Rngs(0)).initialize_carry((BATCH, HIDDEN), nnx.Rngs(0))
    return jax.lax.scan(step, (params, tx.init(params), memory), windows)[1]


history = {}
for name, cell in track(CELLS.items(), "training"):
    runs = jax.jit(jax.vmap(lambda limit, cell=cell: fit(cell, limit)))(
        jnp.array([*LIMITS.values()])
    )
    for kind, loss, norm in zip(LIMITS, *np.array(runs), strict=True):
        history[name, kind] = loss, norm
        final, longest = f"{loss[-20:].mean():.3f} nats", f"{norm.max():.1e}"
        print(f"{name:4} {kind:11}: loss {final}, longest gradient {longest}")

# %% The plain recurrent network explodes: after a few long gradients it is worse than a random
# guess, and at the end it is still far behind the network whose gradients were clipped. How far
# depends on the rounding of the first steps, and so on the machine: after an explosion a run is
# chaotic. The gates of LSTM and GRU keep the products of matrices near one. Here they need no clip,
# and learn a little faster without it, because a clip that acts at every step is a smaller rate.

fig, axes = plt.subplots(2, 3, sharex=True, sharey="row", figsize=(10, 6))
for column, name in zip(axes.T, CELLS, strict=True):
    for kind, color, width in (("not clipped", "C3", 0.9), ("clipped", "C0", 1.4)):
        for ax, values in zip(column, history[name, kind], strict=True):
            ax.plot(values, color=color, linewidth=width, label=kind)
    column[0].axhline(np.log(len(letters)), color="0.3", linestyle=":", linewidth=0.8)
    column[1].axhline(0.25, color="0.3", linestyle="--", linewidth=0.8)
    column[0].set_title(name)
    column[1].set_xlabel("step")
axes[0, 0].set(ylabel="loss, nats per character", yscale="log")
axes[1, 0].set(ylabel="gradient norm", yscale="log", ylim=(0.05, None))
axes[0, 0].legend()
note = {"color": "0.3", "fontsize": 9, "ha": "right"}
axes[0, 2].annotate("a guess", (STEPS, np.log(len(letters))), va="bottom", **note)
axes[1, 2].annotate("dashed: clipped above", (STEPS, 0.06), va="bottom", **note)
fig.suptitle("Without a clip the plain recurrent network explodes; LSTM and GRU do not")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/train_text.png")
print("picture: out/train_text.png")
