"""Problems 1 to 19: those of a fixed number of parameters.

Each function holds the formula of the paper; the indices of the paper begin at 1, so that ``x1`` is
``x[0]``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems.problem import counting, like

BARD = (0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39)
GAUSSIAN = (
    0.0009,
    0.0044,
    0.0175,
    0.0540,
    0.1295,
    0.2420,
    0.3521,
    0.3989,
)  # then the same backwards
MEYER = (
    34780,
    28610,
    23650,
    19630,
    16370,
    13720,
    11540,
    9744,
    8261,
    7030,
    6005,
    5147,
    4427,
    3820,
    3307,
    2872,
)
KOWALIK_Y = (
    0.1957,
    0.1947,
    0.1735,
    0.1600,
    0.0844,
    0.0627,
    0.0456,
    0.0342,
    0.0323,
    0.0235,
    0.0246,
)
KOWALIK_U = (4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625)
OSBORNE_1 = (
    *(0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751),
    *(0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490),
    *(0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406),
)
OSBORNE_2 = (
    *(1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608),
    *(0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661),
    *(0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428),
    *(0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559),
    *(0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054),
)


def rosenbrock(x: jax.Array) -> jax.Array:
    x1, x2 = x
    return jnp.stack([10 * (x2 - x1**2), 1 - x1])


def freudenstein_roth(x: jax.Array) -> jax.Array:
    x1, x2 = x
    return jnp.stack([-13 + x1 + ((5 - x2) * x2 - 2) * x2, -29 + x1 + ((x2 + 1) * x2 - 14) * x2])


def powell_badly_scaled(x: jax.Array) -> jax.Array:
    x1, x2 = x
    return jnp.stack([1e4 * x1 * x2 - 1, jnp.exp(-x1) + jnp.exp(-x2) - 1.0001])


def brown_badly_scaled(x: jax.Array) -> jax.Array:
    x1, x2 = x
    return jnp.stack([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2])


def beale(x: jax.Array) -> jax.Array:
    x1, x2 = x
    return jnp.stack([y - x1 * (1 - x2**i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625))])


def jennrich_sampson(x: jax.Array) -> jax.Array:
    i = counting(x, 1, 10)
    return 2 + 2 * i - (jnp.exp(i * x[0]) + jnp.exp(i * x[1]))


def helical_valley(x: jax.Array) -> jax.Array:
    x1, x2, x3 = x
    # arctan(x2 / x1) / 2π, and half a turn more where x1 < 0: the cut is at x1 = 0, x2 < 0
    turns = 0.25 - jnp.arctan2(x1, x2) / (2 * np.pi)
    return jnp.stack([10 * (x3 - 10 * turns), 10 * (jnp.sqrt(x1**2 + x2**2) - 1), x3])


def bard(x: jax.Array) -> jax.Array:
    u = counting(x, 1, 15)
    v = 16 - u
    return like(x, BARD) - (x[0] + u / (v * x[1] + jnp.minimum(u, v) * x[2]))


def gaussian(x: jax.Array) -> jax.Array:
    t = (8 - counting(x, 1, 15)) / 2
    return x[0] * jnp.exp(-x[1] * (t - x[2]) ** 2 / 2) - like(x, (*GAUSSIAN, *GAUSSIAN[-2::-1]))


def meyer(x: jax.Array) -> jax.Array:
    t = 45 + 5 * counting(x, 1, 16)
    return x[0] * jnp.exp(x[1] / (t + x[2])) - like(x, MEYER)


def gulf(x: jax.Array) -> jax.Array:
    t = counting(x, 1, 99) / 100
    y = 25 + (-50 * jnp.log(t)) ** (2 / 3)
    return jnp.exp(-(jnp.abs(y - x[1]) ** x[2]) / x[0]) - t


def box(x: jax.Array) -> jax.Array:
    t = counting(x, 1, 10) / 10
    return jnp.exp(-t * x[0]) - jnp.exp(-t * x[1]) - x[2] * (jnp.exp(-t) - jnp.exp(-10 * t))


def powell_singular(x: jax.Array) -> jax.Array:
    x1, x2, x3, x4 = x
    return jnp.stack(
        [x1 + 10 * x2, 5**0.5 * (x3 - x4), (x2 - 2 * x3) ** 2, 10**0.5 * (x1 - x4) ** 2]
    )


def wood(x: jax.Array) -> jax.Array:
    x1, x2, x3, x4 = x
    one, other = [10 * (x2 - x1**2), 1 - x1], [90**0.5 * (x4 - x3**2), 1 - x3]
    return jnp.stack([*one, *other, 10**0.5 * (x2 + x4 - 2), 10**-0.5 * (x2 - x4)])


def kowalik_osborne(x: jax.Array) -> jax.Array:
    u = like(x, KOWALIK_U)
    return like(x, KOWALIK_Y) - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x: jax.Array) -> jax.Array:
    t = counting(x, 1, 20) / 5
    return (x[0] + t * x[1] - jnp.exp(t)) ** 2 + (x[2] + x[3] * jnp.sin(t) - jnp.cos(t)) ** 2


def osborne_1(x: jax.Array) -> jax.Array:
    t = 10 * counting(x, 0, 32)
    return like(x, OSBORNE_1) - (x[0] + x[1] * jnp.exp(-t * x[3]) + x[2] * jnp.exp(-t * x[4]))


def biggs_exp6(x: jax.Array) -> jax.Array:
    t = counting(x, 1, 13) / 10
    y = jnp.exp(-t) - 5 * jnp.exp(-10 * t) + 3 * jnp.exp(-4 * t)
    return x[2] * jnp.exp(-t * x[0]) - x[3] * jnp.exp(-t * x[1]) + x[5] * jnp.exp(-t * x[4]) - y


def osborne_2(x: jax.Array) -> jax.Array:
    t = counting(x, 0, 64) / 10
    bells = [x[1 + k] * jnp.exp(-((t - x[8 + k]) ** 2) * x[5 + k]) for k in range(3)]
    return like(x, OSBORNE_2) - (x[0] * jnp.exp(-t * x[4]) + sum(bells))
