"""
Private training: accuracy against the privacy budget
=====================================================

Train a network on medical records so that its weights tell little about any single record. This is
private gradient descent (Abadi et al., 2016): the gradient of each record is clipped, and noise is
added to their sum. More noise means more privacy, a smaller epsilon, and less accuracy. Epsilon is
computed with Rényi differential privacy (Mironov, Talwar & Zhang, 2019).
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from scipy.special import gammaln, logsumexp
from scipy.stats import sem, t
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, SEEDS = (60, 5) if SMALL else (200, 20)
CLIP, RATE, SHARE, DELTA = 1.0, 0.5, 0.15, 1e-3
NOISES = np.array([0.0, 0.7, 1.0, 2.0, 4.0, 8.0, 16.0])

# %% Data: 569 tumours, 30 measurements of each, a quarter held out. The measurements are brought to
# mean zero and variance one. That this uses the records too is not counted here.

x, y = load_breast_cancer(return_X_y=True)
x, x_held, y, y_held = train_test_split(x, y, stratify=y, random_state=0)
mean, std = x.mean(axis=0), x.std(axis=0)
x, x_held = jnp.asarray((x - mean) / std), jnp.asarray((x_held - mean) / std)


def network(key: jax.Array) -> nnx.Module:
    rngs = nnx.Rngs(key)
    hidden, head = nnx.Linear(30, 16, rngs=rngs), nnx.Linear(16, 1, rngs=rngs)
    return nnx.Sequential(hidden, jnp.tanh, head)


# %% The proof asks that each step draws each record with a chance of its own, here 15%. So all
# gradients are computed, those of records that were not drawn are set to zero, and the rate is
# divided by the share. ``key=`` draws the noise; where privacy is in earnest, it is a secret.


def train(noise: jax.Array, key: jax.Array) -> jax.Array:
    graph, start = nnx.split(network(key))
    tx = gc.dpsgd(RATE / SHARE, l2_norm_clip=CLIP, noise_multiplier=noise)

    def loss_fn(params: nnx.State, x: jax.Array, y: jax.Array) -> jax.Array:
        return gc.losses.sigmoid_binary_cross_entropy(nnx.merge(graph, params)(x)[0], y)

    def step(carry: tuple, key: jax.Array) -> tuple:
        params, state = carry
        draw, secret = jax.random.split(key)
        drawn = jax.random.bernoulli(draw, SHARE, y.shape)
        grads = jax.vmap(jax.grad(loss_fn), in_axes=(None, 0, 0))(params, x, y)
        grads = jax.tree.map(lambda g: jnp.einsum("n,n...->n...", drawn, g), grads)
        return tx.step(grads, state, params, key=secret), None

    keys = jax.random.split(key, STEPS)
    (params, _), _ = jax.lax.scan(step, (start, tx.init(start)), keys)
    logits = nnx.merge(graph, params)(x_held)[:, 0]
    return 100 * ((logits > 0) == y_held).mean()


# %%
# One program trains with all noises and seeds.

sweep = jax.jit(jax.vmap(jax.vmap(train, in_axes=(None, 0)), in_axes=(0, None)))
accuracy = np.asarray(sweep(NOISES, jax.random.split(jax.random.key(0), SEEDS)))
mean, spread = accuracy.mean(axis=1), sem(accuracy, axis=1) * t.ppf(0.975, SEEDS - 1)

# %% The accountant: for each whole order up to 64, the Rényi divergence of one step in which each
# record is drawn with a chance (Mironov, Talwar & Zhang, 2019, section 3.3). Steps add up. The best
# order gives epsilon (Mironov, 2017), for a record that may be there or not, and a delta of 0.001.


def epsilon(noise: float, steps: np.ndarray) -> np.ndarray:
    spent = []
    for order in range(2, 65):
        k = np.arange(order + 1)
        choose = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
        chance = choose + k * np.log(SHARE) + (order - k) * np.log(1 - SHARE)
        divergence = logsumexp(chance + k * (k - 1) / (2 * noise**2)) / (order - 1)
        spent.append(steps * divergence - np.log(DELTA) / (order - 1))
    return np.min(spent, axis=0)


fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4))
left.errorbar([], [], 0, fmt="ko", label=f"{SEEDS} runs with noise, and 95% interval")
left.axhspan(mean[0] - spread[0], mean[0] + spread[0], color="0.8", label="no noise")
print(f"no noise: accuracy {mean[0]:.1f}% +- {spread[0]:.1f}")
steps = np.arange(1, STEPS + 1)
for i, noise in enumerate(NOISES[1:].tolist(), start=1):
    spent, found = epsilon(noise, steps), f"{mean[i]:.1f}% +- {spread[i]:.1f}"
    print(f"noise {noise}: epsilon {spent[-1]:.2f}, accuracy {found}")
    left.errorbar(spent[-1], mean[i], spread[i], fmt="o", color=f"C{i - 1}", capsize=3)
    right.plot(steps, spent, color=f"C{i - 1}")
    right.text(STEPS, spent[-1], f" noise {noise:g}", color=f"C{i - 1}", va="center")

# %% Down to an epsilon of 5 the noise costs less than a percent of accuracy, from 2 downward more
# and more. An epsilon below 1, which is a strong promise, is dear with only 426 records: the noise
# is added to a sum, and more records make a larger sum. Every step spends some of the budget.

left.set(xlabel="epsilon after all steps (left: more private)", xscale="log")
left.set(ylabel="accuracy on held-out records, %", title="the price of privacy")
left.legend(loc="lower right")
right.set(xlabel="step", ylabel="epsilon spent", yscale="log", xlim=(0, 1.25 * STEPS))
right.set(title="privacy is spent at each step")
fig.suptitle(f"Private gradient descent on {len(y)} medical records (delta {DELTA})")
Path("out").mkdir(exist_ok=True)
fig.savefig("out/private.png")
print("picture: out/private.png")
