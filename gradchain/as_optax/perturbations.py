"""``optax.perturbations``: slopes of functions that have none."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.as_optax.tree_utils import tree_random_like, tree_sum
from gradchain.core.types import Dtype, Numeric, Tree


class Noise(Protocol):
    """A distribution of noise."""

    def sample(
        self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Dtype = float
    ) -> jax.Array:
        """Independent samples in a shape."""
        ...

    def log_prob(self, inputs: jax.Array) -> jax.Array:
        """The logarithm of the density, up to a constant."""
        ...


class Normal:
    """The normal distribution, of variance 1."""

    def sample(
        self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Dtype = float
    ) -> jax.Array:
        """Independent samples in a shape."""
        return jax.random.normal(key, sample_shape, dtype)

    def log_prob(self, inputs: jax.Array) -> jax.Array:
        """The logarithm of the density, up to a constant."""
        return -jnp.square(inputs) / 2


class Gumbel:
    """The distribution of the largest of many."""

    def sample(
        self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Dtype = float
    ) -> jax.Array:
        """Independent samples in a shape."""
        return jax.random.gumbel(key, sample_shape, dtype)

    def log_prob(self, inputs: jax.Array) -> jax.Array:
        """The logarithm of the density."""
        return -inputs - jnp.exp(-inputs)


def make_perturbed_fun(
    fun: Callable[[Tree], Tree],
    num_samples: int = 1000,
    sigma: Numeric = 0.1,
    noise: Noise = Gumbel(),  # noqa: B008
    use_baseline: bool = True,
) -> Callable[[jax.Array, Tree], Tree]:
    r"""Smooth a function by noise, so that it has slopes.

    .. math::
        f_\sigma(x) = \mathbb E_{z \sim \mu}\, f(x + \sigma z), \qquad
        \nabla f_\sigma(x) = \mathbb E\,
        \bigl(f(x + \sigma z) - f(x)\bigr) \nabla_x \log \mu\bigl((y - x) / \sigma\bigr)
        |_{y = x + \sigma z}

    Values and derivatives of every order are estimated from the same samples. ``fun`` itself is
    never differentiated.

    Args:
        fun: a function from a tree of arrays to another.
        num_samples: how many samples are averaged.
        sigma: the size of the noise.
        noise: the distribution; it has ``sample(key, shape, dtype)`` and ``log_prob(z)``.
        use_baseline: whether :math:`f(x)` is taken off in the derivatives, which have less variance
            then.

    Returns:
        A function of a random key and of the tree.

    Source: Berthet et al., "Learning with Differentiable Perturbed Optimizers", 2020,
    https://arxiv.org/abs/2002.08676; Foerster et al., "DiCE: The Infinitely Differentiable Monte
    Carlo Estimator", 2018, https://arxiv.org/abs/1802.05098

    Example:
        >>> steps = make_perturbed_fun(lambda x: jnp.sign(x), 20_000, 0.5, Normal())
        >>> slope = jax.grad(steps, argnums=1)(jax.random.key(0), jnp.zeros(()))
        >>> print(f"{slope:.1f}")  # of the mean, erf(x / (0.5 sqrt 2))
        1.6
    """

    def sample(key: jax.Array, x: Tree, base: Tree | None) -> Tree:
        drawn = tree_random_like(key, x, noise.sample)
        there = jax.tree.map(lambda x, z: lax.stop_gradient(x + sigma * z), x, drawn)
        # The same noise as a function of x, whose density has the slopes.
        as_noise = jax.tree.map(lambda x, y: (y - x) / sigma, x, there)
        weight = _one_with_slopes_of(tree_sum(jax.tree.map(noise.log_prob, as_noise)))
        found = jax.tree.map(lambda y: _as_floats(y, weight.dtype), fun(there))
        if base is None:
            return jax.tree.map(lambda y: weight * y, found)
        return jax.tree.map(lambda y, b: weight * (y - b) + b, found, base)

    def smoothed(key: jax.Array, x: Tree) -> Tree:
        dtype = jnp.result_type(float)
        here = lambda: jax.tree.map(lambda y: _as_floats(y, dtype), fun(lax.stop_gradient(x)))
        base = here() if use_baseline else None
        keys = jax.random.split(key, num_samples)
        samples = jax.vmap(sample, in_axes=(0, None, None))(keys, x, base)
        return jax.tree.map(lambda y: jnp.mean(y, axis=0), samples)

    return smoothed


def _one_with_slopes_of(x: Any) -> jax.Array:
    """The number 1, whose derivatives are those of a weight."""
    return jnp.exp(x - lax.stop_gradient(x))


def _as_floats(y: Any, dtype: Dtype) -> jax.Array:
    """Integers and booleans as numbers that have means."""
    return y if jnp.issubdtype(jnp.result_type(y), jnp.inexact) else jnp.asarray(y, dtype)
