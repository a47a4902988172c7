"""Linear algebra of optax: eigenvalues, roots, least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.types import Numeric, Tree
from gradchain.numerics.polar import identity_like
from gradchain.tree.mapping import is_traced
from gradchain.tree.norms import dot, global_norm


class _Found(NamedTuple):
    """An eigenvector so far, its product, its eigenvalue."""

    vector: Tree
    product: Tree
    value: jax.Array
    steps: jax.Array


def power_iteration(
    matrix: jax.Array | Callable[[Tree], Tree],
    *,
    v0: Tree | None = None,
    num_iters: int = 100,
    error_tolerance: Numeric = 1e-6,
    precision: Any = lax.Precision.HIGHEST,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Tree]:
    """The eigenvalue that is largest in size, and its vector.

    ``matrix`` is a square matrix, or a function that multiplies a tree by one; then ``v0``, where
    the iteration begins, must be given. It ends when the product is that of the eigenvalue, up to
    ``error_tolerance`` of it.

    Raises:
        ValueError: if ``matrix`` is a function and ``v0`` is not given.
    """
    if callable(matrix):
        times = matrix
        if v0 is None:
            raise ValueError("power_iteration: v0 must be given when matrix is a function.")
    else:
        array = jnp.asarray(matrix)
        times = lambda v: jnp.matmul(array, v, precision=precision)
        if v0 is None:
            # as in optax, so that results are the same
            key = jax.random.PRNGKey(0) if key is None else key
            shape = array.shape[-1:]
            v0 = jax.random.uniform(key, shape, array.dtype, -1.0, 1.0)

    def goes_on(found: _Found) -> jax.Array:
        residual = jax.tree.map(lambda z, v: z - found.value * v, found.product, found.vector)
        is_near = jnp.abs(global_norm(residual) / found.value) < error_tolerance
        return ~is_near & (found.steps < num_iters)

    def step(found: _Found) -> _Found:
        vector = _unit(found.product)
        product = times(vector)
        value = dot(vector, product).astype(found.value.dtype)
        return _Found(vector, product, value, found.steps + 1)

    vector = _unit(v0)
    product = times(vector)
    start = _Found(vector, product, jnp.zeros_like(dot(vector, product)), jnp.asarray(0))
    found = lax.while_loop(goes_on, step, start)
    return found.value, _unit(found.product)


def _unit(tree: Tree) -> Tree:
    """A tree divided by its length."""
    size = global_norm(tree)
    return jax.tree.map(lambda x: (x / size).astype(x.dtype), tree)


class _Root(NamedTuple):
    """Newton's iteration so far.

    ``rest`` goes to the identity while ``root`` goes to the root.
    """

    rest: jax.Array
    root: jax.Array
    before: jax.Array
    error: jax.Array
    improves: jax.Array
    steps: jax.Array


def matrix_inverse_pth_root(
    matrix: jax.Array,
    p: int,
    num_iters: int = 100,
    ridge_epsilon: Numeric = 1e-6,
    error_tolerance: Numeric = 1e-6,
    precision: Any = lax.Precision.HIGHEST,
) -> tuple[jax.Array, jax.Array]:
    """The matrix to the power ``-1/p``, and its error.

    The matrix is symmetric with no negative eigenvalue; ``ridge_epsilon`` times the largest one is
    added to its diagonal. It is the coupled Newton iteration (Higham, "Functions of Matrices",
    2008, equation 7.18), for any positive integer ``p``.

    Raises:
        TypeError: if ``p`` is traced.
    """
    if is_traced([p]):
        raise TypeError("matrix_inverse_pth_root: p must be an integer that is not traced.")
    array = jnp.asarray(matrix)
    largest, _ = power_iteration(array, precision=precision)
    work = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    ridge = (ridge_epsilon * jnp.maximum(largest, 1e-16)).astype(work.dtype)
    identity = identity_like(work)
    damped = work + ridge * identity
    if len(damped) == 1:
        return (damped ** (-1 / p)).astype(array.dtype), jnp.zeros((), work.dtype)
    times = lambda x, y: jnp.matmul(x, y, precision=precision)
    away = lambda rest: jnp.max(jnp.abs(rest - identity))

    def power(x: jax.Array, exponent: int) -> jax.Array:
        if exponent == 1:
            return x
        half = power(times(x, x), exponent // 2)
        return times(half, x) if exponent % 2 else half

    def goes_on(at: _Root) -> jax.Array:
        return (at.steps < num_iters) & (at.error > error_tolerance) & at.improves

    def step(at: _Root) -> _Root:
        factor = ((1 + p) * identity - at.rest) / p
        rest = times(power(factor, p), at.rest)
        error = away(rest)
        # It may become a little larger before it becomes small.
        improves = error < 1.2 * at.error
        return _Root(rest, times(at.root, factor), at.root, error, improves, at.steps + 1)

    size = (1 + p) / (2 * jnp.linalg.norm(damped))
    root, rest = identity * size ** (1 / p), damped * size
    start = _Root(rest, root, root, away(rest), jnp.asarray(True), jnp.asarray(0))
    end = lax.while_loop(goes_on, step, start)
    return jnp.where(end.improves, end.root, end.before).astype(array.dtype), away(end.rest)


def nnls(
    A: jax.Array,
    b: jax.Array,
    iters: int,
    unroll: int | bool = 1,
    L: Numeric | None = None,
) -> jax.Array:
    """Non-negative ``x`` that make ``|A x - b|`` small, by projected gradients.

    ``L`` is a bound of the largest eigenvalue of ``A.T @ A``; ``b`` may have several columns.
    ``gradchain.minimize`` with ``bounds`` does the same for any function.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if A.ndim != 2 or b.ndim not in (1, 2) or A.shape[0] != b.shape[0]:
        raise ValueError(f"nnls: A of shape {list(A.shape)} and b of {list(b.shape)} do not fit.")
    gram, product = A.T @ A, A.T @ b
    if L is None:
        rows = jnp.max(jnp.sum(jnp.abs(gram), 0), initial=0)
        L = jnp.minimum(jnp.linalg.norm(gram), rows)
    bound = jnp.where(L == 0, 1, L).astype(gram.dtype)

    def step(at: tuple[jax.Array, jax.Array, jax.Array], _: None) -> tuple[Any, None]:
        x, ahead, age = at
        older = (1 + jnp.sqrt(1 + 4 * age**2)) / 2
        new = jnp.maximum(ahead - (gram @ ahead - product) / bound, 0)
        share = ((age - 1) / older).astype(x.dtype)
        return (new, new + share * (new - x), older), None

    start = jnp.zeros((A.shape[1], *b.shape[1:]), b.dtype)
    (x, _, _), _ = lax.scan(
        step,
        (start, start, jnp.asarray(0.0)),
        length=iters,
        unroll=unroll,
    )
    return x


def get_spectral_radius_upper_bound(matrix: jax.Array) -> jax.Array:
    """A number that no eigenvalue exceeds in size.

    It is the smaller one of the norm of all elements and the largest sum of a column.
    """
    magnitudes = jnp.abs(matrix)
    largest = jnp.max(jnp.sum(magnitudes, axis=-2), axis=-1, initial=0)
    return jnp.minimum(jnp.linalg.norm(magnitudes, axis=(-2, -1)), largest)
