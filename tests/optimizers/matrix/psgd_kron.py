"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.psgd_kron``."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from gradchain.optimizers.matrix.psgd_kron import probe
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, zeros
from tests.optimizers.matrix.muon import beside_adamw
from tests.optimizers.matrix.twins import is_matrix, transposed
from tests.optimizers.psgd_lra import drawn
from tests.optimizers.second_order.sophia import bowl
from tests.transforms.noise import DRAWN


def noise(count: int, x: np.ndarray) -> np.ndarray:
    """The noise for a matrix in the step after ``count``: the same numbers."""
    kind = jnp.complex64 if np.iscomplexobj(x) else jnp.float32
    return np.asarray(probe(0, count, x.shape, kind))[0].astype(x.dtype)


def bent(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The product of the bowl's Hessian with v."""
    along = lambda x, v: (1 + x**2) ** -1.5 * v
    is_complex = np.iscomplexobj(x)
    return along(x.real, v.real) + 1j * along(x.imag, v.imag) if is_complex else along(x, v)


def bound(x: np.ndarray, products: int) -> float:
    """The power method from the longest column."""
    y = x[:, np.argmax(np.sum(np.abs(x) ** 2, 0))]
    for _ in range(products):
        length = np.linalg.norm(y)
        y = x @ (y / length if length else y)
    return float(np.linalg.norm(y))


@dataclass
class PsgdKron(Twin):
    """u = Ql* Ql m Qr^T conj(Qr), of root mean square 1.1 at most."""

    form: str = "triangular"
    fit_to: str = "momentum"
    diagonal: bool = False
    once: bool = False
    b1: float = 0.9
    preconditioner_rate: float = 0.1
    max_rms: float = 1.1
    damping: float = 2**-11.5
    bound_decay: float = 0.9
    m: Tree = field(default_factory=dict)
    q: dict = field(default_factory=dict)
    bounds: dict = field(default_factory=dict)
    t: int = 0

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree, **functions: Any) -> Tree:
        v = drawn(jax.random.fold_in(jax.random.key(0), self.t + 1), g)
        self.t += 1
        self.m = {k: self.b1 * m + (1 - self.b1) * g[k] for k, m in self.m.items()}
        mean = {k: m / (1 - self.b1**self.t) for k, m in self.m.items()}
        h = {k: bent(p[k], v[k]) for k in g} if self.fit_to == "hessian" else mean
        return {k: self.leaf(k, x, h[k], v[k]) if is_matrix(x) else g[k] for k, x in mean.items()}

    def leaf(self, k: str, *all_of: np.ndarray) -> np.ndarray:
        x = all_of[0]
        if not x.size:
            return x
        flat = zip(*(y.reshape(-1, *y.shape[-2:]) for y in all_of), strict=True)
        made = [self.one((k, i), *row) for i, row in enumerate(flat)]
        return np.stack(made).reshape(x.shape)

    def one(self, k: tuple, x: np.ndarray, h: np.ndarray, v: np.ndarray) -> np.ndarray:
        if np.any(h):
            self.fit(k, h, v)
        if k not in self.q:
            return np.zeros_like(x)
        left, right = self.q[k]
        u = left @ x @ right.T if self.once else self.preconditioned(k, x)
        rms = np.sqrt(np.mean(np.abs(u) ** 2))
        return u * min(1, self.max_rms / rms) if rms else u

    def preconditioned(self, k: tuple, x: np.ndarray) -> np.ndarray:
        left, right = self.q[k]
        return transposed(left) @ left @ x @ right.T @ right.conj()

    def fit(self, k: tuple, x: np.ndarray, v: np.ndarray) -> None:
        if k not in self.q:
            each = np.mean(np.abs(x) ** 2) ** -0.125
            self.q[k] = [each * np.eye(n, dtype=x.dtype) for n in x.shape]
            self.bounds[k] = [0.0, 0.0]
        damp = noise(self.t - 1, x)
        v = v if self.fit_to == "hessian" else damp
        x = x + self.damping * np.mean(np.abs(x)) * damp
        if self.form == "triangular":
            self.fit_triangular(k, x, v)
        else:
            self.fit_inverse_free(k, x, v)

    def products(self, x: np.ndarray) -> list[np.ndarray]:
        both = [x @ transposed(x), x.T @ x.conj()]
        return [np.diag(np.diag(c)) for c in both] if self.diagonal else both

    def fit_triangular(self, k: tuple, x: np.ndarray, v: np.ndarray) -> None:
        left, right = self.q[k]
        a = left @ x @ right.T
        b = transposed(np.linalg.inv(left)) @ v @ np.linalg.inv(right).conj()
        for i, (one, other) in enumerate(zip(self.products(a), self.products(b), strict=True)):
            both, own, rate = one + other, self.q[k][i], self.preconditioner_rate
            size = np.max(np.abs(both)) if self.diagonal or len(one) == 1 else bound(both, 2)
            self.q[k][i] = own - rate * np.triu(one - other) / size @ own

    def fit_inverse_free(self, k: tuple, x: np.ndarray, v: np.ndarray) -> None:
        y, pairs = self.preconditioned(k, x), self.products(v)
        for i, cov in enumerate(self.products(y)):
            normal, own = x.size / x.shape[i], self.q[k][i]
            is_diagonal = self.diagonal or len(cov) == 1
            size = lambda c, is_diagonal=is_diagonal: (
                np.max(c.real) if is_diagonal else bound(c, 4)
            )
            other = pairs[i] if self.fit_to == "hessian" else normal * np.eye(len(cov))
            largest = size(cov + other) if self.fit_to == "hessian" else size(cov) + normal
            kept = self.bound_decay * self.bounds[k][i] + (1 - self.bound_decay) * largest
            self.bounds[k][i] = max(kept, largest)
            error = (cov - other) / self.bounds[k][i]
            if self.form == "quad":
                half = np.eye(len(cov)) - self.preconditioner_rate / 2 * error
                made = half @ own @ half
                self.q[k][i] = (made + transposed(made)) / 2
            else:
                moved = own - self.preconditioner_rate * error @ own
                self.q[k][i] = moved if is_diagonal else self.turned(moved)

    def turned(self, q: np.ndarray) -> np.ndarray:
        skew = transposed(q) - q
        size = bound(skew, 4)
        skew = skew / size if size else skew
        once, twice = skew @ q, skew @ skew @ q
        first, second = np.trace(once).real, np.trace(twice).real
        by = np.clip(-first / second, 0, 0.125) if second < 0 else 0.125
        return q + by * once + by**2 / 2 * twice


#: Rounding errors decide between columns of nearly equal length, and add up over fits.
FITTED = 300.0
CONSTANT = {"can_be_differentiated": "to derivatives the factors are constants"}
PROBED = CONSTANT | {
    "is_the_same_when_split_under_shard_map": "each shard draws probes of its own",
    "is_each_replicas_own": "each replica draws probes of its own",
}
ROWS = [
    Row(
        "scale_by_psgd_kron",
        lambda: gc.scale_by_psgd_kron(),
        PsgdKron,
        tolerance=FITTED,
        float64=1e-9,
        reasons=CONSTANT,
    ),
    Row(
        "scale_by_psgd_kron-diagonal",
        lambda: gc.scale_by_psgd_kron(memory_save_mode="all_diag"),
        lambda: PsgdKron(diagonal=True),
        tolerance=FITTED,
        float64=1e-9,
        reasons=CONSTANT,
    ),
    Row(
        "scale_by_psgd_kron-quad",
        lambda: gc.scale_by_psgd_kron(form="quad"),
        lambda: PsgdKron(form="quad"),
        tolerance=FITTED,
        float64=1e-9,
        reasons=CONSTANT,
    ),
    Row(
        "scale_by_psgd_kron-procrustes",
        lambda: gc.scale_by_psgd_kron(form="procrustes"),
        lambda: PsgdKron(form="procrustes"),
        tolerance=FITTED,
        float64=1e-9,
        reasons=CONSTANT,
    ),
    Row(
        "scale_by_psgd_kron-hessian",
        lambda: gc.scale_by_psgd_kron(fit_to="hessian"),
        lambda: PsgdKron(fit_to="hessian"),
        needs_params=True,
        extra={"value_fn": bowl},
        tolerance=FITTED,
        float64=DRAWN,
        reasons=PROBED,
    ),
    Row(
        "scale_by_psgd_kron-hessian_quad",
        lambda: gc.scale_by_psgd_kron(fit_to="hessian", form="quad"),
        lambda: PsgdKron(fit_to="hessian", form="quad"),
        needs_params=True,
        extra={"value_fn": bowl},
        tolerance=FITTED,
        float64=DRAWN,
        reasons=PROBED,
    ),
    Row(
        "scale_by_psgd_kron-hessian_diagonal",
        lambda: gc.scale_by_psgd_kron(
            fit_to="hessian", form="procrustes", memory_save_mode="all_diag"
        ),
        lambda: PsgdKron(fit_to="hessian", form="procrustes", diagonal=True),
        needs_params=True,
        extra={"value_fn": bowl},
        tolerance=FITTED,
        float64=DRAWN,
        reasons=PROBED,
    ),
    Row(
        "scale_by_psgd_kron-once",
        lambda: gc.scale_by_psgd_kron(form="procrustes", apply="once"),
        lambda: PsgdKron(form="procrustes", once=True),
        tolerance=FITTED,
        float64=1e-9,
        reasons=CONSTANT,
    ),
    Row(
        "psgd_kron",
        lambda: gc.psgd_kron(0.1, weight_decay=0.1),
        lambda: beside_adamw(PsgdKron(), 0.1, 0.1),
        needs_params=True,
        tolerance=FITTED,
        float64=1e-9,
        reasons=CONSTANT,
    ),
]
