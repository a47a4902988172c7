"""Twins from the papers, and rows, of ``gradchain.transforms.orthogonalize``."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.row import FUNCTION, NO_NUMBERS, Row
from tests.laws.twins import Tree, Twin
from tests.optimizers.matrix.twins import KELLER, adjusted, newton_schulz, on_matrices, svd_map


@dataclass
class Orthogonalize(Twin):
    """Five polynomials of each matrix, times a factor by its shape."""

    rows: tuple = KELLER
    adjust: str | None = None
    eps: float = 0.0

    def update(self, g: Tree, p: Tree) -> Tree:
        one = lambda x: adjusted(self.adjust, x) * newton_schulz(x, self.rows, self.eps)
        return on_matrices(one, g)


@dataclass
class Polar(Twin):
    """U V*, times the sum of singular values if it is nuclear."""

    nuclear: bool = False

    def update(self, g: Tree, p: Tree) -> Tree:
        def one(x: np.ndarray) -> np.ndarray:
            u = svd_map(x, np.ones_like)
            size = np.sum((np.conj(x) * u).real, axis=(-2, -1), keepdims=True)
            return u * size if self.nuclear else u

        return on_matrices(one, g)


class SpectralMap(Twin):
    """U sqrt(S) V*."""

    def update(self, g: Tree, p: Tree) -> Tree:
        return on_matrices(lambda x: svd_map(x, np.sqrt), g)


@dataclass
class Equilibrate(Twin):
    """Rows, then columns, of root mean square 1."""

    steps: int = 1
    sides: tuple = (-1, -2)
    eps: float = 1e-12

    def update(self, g: Tree, p: Tree) -> Tree:
        def one(x: np.ndarray) -> np.ndarray:
            for axis in self.sides * self.steps:
                length = np.linalg.norm(x, axis=axis, keepdims=True)
                x = x * x.shape[axis] ** 0.5 / (length + self.eps)
            return x

        return on_matrices(one, g)


#: Five steps grow what is rounding error in a singular value of 0 by 485.
GROWS = 500.0

ROWS = [
    Row(
        "orthogonalize",
        lambda: gc.orthogonalize(adjust="keller"),
        lambda: Orthogonalize(adjust="keller"),
        tolerance=GROWS,
        float64=1e-9,  # the same errors
        reasons=NO_NUMBERS,
    ),
    Row(
        "orthogonalize-rows",
        lambda: gc.orthogonalize((KELLER[0], (2.0, -1.5, 0.5), (1.5, -0.5, 0.0))),
        lambda: Orthogonalize((KELLER[0], (2.0, -1.5, 0.5), (1.5, -0.5, 0.0))),
        tolerance=GROWS,
    ),
    Row(
        "orthogonalize-svd",
        lambda: gc.orthogonalize("svd", adjust="nuclear"),
        lambda: Polar(nuclear=True),
        tolerance=10.0,
        reasons=NO_NUMBERS,
    ),
    Row(
        "spectral_map",
        lambda: gc.spectral_map(jnp.sqrt),
        SpectralMap,
        tolerance=100.0,
        reasons=FUNCTION | NO_NUMBERS,
    ),
    Row("equilibrate", lambda: gc.equilibrate(2), lambda: Equilibrate(2), tolerance=10.0),
]
