"""
Sharp and flat minima, and the noise of single examples
=======================================================

Start many runs on a loss with one sharp and one flat minimum, and descend by the whole batch, by
mini-batches and by single examples. Each example has the same two valleys, shifted a little. In the
sharp valley the shift turns into a long gradient, in the flat one into a short gradient. So the
noise throws a run out of the sharp valley and leaves it in the flat one (Keskar et al., 2017; Wu,
Ma & E, 2018). The whole batch stays in whichever valley it meets.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, RUNS = (300, 200) if SMALL else (1000, 2000)
RATE, EXAMPLES = 0.03, 256
SHARP, FLAT = -1.0, 1.0

# %% The loss of one example: the lower of two parabolas, with the corner rounded. The sharp one has
# curvature 40 and the lower minimum, the flat one has curvature 2. Both are stable for the whole
# batch, whose limit is 2 / 0.03 = 67.

shifts = 0.25 * jax.random.normal(jax.random.key(0), (EXAMPLES,))
shifts = shifts - shifts.mean()


def example_loss(w: jax.Array, shift: jax.Array) -> jax.Array:
    sharp = 40 * (w - SHARP - shift) ** 2 / 2
    flat = 1.2 + 2 * (w - FLAT - shift) ** 2 / 2
    return -0.2 * jnp.logaddexp(-sharp / 0.2, -flat / 0.2)


def loss_fn(w: jax.Array, shifts: jax.Array) -> jax.Array:
    return example_loss(w, shifts).mean()


# %% All runs of one batch size are one program: a scan over the steps, mapped over the starts. The
# rate is the same for all.


@partial(jax.jit, static_argnums=2)
@partial(jax.vmap, in_axes=(0, 0, None))
def train(start: jax.Array, key: jax.Array, batch: int) -> jax.Array:
    tx = gc.sgd(RATE)

    def step(carry: tuple, key: jax.Array) -> tuple:
        w, state = carry
        chosen = jax.random.randint(key, (batch,), 0, EXAMPLES)
        seen = shifts if batch == EXAMPLES else shifts[chosen]
        w, state = tx.step(jax.grad(loss_fn)(w, seen), state, w)
        return (w, state), w

    return jax.lax.scan(step, (start, tx.init(start)), jax.random.split(key, STEPS))[1]


# %% Where the mean loss is highest between the valleys is the border of the two.

line = jnp.linspace(-1.8, 2.6, 1001)
curve = np.asarray(jax.vmap(loss_fn, (0, None))(line, shifts))
inside = (line > SHARP) & (line < FLAT)
border = float(line[np.where(inside, curve, -np.inf).argmax()])
starts = jnp.linspace(-1.5, 2.5, RUNS)
share, ends = {}, {}
for name, batch in {"all 256": EXAMPLES, "16": 16, "4": 4, "1": 1}.items():
    paths = np.asarray(train(starts, jax.random.split(jax.random.key(1), RUNS), batch))
    share[name] = np.concatenate([[np.mean(starts < border)], (paths < border).mean(0)])
    ends[name] = paths[:, -1]
    loss = np.interp(ends[name], line, curve).mean()
    print(
        f"batches of {name:7}: {share[name][0]:4.0%} start in the sharp valley, "
        f"{share[name][-1]:4.0%} end there, mean loss {loss:.3f}"
    )

# %% The whole batch ends in the valley in which it started. Single examples have left the sharp
# valley after a few hundred steps, although it is the lower one, and they do not come back from the
# flat one. The noise falls with the size of the batch: with 16 examples hardly a run crosses over.

fig, axes = plt.subplots(3, 1, figsize=(8, 9.5), height_ratios=(2, 1.1, 2))
top, rows, below = axes
rows.sharex(top)
for shift in shifts[:12]:
    top.plot(line, example_loss(line, shift), color="0.8", linewidth=0.7)
top.plot([], [], color="0.8", label="single examples")
top.plot(line, curve, color="k", label="mean of all examples")
top.set(ylim=(0, 4.5), xlabel="weight", ylabel="loss")
top.legend(loc="upper center")
for row, (name, color) in enumerate(zip(share, ("C0", "C2", "C1", "C3"), strict=True)):
    stay = share[name][-1]
    heights = np.full(RUNS, -row)
    rows.plot(ends[name], heights, "|", color=color, markersize=16, alpha=0.3)
    rows.text(SHARP - 0.45, -row, f"{stay:.0%}", ha="right", va="center")
    rows.text(FLAT + 0.3, -row, f"{1 - stay:.0%}", va="center")
    below.plot(1 + np.arange(STEPS + 1), 100 * share[name], color=color, lw=3 - row / 2)
rows.set(yticks=-np.arange(len(share)), yticklabels=share, ylim=(-3.6, 0.6))
rows.set(xlabel=f"weight after {STEPS} steps", ylabel="examples in a batch")
below.set(xscale="log", xlabel="step, plus one", ylabel="runs in the sharp valley, %")
below.set_ylim(-2, None)
below.legend([f"batches of {name}" for name in share], loc="lower left")
fig.suptitle("Single examples leave the sharp minimum, the whole batch stays")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/sharp_minima.png")
print("picture: out/sharp_minima.png")
