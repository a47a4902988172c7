"""Twins from the papers, and rows, of ``gradchain.wrappers.in_eigenbasis``."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin
from tests.optimizers.adam import Adam
from tests.optimizers.lion import Lion
from tests.optimizers.matrix.twins import is_matrix, transposed


def eigenvectors(x: np.ndarray) -> np.ndarray:
    """Those of the largest eigenvalues first"""
    return np.linalg.eigh(x)[1][..., ::-1]


@dataclass
class InEigenbasis(Twin):
    """Vyas et al., SOAP: u = Ql inner(Ql* g Qr) Qr*, with the eigenvectors of L and R from before

    L = b L + (1 - b) g g*, R = b R + (1 - b) g* g; one power iteration each ``steps`` steps. The
    inner twin does not see the first gradient: its schedules are one step behind.
    """

    inner: Twin
    steps: int = 10
    decay: float = 0.95
    sides: str = "both"
    linear: str = "m"
    squares: str = ""
    t: int = 0
    factors: dict = field(default_factory=dict)
    bases: dict = field(default_factory=dict)
    coming: SimpleNamespace = field(default_factory=SimpleNamespace)

    def owners(self, name: str) -> list[Any]:
        found = super().owners(name)
        return found if found == [self] or not found else [self.coming]

    def init(self, params: Tree) -> None:
        self.inner.init(params)
        for k, x in params.items():
            if not is_matrix(x) or not x.size:
                continue
            m, n = x.shape[-2:]
            if self.sides != "shorter" or m <= n:
                self.factors[k, -2] = np.zeros((*x.shape[:-1], m), x.dtype)
            if self.sides != "shorter" or m > n:
                self.factors[k, -1] = np.zeros((*x.shape[:-2], n, n), x.dtype)

    def turned(self, tree: Tree, back: bool = False) -> Tree:
        tree = dict(tree)
        for (k, dim), q in self.bases.items():
            q = transposed(q) if back else q
            tree[k] = transposed(q) @ tree[k] if dim == -2 else tree[k] @ q
        return tree

    def update(self, g: Tree, p: Tree) -> Tree:
        u = {k: np.zeros_like(x) for k, x in g.items()}
        if self.t > 0:
            u = self.turned(self.inner.update(self.turned(g), self.turned(p)), back=True)
        for (k, dim), old in self.factors.items():
            new = g[k] @ transposed(g[k]) if dim == -2 else transposed(g[k]) @ g[k]
            self.factors[k, dim] = self.decay * old + (1 - self.decay) * new
        if self.t == 0:
            self.bases = {k: eigenvectors(x) for k, x in self.factors.items()}
        elif self.t % self.steps == 0:
            self.renew()
        self.t += 1
        for name, value in vars(self.coming).items():
            for owner in self.inner.owners(name):
                setattr(owner, name, value)
        return u

    def renew(self) -> None:
        moments = getattr(self.inner, self.linear)
        turned_back = self.turned(moments, back=True)
        for (k, dim), q in self.bases.items():
            factor = self.factors[k, dim]
            values = np.diagonal(transposed(q) @ factor @ q, axis1=-2, axis2=-1).real
            order = np.argsort(-values, axis=-1, kind="stable")
            sorted_q = np.take_along_axis(q, order[..., None, :], -1)
            self.bases[k, dim] = np.linalg.qr(factor @ sorted_q)[0]
            if self.squares:
                squares = getattr(self.inner, self.squares)
                index = order[..., :, None] if dim == -2 else order[..., None, :]
                squares[k] = np.take_along_axis(squares[k], index, dim)
        setattr(self.inner, self.linear, self.turned(turned_back))


often = gc.refresh.every(2)
everywhere = {"where": gc.ndim_at_least(2)}
#: Of rounding errors the smallest eigenvalues, and the elements in their directions, have most.
LOOSE = 1000.0
REASONS = {
    "has_the_numbers_of_its_twin": "of constant gradients, of rank one, most eigenvectors are any",
    "can_be_differentiated": "bases are constants for derivatives, and signs jump",
}
ROWS = [
    Row(
        "in_eigenbasis",
        lambda: gc.in_eigenbasis(gc.scale_by_lion(), refresh=often),
        lambda: InEigenbasis(Lion(), 2),
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
    Row(
        "in_eigenbasis-shorter",
        lambda: gc.in_eigenbasis(gc.scale_by_adam(), 0.9, often, sides="shorter"),
        lambda: InEigenbasis(Adam(), 2, 0.9, "shorter", squares="v"),
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
]
