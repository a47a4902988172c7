"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.kl_shampoo``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, filled, square, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import is_matrix, transposed
from tests.wrappers.in_eigenbasis import LOOSE, REASONS, eigenvectors, often


@dataclass
class KLShampoo(Twin):
    """Lin et al.: L = b2 L + (1 - b2) g R^-1 g* / n, R = b2 R + (1 - b2) g* L^-1 g / m, u = L^-1/2
    M R^-1/2; one QR iteration each ``steps`` steps, eigenvalues each step. Its averages do not see
    the first gradient: their schedules are one step behind.
    """

    b1: float = 0.9
    b2: float = 0.98
    eps: float = 1e-8
    steps: int = 2
    is_soap: bool = False
    t: int = 0
    m: Tree = field(default_factory=dict)
    v: Tree = field(default_factory=dict)
    known: dict = field(default_factory=dict)
    inside: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def init(self, params: Tree) -> None:
        self.m, self.v = zeros(params), filled(params, 0.0)

    def update(self, g: Tree, p: Tree) -> Tree:
        u = {}
        for k, x in g.items():
            if is_matrix(x) and x.size:
                u[k] = self.first(k, x) if self.t == 0 else self.direction(k, x)
            elif self.t == 0:
                u[k] = np.zeros_like(x)
            else:
                u[k] = self.averaged(k, x)
        self.t += 1
        self.inside = self.b1, self.b2, self.eps
        return u

    def averaged(self, k: str, g: np.ndarray) -> np.ndarray:
        b1, *_ = self.inside
        self.m[k] = b1 * self.m[k] + (1 - b1) * g
        return self.m[k]

    def first(self, k: str, g: np.ndarray) -> np.ndarray:
        m, n = g.shape[-2:]
        left = (1 - self.b2) * g @ transposed(g) / n
        right = (1 - self.b2) * transposed(g) @ g / m
        lead = g.shape[:-2]
        values = np.full((*lead, m), 0.1), np.full((*lead, n), 0.1)
        self.known[k] = left, right, eigenvectors(left), eigenvectors(right), *values
        return np.zeros_like(g)

    def direction(self, k: str, g: np.ndarray) -> np.ndarray:
        left, right, ql, qr, a, b = self.known[k]
        m, n = g.shape[-2:]
        low = transposed(ql) @ g @ qr
        over = 1 / np.sqrt(a[..., :, None] * b[..., None, :])
        inside = transposed(ql) @ self.averaged(k, g) @ qr * over
        if self.is_soap:
            b1, b2, eps = self.inside
            self.v[k] = b2 * self.v[k] + (1 - b2) * square(low)
            v_hat = self.v[k] / (1 - b2**self.t)
            m_hat = self.m[k] / (1 - b1**self.t)
            inside = transposed(ql) @ m_hat @ qr / (np.sqrt(v_hat) + eps)
        inverse = lambda q, values: (q / values[..., None, :]) @ transposed(q)
        new_left = g @ inverse(qr, b) @ transposed(g) / n
        new_right = transposed(g) @ inverse(ql, a) @ g / m
        left = self.b2 * left + (1 - self.b2) * new_left
        right = self.b2 * right + (1 - self.b2) * new_right
        of_a = np.mean(square(low) / b[..., None, :], -1)
        of_b = np.mean(square(low) / a[..., :, None], -2)
        a = np.maximum(self.b2 * a + (1 - self.b2) * of_a, max(10, m) ** -2.0)
        b = np.maximum(self.b2 * b + (1 - self.b2) * of_b, max(10, n) ** -2.0)
        u = ql @ inside @ transposed(qr)
        if self.t % self.steps == 0:
            ql, qr = np.linalg.qr(left @ ql)[0], np.linalg.qr(right @ qr)[0]
        self.known[k] = left, right, ql, qr, a, b
        return u


#: Where a leaf has fewer rows than columns, its larger factor has directions without a gradient.
UNSTABLE = REASONS | {
    "is_the_same_on_explicit_axes": "on one device gradients that differ by 1e-7 move it by 0.1"
}
OPTIONS = {"needs_params": True, "tolerance": LOOSE, "float64": 1e-8, "reasons": UNSTABLE}
ROWS = [
    Row(
        "scale_by_kl_shampoo",
        lambda: gc.scale_by_kl_shampoo(refresh=often),
        KLShampoo,
        tolerance=LOOSE,
        float64=1e-8,
        reasons=UNSTABLE,
    ),
    Row(
        "kl_shampoo",
        lambda: gc.kl_shampoo(0.1, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(KLShampoo(), 0.1, 0.1),
        **OPTIONS,
    ),
    Row(
        "kl_soap",
        lambda: gc.kl_soap(0.1, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(KLShampoo(is_soap=True), 0.1, 0.1),
        **OPTIONS,
    ),
]
