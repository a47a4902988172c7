"""
Dropout: slower training, a smaller gap
=======================================

Train a network on few images with five rates of dropout (Srivastava et al., 2014). At each step a
random part of the hidden units is set to zero, so no unit can rely on another one. One training
label in five is wrong, so that there is something that should not be learned. The loss on the
training images falls more slowly, that on held-out images rises less, and the gap is smaller.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, WIDTH, SEEDS = (240, 128, 2) if SMALL else (800, 256, 4)
EVERY, BATCH, IMAGES = 40, 50, 200
RATES = jnp.array([0.0, 0.2, 0.4, 0.6, 0.8])

# %%
# Data: 200 of the digits of scikit-learn to train on, each fifth with a wrong label; all others are
# held out.

images, labels = load_digits(return_X_y=True)
split = train_test_split(images / 16, labels, train_size=IMAGES, stratify=labels, random_state=0)
x, x_held, y, y_held = map(jnp.asarray, split)
y = y.at[::5].set((y[::5] + 1 + jnp.arange(IMAGES // 5) % 9) % 10)

# %% ``nnx.Dropout`` takes a number as its rate. Here the rate is an array, so that one program
# trains the networks of all rates under ``vmap``. What is left is divided by the part that is kept,
# so the mean of a unit is the same as without dropout, which is how the network is evaluated.


class MLP(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.hidden1 = nnx.Linear(64, WIDTH, rngs=rngs)
        self.hidden2 = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.head = nnx.Linear(WIDTH, 10, rngs=rngs)

    def __call__(self, x: jax.Array, rate: jax.Array | float, key: jax.Array) -> jax.Array:
        for layer in (self.hidden1, self.hidden2):
            key, own = jax.random.split(key)
            x = nnx.relu(layer(x))
            kept = jax.random.bernoulli(own, 1 - rate, x.shape)
            x = jnp.where(kept, x / (1 - rate), 0.0)
        return self.head(x)


def train(rate: jax.Array, seed: jax.Array) -> dict:
    tx, seed_key = gc.adam(2e-3), jax.random.key(seed)
    graph, params = nnx.split(MLP(nnx.Rngs(seed_key)))

    def evaluate(params: nnx.State, x: jax.Array, y: jax.Array, *dropout: jax.Array) -> tuple:
        logits = nnx.merge(graph, params)(x, *dropout)
        loss = gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, (logits.argmax(axis=1) == y).mean()

    def step(carry: tuple, key: jax.Array) -> tuple:
        batch = jax.random.randint(key, (BATCH,), 0, IMAGES)
        grad = jax.grad(evaluate, has_aux=True)
        grads, _ = grad(carry[0], x[batch], y[batch], rate, jax.random.fold_in(key, 1))
        return tx.step(grads, carry[1], carry[0]), None

    def steps(carry: tuple, keys: jax.Array) -> tuple:
        carry, _ = jax.lax.scan(step, carry, keys)
        loss, _ = evaluate(carry[0], x, y, 0.0, seed_key)
        held_out, accuracy = evaluate(carry[0], x_held, y_held, 0.0, seed_key)
        return carry, {"train": loss, "held out": held_out, "accuracy": accuracy}

    keys = jax.random.split(seed_key, (STEPS // EVERY, EVERY))
    return jax.lax.scan(steps, (params, tx.init(params)), keys)[1]


seeds = jax.vmap(train, in_axes=(None, 0))
found = jax.jit(jax.vmap(seeds, in_axes=(0, None)))(RATES, jnp.arange(SEEDS))
found = {name: jax.device_get(values.mean(axis=1)) for name, values in found.items()}
gap = found["held out"] - found["train"]

# %% All losses are of the whole network, without dropout, and means over the seeds.

for i, rate in enumerate(RATES):
    print(
        f"dropout {rate:.1f}: loss in training {found['train'][i, 0]:.3f} after {EVERY} steps, "
        f"{found['train'][i, -1]:.4f} at the end; held out {found['held out'][i, -1]:.3f}, "
        f"gap {gap[i, -1]:.3f}, accuracy {found['accuracy'][i, -1]:.3f}"
    )

# %% Without dropout the network soon knows its images by heart, the wrong labels too, and the loss
# on held-out images rises. The more units are dropped, the slower it learns and the smaller is the
# gap. Held-out labels are all right, so at first their loss may even be the lower one.

fig, axes = plt.subplots(1, 2, figsize=(10, 4.5), width_ratios=(1.4, 1))
step = EVERY * jnp.arange(1, STEPS // EVERY + 1)
for i, rate in enumerate(RATES):
    color = plt.get_cmap("viridis")(i / len(RATES))
    axes[0].plot(step, found["held out"][i], color=color, label=f"{rate:.1f}")
    axes[0].plot(step, found["train"][i], "--", color=color)
axes[1].plot(
    RATES, found["train"][:, 0], "o-", color="C1", label=f"training, after {EVERY} steps"
)
axes[1].plot(RATES, gap[:, -1], "s-", color="C0", label="gap at the end")
axes[0].set(xlabel="step", ylabel="cross-entropy loss, nats", yscale="log")
axes[0].set_title("solid: held-out images, dashed: training images")
axes[0].legend(title="dropout", ncols=2)
axes[1].set(xlabel="rate of dropout", ylabel="cross-entropy loss, nats", ylim=(0, None))
axes[1].legend()
fig.suptitle("Dropout slows training down and closes the gap to held-out images")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/dropout.png")
print("picture: out/dropout.png")
