"""Problems 20 to 35: those of any number of parameters, at dimensions that the paper names or uses.

Each function holds the formula of the paper, whose indices begin at 1; where m is free, a function
makes the residuals.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems.problem import Residuals, counting, like


def watson(x: jax.Array) -> jax.Array:
    t = np.arange(1, 30)[:, None] / 29
    powers = t ** np.arange(len(x))
    slopes = np.arange(len(x)) * t ** np.maximum(np.arange(len(x)) - 1, 0)
    fits = like(x, slopes) @ x - (like(x, powers) @ x) ** 2 - 1
    return jnp.append(fits, jnp.stack([x[0], x[1] - x[0] ** 2 - 1]))


def extended_rosenbrock(x: jax.Array) -> jax.Array:
    odd, even = x[::2], x[1::2]
    return jnp.stack([10 * (even - odd**2), 1 - odd], axis=1).ravel()


def extended_powell(x: jax.Array) -> jax.Array:
    x1, x2, x3, x4 = x.reshape(-1, 4).T
    rows = [x1 + 10 * x2, 5**0.5 * (x3 - x4), (x2 - 2 * x3) ** 2, 10**0.5 * (x1 - x4) ** 2]
    return jnp.stack(rows, axis=1).ravel()


def penalty_1(x: jax.Array) -> jax.Array:
    return jnp.append(1e-5**0.5 * (x - 1), jnp.sum(x**2) - 0.25)


def penalty_2(x: jax.Array) -> jax.Array:
    n = len(x)
    i = counting(x, 2, n)
    grown = jnp.exp(x / 10)
    y = jnp.exp(i / 10) + jnp.exp((i - 1) / 10)
    scaled = 1e-5**0.5 * jnp.append(grown[1:] + grown[:-1] - y, grown[1:] - np.exp(-0.1))
    last = jnp.sum((n + 1 - counting(x, 1, n)) * x**2) - 1
    return jnp.concatenate([x[:1] - 0.2, scaled, last[None]])


def variably_dimensioned(x: jax.Array) -> jax.Array:
    total = jnp.sum(counting(x, 1, len(x)) * (x - 1))
    return jnp.append(x - 1, jnp.stack([total, total**2]))


def trigonometric(x: jax.Array) -> jax.Array:
    n = len(x)
    return n - jnp.sum(jnp.cos(x)) + counting(x, 1, n) * (1 - jnp.cos(x)) - jnp.sin(x)


def brown_almost_linear(x: jax.Array) -> jax.Array:
    return jnp.append(x[:-1] + jnp.sum(x) - (len(x) + 1), jnp.prod(x) - 1)


def discrete_boundary_value(x: jax.Array) -> jax.Array:
    n = len(x)
    h = 1 / (n + 1)
    around = jnp.pad(x, 1)
    return 2 * x - around[:-2] - around[2:] + h**2 * (x + h * counting(x, 1, n) + 1) ** 3 / 2


def discrete_integral_equation(x: jax.Array) -> jax.Array:
    n = len(x)
    h = 1 / (n + 1)
    t = h * counting(x, 1, n)
    cubes = (x + t + 1) ** 3
    upto, after = jnp.cumsum(t * cubes), jnp.flip(jnp.cumsum(jnp.flip((1 - t) * cubes)))
    return x + h * ((1 - t) * upto + t * (jnp.append(after[1:], like(x, 0.0)))) / 2


def broyden_tridiagonal(x: jax.Array) -> jax.Array:
    around = jnp.pad(x, 1)
    return (3 - 2 * x) * x - around[:-2] - 2 * around[2:] + 1


def broyden_banded(x: jax.Array) -> jax.Array:
    i, j = np.indices((len(x), len(x)))
    near = (j != i) & (i - 5 <= j) & (j <= i + 1)
    return x * (2 + 5 * x**2) + 1 - like(x, near) @ (x * (1 + x))


def linear_full_rank(m: int) -> Residuals:
    return lambda x: jnp.pad(x, (0, m - len(x))) - 2 / m * jnp.sum(x) - 1


def linear_rank_1(m: int) -> Residuals:
    return lambda x: counting(x, 1, m) * jnp.sum(counting(x, 1, len(x)) * x) - 1


def linear_rank_1_with_zeros(m: int) -> Residuals:
    def residuals(x: jax.Array) -> jax.Array:
        total = jnp.sum(counting(x, 2, len(x) - 1) * x[1:-1])
        return jnp.pad(counting(x, 1, m - 2) * total, 1) - 1

    return residuals


def chebyquad(x: jax.Array) -> jax.Array:
    before, now, means = jnp.ones_like(x), 2 * x - 1, []
    for _ in range(len(x)):
        means.append(jnp.mean(now))
        before, now = now, 2 * (2 * x - 1) * now - before
    i = np.arange(1, len(x) + 1)
    integrals = np.where(i % 2, 0.0, -1 / np.maximum(i**2 - 1, 1))
    return jnp.stack(means) - like(x, integrals)
