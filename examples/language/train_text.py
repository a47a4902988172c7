"""
Character models: RNN, LSTM and GRU, with and without clipping
==============================================================

Train three recurrent networks with and without clipping. They read the documentation that ships
with Python and predict the next character. Back-propagation through time multiplies as many
matrices as there are characters, so now and then a gradient is a thousand times longer than the one
before. Clipping by the global norm (Pascanu, Mikolov & Bengio, 2013) was invented for this.
"""

from pathlib import Path
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from rich.progress import Progress

import gradchain as gc

STEPS, BATCH, WINDOW, HIDDEN, RATE = 300, 32, 64, 96, 2.0
CELLS = {"RNN": nnx.SimpleCell, "LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell}

# %% Data: 32 streams of characters, cut into windows. A window continues the last one, so the state
# of the network is handed from window to window, but the gradient stops there: truncated
# back-propagation through time.

text = "".join(topics[name] for name in sorted(topics))
letters, codes = np.unique(list(text), return_inverse=True)
length = STEPS * WINDOW + 1
streams = codes[: len(codes) // BATCH * BATCH].reshape(BATCH, -1)[
    :, np.arange(length) % (len(codes) // BATCH)
]


class CharacterModel(nnx.Module):
    def __init__(self, cell: type, rngs: nnx.Rngs):
        self.embed = nnx.Embed(len(letters), HIDDEN, rngs=rngs)
        self.recurrent = nnx.RNN(cell(HIDDEN, HIDDEN, rngs=rngs), return_carry=True)
        self.head = nnx.Linear(HIDDEN, len(letters), rngs=rngs)

    def __call__(self, x: jax.Array, carry: tuple) -> tuple:
        carry, hidden = self.recurrent(self.embed(x), initial_carry=carry)
        return self.head(hidden), carry


def loss_fn(model: CharacterModel, x: jax.Array, y: jax.Array, carry: tuple) -> tuple:
    logits, carry = model(x, jax.lax.stop_gradient(carry))
    return -jnp.take_along_axis(nnx.log_softmax(logits), y[..., None], axis=-1).mean(), carry


@nnx.jit
def train_step(
    model: CharacterModel, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array, carry: tuple
) -> tuple:
    (loss, carry), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model, x, y, carry)
    optimizer.update(model, grads)
    return loss, gc.global_norm(grads), carry


# %%
# Plain gradient descent at a high rate, and the same behind a clip. Nothing else differs.

optimizers = {
    "clipped": gc.chain(gc.clip_by_global_norm(0.25), gc.sgd(RATE)),
    "not clipped": gc.sgd(RATE),
}
history = {}
with Progress() as progress:
    for name, cell in CELLS.items():
        for kind, tx in optimizers.items():
            task = progress.add_task(f"{name}, {kind}", total=STEPS)
            model = CharacterModel(cell, nnx.Rngs(0))
            optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
            carry = model.recurrent.cell.initialize_carry((BATCH, HIDDEN), nnx.Rngs(0))
            seen = []
            for t in range(0, STEPS * WINDOW, WINDOW):
                window = streams[:, t : t + WINDOW + 1]
                loss, norm, carry = train_step(
                    model, optimizer, window[:, :-1], window[:, 1:], carry
                )
                seen.append((float(loss), float(norm)))
                progress.advance(task)
            history[name, kind] = np.array(seen)
            loss, norm = history[name, kind].T
            final, longest = f"{loss[-20:].mean():.3f} nats", f"{norm.max():.1e}"
            print(f"{name:4} {kind:11}: loss {final}, longest gradient {longest}")

# %% The plain recurrent network explodes: after a few long gradients it is worse than a random
# guess, and at the end it is still far behind the network whose gradients were clipped. How far
# depends on the rounding of the first steps, and so on the machine: after an explosion a run is
# chaotic. The gates of LSTM and GRU keep the products of matrices near one. Here they need no clip,
# and learn a little faster without it, because a clip that acts at every step is a smaller rate.

fig, axes = plt.subplots(2, 3, sharex=True, sharey="row", figsize=(10, 6), layout="constrained")
for column, name in zip(axes.T, CELLS, strict=True):
    for (kind, color), width in zip(
        {"not clipped": "C3", "clipped": "C0"}.items(), (0.9, 1.4), strict=True
    ):
        for ax, values in zip(column, history[name, kind].T, strict=True):
            ax.plot(values, color=color, linewidth=width, label=kind)
    column[0].axhline(np.log(len(letters)), color="0.3", linestyle=":", linewidth=0.8)
    column[1].axhline(0.25, color="0.3", linestyle="--", linewidth=0.8)
    column[0].set_title(name)
    column[1].set_xlabel("step")
axes[0, 0].set(ylabel="loss, nats per character", yscale="log")
axes[1, 0].set(ylabel="gradient norm", yscale="log")
axes[0, 0].legend(frameon=False)
axes[0, 2].annotate(
    "a guess", (STEPS, np.log(len(letters))), ha="right", va="bottom", color="0.3", fontsize=8
)
axes[1, 2].annotate("clipped above", (STEPS, 0.25), ha="right", va="top", color="0.3", fontsize=8)
for ax in axes.flat:
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)

Path("out").mkdir(exist_ok=True)
fig.savefig("out/train_text.png", dpi=150)
print("picture: out/train_text.png")
