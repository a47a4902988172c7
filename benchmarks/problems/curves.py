"""Curves to fit, from NIST's Statistical Reference Datasets for nonlinear regression.

Data, starts and certified values are those of https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml
in the public domain. Their parameters are of very different sizes, up to seven powers of ten apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems.small import KOWALIK_U, KOWALIK_Y, MEYER, OSBORNE_1

Model = Callable[[jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A curve through points, and its certified fit.

    Attributes:
        name: as NIST has it.
        model: from the parameters and ``x`` to ``y``.
        x: the places.
        y: the data there.
        starts: two starts, the first far off.
        params: the certified parameters.
        errors: their certified standard errors.
        squares: the certified sum of squares.
    """

    name: str
    model: Model
    x: tuple[float, ...]
    y: tuple[float, ...]
    starts: tuple[tuple[float, ...], tuple[float, ...]]
    params: tuple[float, ...]
    errors: tuple[float, ...]
    squares: float

    def residuals(self, params: jax.Array) -> jax.Array:
        """How far the curve is above the data, in the dtype of the parameters."""
        x, y = (jnp.asarray(a, params.dtype) for a in (self.x, self.y))
        return self.model(params, x) - y


def saturation(b: jax.Array, x: jax.Array) -> jax.Array:
    return b[0] * (1 - jnp.exp(-b[1] * x))


def rational(b: jax.Array, x: jax.Array) -> jax.Array:
    above = b[0] + x * (b[1] + x * (b[2] + x * b[3]))
    return above / (1 + x * (b[4] + x * (b[5] + x * b[6])))


def logistic(b: jax.Array, x: jax.Array) -> jax.Array:
    return b[0] / (1 + jnp.exp(b[1] - b[2] * x))


def bell(b: jax.Array, x: jax.Array) -> jax.Array:
    return b[0] / b[1] * jnp.exp(-0.5 * ((x - b[2]) / b[1]) ** 2)


def power(b: jax.Array, x: jax.Array) -> jax.Array:
    return b[0] * x ** b[1]


def quotient(b: jax.Array, x: jax.Array) -> jax.Array:
    return b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3])


def resistance(b: jax.Array, x: jax.Array) -> jax.Array:
    return b[0] * jnp.exp(b[1] / (x + b[2]))


def two_decays(b: jax.Array, x: jax.Array) -> jax.Array:
    return b[0] + b[1] * jnp.exp(-x * b[3]) + b[2] * jnp.exp(-x * b[4])


MISRA = {
    "x": (
        77.6,
        114.9,
        141.1,
        190.8,
        239.9,
        289.0,
        332.8,
        378.4,
        434.8,
        477.3,
        536.8,
        593.1,
        689.1,
    )
    + (760.0,),
    "y": (
        10.07,
        14.73,
        17.94,
        23.93,
        29.61,
        35.18,
        40.02,
        44.82,
        50.76,
        55.05,
        61.01,
        66.4,
        75.47,
    )
    + (81.78,),
}
THURBER = {
    "x": (-3.067, -2.981, -2.921, -2.912, -2.84, -2.797, -2.702, -2.699, -2.633, -2.481, -2.363)
    + (-2.322, -1.501, -1.46, -1.274, -1.212, -1.1, -1.046, -0.915, -0.714, -0.566, -0.545, -0.4)
    + (-0.309, -0.109, -0.103, 0.01, 0.119, 0.377, 0.79, 0.963, 1.006, 1.115, 1.572, 1.841, 2.047)
    + (2.2,),
    "y": (80.574, 84.248, 87.264, 87.195, 89.076, 89.608, 89.868, 90.101, 92.405, 95.854, 100.696)
    + (101.06, 401.672, 390.724, 567.534, 635.316, 733.054, 759.087, 894.206, 990.785, 1090.109)
    + (1080.914, 1122.643, 1178.351, 1260.531, 1273.514, 1288.339, 1327.543, 1353.863, 1414.509)
    + (1425.208, 1421.384, 1442.962, 1464.35, 1468.705, 1447.894, 1457.628),
}
RAT42 = {
    "x": (9.0, 14.0, 21.0, 28.0, 42.0, 57.0, 63.0, 70.0, 79.0),
    "y": (8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08),
}
ECKERLE4 = {
    "x": (400.0, 405.0, 410.0, 415.0, 420.0, 425.0, 430.0, 435.0, 436.5, 438.0, 439.5, 441.0)
    + (442.5, 444.0, 445.5, 447.0, 448.5, 450.0, 451.5, 453.0, 454.5, 456.0, 457.5, 459.0, 460.5)
    + (462.0, 463.5, 465.0, 470.0, 475.0, 480.0, 485.0, 490.0, 495.0, 500.0),
    "y": (0.0001575, 0.0001699, 0.000235, 0.0003102, 0.0004917, 0.000871, 0.0017418, 0.00464)
    + (0.0065895, 0.0097302, 0.0149002, 0.023731, 0.0401683, 0.0712559, 0.1264458, 0.2073413)
    + (0.2902366, 0.3445623, 0.3698049, 0.3668534, 0.3106727, 0.2078154, 0.1164354, 0.0616764)
    + (0.03372, 0.0194023, 0.0117831, 0.0074357, 0.0022732, 0.00088, 0.0004579, 0.0002345)
    + (0.0001586, 0.0001143, 7.1e-05),
}
BOXBOD = {"x": (1.0, 2.0, 3.0, 5.0, 7.0, 10.0), "y": (109.0, 149.0, 149.0, 191.0, 213.0, 224.0)}
DANWOOD = {
    "x": (1.309, 1.471, 1.49, 1.565, 1.611, 1.68),
    "y": (2.138, 3.421, 3.597, 4.34, 4.882, 5.66),
}

CURVES = (
    Curve(
        "Misra1a",
        saturation,
        **MISRA,
        starts=((500.0, 1e-4), (250.0, 5e-4)),
        params=(2.3894212918e2, 5.5015643181e-4),
        errors=(2.7070075241, 7.2668688436e-6),
        squares=1.2455138894e-1,
    ),
    Curve(
        "DanWood",
        power,
        **DANWOOD,
        starts=((1.0, 5.0), (0.7, 4.0)),
        params=(7.6886226176e-1, 3.8604055871),
        errors=(1.8281973860e-2, 5.1726610913e-2),
        squares=4.3173084083e-3,
    ),
    Curve(
        "MGH17",
        two_decays,
        x=tuple(np.arange(0.0, 330.0, 10.0).tolist()),
        y=OSBORNE_1,
        starts=((50.0, 150.0, -100.0, 1.0, 2.0), (0.5, 1.5, -1.0, 0.01, 0.02)),
        params=(3.7541005211e-1, 1.9358469127, -1.4646871366, 1.2867534640e-2, 2.2122699662e-2),
        errors=(
            2.0723153551e-3,
            2.2031669222e-1,
            2.2175707739e-1,
            4.4861358114e-4,
            8.9471996575e-4,
        ),
        squares=5.4648946975e-5,
    ),
    Curve(
        "MGH09",
        quotient,
        x=KOWALIK_U,
        y=KOWALIK_Y,
        starts=((25.0, 39.0, 41.5, 39.0), (0.25, 0.39, 0.415, 0.39)),
        params=(1.9280693458e-1, 1.9128232873e-1, 1.2305650693e-1, 1.3606233068e-1),
        errors=(1.1435312227e-2, 1.9633220911e-1, 8.0842031232e-2, 9.0025542308e-2),
        squares=3.0750560385e-4,
    ),
    Curve(
        "Thurber",
        rational,
        **THURBER,
        starts=(
            (1000.0, 1000.0, 400.0, 40.0, 0.7, 0.3, 0.03),
            (1300.0, 1500.0, 500.0, 75.0, 1.0, 0.4, 0.05),
        ),
        params=(
            *(1.2881396800e3, 1.4910792535e3, 5.8323836877e2, 7.5416644291e1),
            *(9.6629502864e-1, 3.9797285797e-1, 4.9727297349e-2),
        ),
        errors=(
            *(4.6647963344, 3.9571156086e1, 2.8698696102e1, 5.5675370270),
            *(3.1333340687e-2, 1.4984928198e-2, 6.5842344623e-3),
        ),
        squares=5.6427082397e3,
    ),
    Curve(
        "BoxBOD",
        saturation,
        **BOXBOD,
        starts=((1.0, 1.0), (100.0, 0.75)),
        params=(2.1380940889e2, 5.4723748542e-1),
        errors=(1.2354515176e1, 1.0455993237e-1),
        squares=1.1680088766e3,
    ),
    Curve(
        "Rat42",
        logistic,
        **RAT42,
        starts=((100.0, 1.0, 0.1), (75.0, 2.5, 0.07)),
        params=(7.2462237576e1, 2.6180768402, 6.7359200066e-2),
        errors=(1.7340283401, 8.8295217536e-2, 3.4465663377e-3),
        squares=8.0565229338,
    ),
    Curve(
        "MGH10",
        resistance,
        x=tuple(np.arange(50.0, 130.0, 5.0).tolist()),
        y=MEYER,
        starts=((2.0, 400000.0, 25000.0), (0.02, 4000.0, 250.0)),
        params=(5.6096364710e-3, 6.1813463463e3, 3.4522363462e2),
        errors=(1.5687892471e-4, 2.3309021107e1, 7.8486103508e-1),
        squares=8.7945855171e1,
    ),
    Curve(
        "Eckerle4",
        bell,
        **ECKERLE4,
        starts=((1.0, 10.0, 500.0), (1.5, 5.0, 450.0)),
        params=(1.5543827178, 4.0888321754, 4.5154121844e2),
        errors=(1.5408051163e-2, 4.6803020753e-2, 4.6800518816e-2),
        squares=1.4635887487e-3,
    ),
)
