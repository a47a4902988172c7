"""
32 learning rates in one compiled program
=========================================

Train a small MLP (Flax Linen) on handwritten digits with 32 learning rates at once. An optimizer is
a tree of its hyperparameters, so ``jax.vmap`` makes a population of Adams, one for each learning
rate, in a program that is compiled once.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import linen as nn
from matplotlib.colors import LogNorm
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

EPOCHS, BATCH = 20, 64
rates = jnp.logspace(-5, 0, 32)

images, labels = load_digits(return_X_y=True)
split = train_test_split(
    images.astype(np.float32) / 16, labels, test_size=0.25, stratify=labels, random_state=0
)
x, x_held, y, y_held = map(jnp.asarray, split)


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dense(10)(nn.relu(nn.Dense(64)(x)))


model = MLP()


def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
    log_p = nn.log_softmax(model.apply({"params": params}, x))
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()


# %%
# Training as for a single network. The optimizer is an argument like the parameters.

traces = []


def train_epoch(
    tx: gc.GradientTransformation, params: dict, state: dict, batches: jax.Array
) -> tuple:
    traces.append(tx)  # Python runs this line once for each program that is compiled

    def train_step(carry: tuple, batch: jax.Array) -> tuple:
        params, state = carry
        loss, grads = jax.value_and_grad(loss_fn)(params, x[batch], y[batch])
        return tx.step(grads, state, params), loss

    (params, state), losses = jax.lax.scan(train_step, (params, state), batches)
    return params, state, losses


# %% The population: an Adam for each rate, each with the same first parameters. ``vmap`` over the
# optimizers, the parameters and the states trains them all; the mini-batches are shared.

population = jax.vmap(gc.adam)(rates)
params = model.init(jax.random.key(0), x[:1])["params"]
params = jax.tree.map(lambda leaf: jnp.tile(leaf, (len(rates), *[1] * leaf.ndim)), params)
state = jax.vmap(lambda tx, params: tx.init(params))(population, params)
train_all = jax.jit(jax.vmap(train_epoch, in_axes=(0, 0, 0, None)))

shuffle = np.random.default_rng(0)
history = []
columns = (
    BarColumn(20),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.description}"),
)
with Progress(*columns) as progress:
    task = progress.add_task("", total=EPOCHS)
    for _ in range(EPOCHS):
        batches = shuffle.permutation(len(x))[: len(x) // BATCH * BATCH].reshape(-1, BATCH)
        params, state, losses = train_all(population, params, state, batches)
        history.append(np.asarray(losses))
        epoch_loss = history[-1].mean(axis=1)
        text = (
            f"best mean loss {epoch_loss.min():.4f} at a rate of {rates[epoch_loss.argmin()]:.1e}"
        )
        progress.update(task, advance=1, description=text)

held_loss = np.asarray(jax.vmap(loss_fn, in_axes=(0, None, None))(params, x_held, y_held))
predicted = jax.vmap(lambda params: model.apply({"params": params}, x_held).argmax(axis=1))(
    params
)
accuracy = np.asarray((predicted == y_held).mean(axis=1))
best = int(held_loss.argmin())
print(f"learning rates: {len(rates)}, compiled programs: {len(traces)}")
print(f"best learning rate: {rates[best]:.1e}")
print(f"held-out accuracy: {accuracy[best]:.4f}")

# %%
# The loss of each network during training, and at the end.

curves = np.concatenate(history, axis=1)
box = np.ones(21)
smooth = lambda curve: (
    np.convolve(curve, box, "same") / np.convolve(np.ones(len(curve)), box, "same")
)
norm, colours = LogNorm(rates[0], rates[-1]), plt.get_cmap("viridis")

fig, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4.2), sharey=True, width_ratios=(3, 2), layout="constrained"
)
for rate, curve in zip(rates, curves, strict=True):
    left.plot(smooth(curve), color=colours(norm(rate)), linewidth=1)
left.set(
    xlabel="step",
    ylabel="cross-entropy loss",
    yscale="log",
    xlim=(0, curves.shape[1]),
    ylim=(5e-4, 10),
)
left.set_title(f"while training: mean of {len(box)} steps")
right.plot(rates, history[-1].mean(axis=1), color="0.6", label="training, last epoch")
right.scatter(
    rates, held_loss, c=rates, norm=norm, cmap=colours, zorder=3, s=22, label="held-out"
)
right.axvline(
    rates[best],
    color="0.3",
    linestyle="--",
    linewidth=0.8,
    label=f"best held-out: {rates[best]:.1e}",
)
right.set(xlabel="learning rate", xscale="log")
right.set_title("in the end")
right.legend(frameon=False, loc="lower left")
for ax in (left, right):
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
fig.colorbar(plt.cm.ScalarMappable(norm, colours), ax=(left, right), label="learning rate")
fig.suptitle(f"{len(rates)} learning rates of Adam on handwritten digits, in one program")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/sweep_learning_rates.png", dpi=150)
print("picture: out/sweep_learning_rates.png")
