"""What the twins of matrix methods have in common."""

from collections.abc import Callable

import numpy as np

from tests.laws.twins import Tree

KELLER = ((3.4445, -4.7750, 2.0315),) * 5


def transposed(x: np.ndarray) -> np.ndarray:
    """The conjugate transpose of each matrix."""
    return np.conj(np.swapaxes(x, -1, -2))


def newton_schulz(x: np.ndarray, rows: tuple = KELLER, eps: float = 0.0) -> np.ndarray:
    """X <- a X + (b A + c A A) X with A = X X*, from X of unit Frobenius norm."""
    length = np.linalg.norm(x, axis=(-2, -1), keepdims=True) + eps
    x = x / np.where(length > 0, length, 1)
    if x.shape[-2] > x.shape[-1]:
        return transposed(_iterate(transposed(x), rows))
    return _iterate(x, rows)


def _iterate(x: np.ndarray, rows: tuple) -> np.ndarray:
    for a, b, c in rows:
        gram = x @ transposed(x)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def svd_map(x: np.ndarray, f: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """U f(S) V*; what is 0 up to rounding stays 0."""
    if not x.size:
        return x
    left, s, right = np.linalg.svd(x, full_matrices=False)
    made = np.where(s > 1e-7 * s[..., :1], f(s), 0)
    return left * made[..., None, :] @ right


def adjusted(adjust: str | None, x: np.ndarray) -> float:
    """The factor for a matrix from m inputs to n outputs."""
    m, n = x.shape[-2:]
    if adjust is None or not x.size:
        return 1.0
    return {
        "keller": max(1, n / m) ** 0.5,
        "rms": 0.2 * max(m, n) ** 0.5,
        "dion": (n / m) ** 0.5,
    }[adjust]


def is_matrix(x: np.ndarray) -> bool:
    """Whether a leaf is seen as matrices, its last two dimensions."""
    return x.ndim >= 2


def on_matrices(f: Callable[[np.ndarray], np.ndarray], tree: Tree) -> Tree:
    """``f`` of the leaves that are matrices."""
    return {k: f(x) if is_matrix(x) else x for k, x in tree.items()}
