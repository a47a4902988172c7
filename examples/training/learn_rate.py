"""
Learn the learning rate and the momentum
========================================

Train the numbers of an optimizer, by gradients through the training that it does (Maclaurin,
Duvenaud & Adams, 2015). A transformation of gradchain is a pytree of its numbers, so ``jax.grad``
with respect to it says how each of them should change, and Adam takes it as parameters. Twenty
steps on random quadratic problems learn one rate and one momentum, or a rate and a momentum for
each step. Both are compared with a search over a grid, on new problems.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
META_STEPS, PROBLEMS, GRID = (400, 32, 20) if SMALL else (4000, 128, 40)
STEPS, SIZE, NUMBERS = 20, 20, ("learning_rate", "momentum")

# %%
# A problem is a bowl in 20 dimensions with curvatures between 0.02 and 1, and a random start. A
# stack of 20 optimizers, one for each step, is a pytree like any other, so ``scan`` runs over it.


def train(stack: gc.GradientTransformation, key: jax.Array) -> jax.Array:
    """The loss after each step, as a share of that at the start."""
    curvatures = jax.random.uniform(key, (SIZE,), minval=0.02, maxval=1.0)
    start = jax.random.normal(jax.random.fold_in(key, 1), (SIZE,))

    def loss_fn(params: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(curvatures * params**2)

    def step(carry: tuple, tx: gc.GradientTransformation) -> tuple:
        params, state = tx.step(jax.grad(loss_fn)(carry[0]), carry[1], carry[0])
        return (params, state), loss_fn(params)

    state = jax.tree.map(lambda x: x[0], stack).init(start)
    return jax.lax.scan(step, (start, state), stack)[1] / loss_fn(start)


def mean_losses(stack: gc.GradientTransformation, keys: jax.Array) -> jax.Array:
    return jax.vmap(lambda key: train(stack, key))(keys).mean(axis=0)


def stacked(rate: jax.Array, momentum: jax.Array) -> gc.GradientTransformation:
    return jax.vmap(lambda _: gc.sgd(rate, momentum=momentum))(jnp.arange(STEPS))


# %% The outer loss is the logarithm of the mean loss after the last step. Where all steps share
# their numbers, each takes the mean of the gradients. Each outer step draws new problems.


def learn(shared: jax.Array) -> gc.GradientTransformation:
    outer = gc.adam(gc.cosine_decay_schedule(0.02, META_STEPS))

    def step(carry: tuple, key: jax.Array) -> tuple:
        stack, state = carry
        keys = jax.random.split(key, PROBLEMS)
        grads = jax.grad(lambda stack: jnp.log(mean_losses(stack, keys)[-1]))(stack)
        grads = jax.tree.map(lambda g: jnp.where(shared, g.mean(), g), grads)
        return outer.step(grads, state, stack), None

    stack = stacked(jnp.array(0.2), jnp.array(0.2))
    keys = jax.random.split(jax.random.key(0), META_STEPS)
    return jax.lax.scan(step, (stack, outer.init(stack)), keys)[0][0]


stacks = jax.jit(jax.vmap(learn))(jnp.array([True, False]))

# %%
# The grid has all pairs of a rate and a momentum. One program tries them on the same new problems.

rates, momenta = jnp.linspace(0.1, 4.0, GRID), jnp.linspace(0.0, 0.95, GRID)
pairs = [a.ravel() for a in jnp.meshgrid(rates, momenta)]
both = jax.tree.map(lambda *x: jnp.concatenate(x), jax.vmap(stacked)(*pairs), stacks)
test_keys = jax.random.split(jax.random.key(1), 256)
test = jax.jit(lambda stacks: jax.vmap(lambda s: mean_losses(s, test_keys))(stacks))
losses = np.asarray(test(both))
best = int(np.nanargmin(losses[:-2, -1]))
variants = {"best of the grid": best, "learned, shared": -2, "learned, per step": -1}
numbers = {}
for name, i in variants.items():
    numbers[name] = args = jax.tree.map(lambda x, i=i: np.asarray(x[i]), both).arguments
    mean = {key: values.mean() for key, values in args.items() if key in NUMBERS}
    print(
        f"{name:17}: loss falls to {losses[i, -1]:.2e} of its start, "
        f"mean rate {mean['learning_rate']:.3f}, mean momentum {mean['momentum']:.3f}"
    )

# %% With shared numbers, gradients find what the search over the whole grid finds. With numbers of
# their own, the steps begin and end with a small rate and little momentum, and end lower. Some
# steps before the end they are no better than the others: they aim at the last loss alone. The
# momentum of the first step is not drawn, because it has nothing to act on.

fig, axes = plt.subplots(1, 3, figsize=(12, 4.2))
steps = np.arange(1, STEPS + 1)
for color, (name, i) in zip(("0.6", "C0", "C3"), variants.items(), strict=True):
    width = 5 if i == best else 2
    for ax, key in zip(axes, NUMBERS, strict=False):
        first = int(key == "momentum")
        ax.plot(steps[first:], numbers[name][key][first:], color=color, lw=width, label=name)
    axes[2].plot(np.append(0, steps), np.append(1, losses[i]), color=color, lw=width, label=name)
axes[0].set(ylabel="learning rate", ylim=(0, None))
axes[1].set(ylabel="momentum", ylim=(0, 1))
axes[2].set(yscale="log", ylabel="loss on new problems, share of the start")
for ax in axes:
    ax.set(xlabel="step", xticks=range(0, STEPS + 1, 5))
axes[2].legend()
fig.suptitle("Gradients through 20 steps learn the rate and the momentum of each step")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/learn_rate.png")
print("picture: out/learn_rate.png")
