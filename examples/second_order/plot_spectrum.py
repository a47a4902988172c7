"""
The spectrum of a loss
======================

Measure the sharpness of a loss during gradient descent, which rises to the limit of stability, and
the density of all eigenvalues before and after training.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from flax import linen as nn
from sklearn.datasets import load_digits

import gradchain as gc

images, labels = load_digits(return_X_y=True)
x, y = jnp.asarray(images[:500] / 16, jnp.float32), jax.nn.one_hot(labels[:500], 10)
x = x - x.mean(0)


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        hidden = nn.tanh(nn.Dense(32)(x))
        return nn.Dense(10)(nn.tanh(nn.Dense(32)(hidden)))


network = MLP()
start = network.init(jax.random.key(0), x)["params"]


def loss(params):
    return jnp.mean(jnp.sum((network.apply({"params": params}, x) - y) ** 2, axis=1)) / 2


# %% Gradient descent with each of three rates, and the largest eigenvalue of the Hessian during
# training. It is found by 32 Hessian-vector products, and grows until it is near 2 / rate. There
# steps begin to overshoot, and it grows no more, while the loss goes on falling.

STEPS, EVERY = 600 if "--small" in sys.argv else 2000, 40


@jax.jit
def train(params, rate):
    tx = gc.sgd(rate)

    def step(carry, _):
        params, state = carry
        return tx.step(jax.grad(loss)(params), state, params), None

    def look(carry, _):
        found = loss(carry[0]), gc.curvature.sharpness(loss, carry[0], key=jax.random.key(1))
        return jax.lax.scan(step, carry, length=EVERY)[0], found

    (params, _), found = jax.lax.scan(look, (params, tx.init(params)), length=STEPS // EVERY)
    return params, *found


fig, (above, below) = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
trained = start
for color, rate in (("C0", 0.1), ("C1", 0.25), ("C2", 0.35)):
    trained, losses, sharpness = train(start, rate)
    above.plot(range(0, STEPS, EVERY), losses, color=color, label=f"learning rate {rate}")
    below.plot(range(0, STEPS, EVERY), sharpness, color=color)
    below.axhline(2 / rate, color=color, linestyle="--", linewidth=0.8)
    limit = f"sharpness {sharpness[-1]:.2f}, 2 / rate {2 / rate:.2f}"
    print(f"learning rate {rate}: loss {losses[-1]:.3f}, {limit}")
above.set(yscale="log", ylabel="loss")
above.legend(frameon=False)
below.set(xlabel="step", ylabel="sharpness (dashed: 2 / rate)", ylim=(0, 12))
plt.show()

# %% All eigenvalues at once, as a density: most are near zero, and few are large. Training almost
# removes those below zero.


@jax.jit
def density(params):
    operator = gc.curvature.hessian_operator(loss, params)
    return gc.curvature.spectral_density(
        operator, params, key=jax.random.key(2), steps=60, probes=4, width=0.005
    )


fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for label, params in (("at the start", start), ("after training", trained)):
    found = density(params)
    gc.plot.spectral_density(found, ax, label=label)
    print(f"{label}: eigenvalues from {found.nodes.min():.2f} to {found.nodes.max():.2f}")
ax.legend(frameon=False)
plt.show()
