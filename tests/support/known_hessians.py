"""Functions with a Hessian that is known: of random trees, and of a small network on handwritten
digits.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import settings
from sklearn.datasets import load_digits

from gradchain.curvature.vectors import to_vector
from tests.support.random_trees import few, full_trees

small_trees = full_trees.map(
    lambda tree: jax.tree.map(lambda x: x / 25, tree)
)  # where sines are smooth
fewer = settings(few, max_examples=6)  # each tree compiles its own programs


def wide(tree):
    """In float64 or complex128; x64 has to be on."""
    return jax.tree.map(
        lambda x: x.astype(jnp.complex128 if jnp.iscomplexobj(x) else jnp.float64), tree
    )


def of_vector(v):
    """A function of a vector in which every number meets some others."""
    return jnp.sum(jnp.sin(v) * jnp.roll(v, 1)) + jnp.sum(v) ** 2 / 8 + jnp.sum(jnp.cos(2 * v))


def of_tree(tree):
    """The same function of the real numbers of a tree."""
    return of_vector(to_vector(tree)[0])


def flat(tree):
    return np.asarray(to_vector(tree)[0])


def matrix(seed, size=6, dtype=jnp.float32):
    """A random symmetric matrix."""
    a = np.random.default_rng(seed).standard_normal((size, size))
    return jnp.asarray(a + a.T, dtype)


class MLP(nn.Module):
    """A network of 2410 parameters."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.tanh(nn.Dense(32)(x)))


@functools.cache
def digits(number=256):
    """A loss, its parameters, and from them to the outputs of the network."""
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images[:number] / 16, jnp.float32), jax.nn.one_hot(labels[:number], 10)
    params = MLP().init(jax.random.key(0), x)["params"]
    model = lambda p: MLP().apply({"params": p}, x)
    loss_of_outputs = lambda z: -jnp.mean(jnp.sum(y * jax.nn.log_softmax(z), 1))
    return model, loss_of_outputs, params
