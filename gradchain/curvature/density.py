"""The distribution of all eigenvalues of a symmetric operator."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import PositiveInt
from gradchain.core.types import Numeric, Tree
from gradchain.curvature.spectrum import lanczos
from gradchain.curvature.vectors import Operator
from gradchain.tree.mapping import upcast
from gradchain.tree.random import normal_like


class SpectralDensity(NamedTuple):
    r"""An estimate of the density of the eigenvalues.

    Attributes:
        grid: eigenvalues, evenly spaced.
        density: the share of all eigenvalues per unit around each; its integral is 1.
        nodes: the Ritz values of each probe, of shape ``(probes, steps)``.
        weights: the share of each; those of a probe sum to 1. The mean over probes of :math:`\sum_k
            w_k f(\theta_k)` estimates :math:`\mathrm{tr} f(A) / n`.
    """

    grid: jax.Array
    density: jax.Array
    nodes: jax.Array
    weights: jax.Array


@checks_numbers
def spectral_density(
    operator: Operator,
    like: Tree,
    *,
    key: chex.PRNGKey,
    steps: PositiveInt = 64,
    probes: PositiveInt = 4,
    points: Annotated[int, "[2, inf)"] = 512,
    width: Annotated[Numeric, "(0, inf)"] = 0.01,
) -> SpectralDensity:
    r"""The density of the eigenvalues of a symmetric operator.

    It is estimated by stochastic Lanczos quadrature:

    .. math::
        \phi(t) = \frac{1}{\text{probes}} \sum_{\text{probes}} \sum_k w_k\, \mathcal N(t; \theta_k,
        \sigma^2)

    Each probe is a random vector: the eigenvalues :math:`\theta_k` of its tridiagonal matrix count
    by the squares
    :math:`w_k` of the first entries of their eigenvectors.

    Args:
        operator: a symmetric linear function of trees.
        like: a tree of the form that ``operator`` takes.
        key: the random key of the probes.
        steps: products for each probe; so many vectors are kept in memory.
        probes: the number of random vectors, one after another.
        points: how many points the grid has.
        width: the standard deviation :math:`\sigma` of each bump, as a share of the range of the
            eigenvalues.

    Source: Ghorbani, Krishnan & Xiao, "An Investigation into Neural Net Optimization via Hessian
    Eigenvalue Density", 2019, https://arxiv.org/abs/1901.10159

    Example:
        >>> half_zero = lambda v: jnp.where(jnp.arange(100) < 50, 0.0, 1.0) * v
        >>> key, like = jax.random.key(0), jnp.zeros(100)
        >>> found = spectral_density(half_zero, like, key=key, steps=8, probes=20)
        >>> print(f"{found.density[found.grid < 0.5].sum() / found.density.sum():.1f}")
        0.5
    """
    like = upcast(like)

    def probe(key: chex.PRNGKey) -> tuple[jax.Array, jax.Array]:
        nodes, vectors = lanczos(operator, normal_like(key, like), steps).eigh()
        return nodes, jnp.square(vectors[0])

    nodes, weights = lax.map(probe, jax.random.split(key, probes))
    low, high = nodes.min(), nodes.max()
    size = jnp.maximum(jnp.abs(low), jnp.abs(high))
    # One eigenvalue alone has no range.
    span = jnp.maximum(high - low, 1e-3 * jnp.where(size > 0, size, 1.0))
    sigma = width * span
    grid = jnp.linspace(low - 5 * sigma, high + 5 * sigma, points).astype(nodes.dtype)
    # Bump by bump, as points times bumps may be more than there is memory for.
    bump = lambda total, one: (total + one[1] * _bell((grid - one[0]) / sigma), None)
    density, _ = lax.scan(
        bump,
        jnp.zeros_like(grid),
        (nodes.ravel(), weights.ravel()),
    )
    return SpectralDensity(grid, density / (sigma * probes), nodes, weights)


def _bell(x: jax.Array) -> jax.Array:
    return jnp.exp(-0.5 * jnp.square(x)) / jnp.sqrt(2 * jnp.pi).astype(x.dtype)
