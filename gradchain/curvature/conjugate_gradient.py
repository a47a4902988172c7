"""Conjugate gradients on trees: linear equations, and quadratic models, of an operator that is
never made whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_at_least
from gradchain.curvature.orthogonal import scaled
from gradchain.curvature.vectors import Operator, flat_size, vector_like
from gradchain.numerics.arithmetic import safe_divide, safe_sqrt
from gradchain.tree.mapping import map_leaves, upcast
from gradchain.tree.reductions import dot, safe_norm, scaled_norm


class ConjugateGradientInfo(NamedTuple):
    r"""How conjugate gradients ended.

    Attributes:
        steps: how many products with the operator were made.
        residual_norm: :math:`\lVert b - A x \rVert`.
        decrease: what the model :math:`\tfrac12 x^T A x - b^T x` is lower by than at zero.
        is_negative: whether a direction was met along which the model does not curve upwards.
        on_boundary: whether the solution was stopped by ``radius``.
    """

    steps: jax.Array
    residual_norm: jax.Array
    decrease: jax.Array
    is_negative: jax.Array
    on_boundary: jax.Array


def conjugate_gradient(
    operator: Operator,
    b: Any,
    x0: Any = None,
    *,
    preconditioner: Operator | None = None,
    tol: Any = 1e-5,
    max_steps: int | None = None,
    progress_tol: Any = None,
    radius: Any = None,
) -> tuple[Any, ConjugateGradientInfo]:
    r"""Solve :math:`A x = b` with a symmetric operator, by conjugate gradients on :math:`\tfrac12
    x^T A x - b^T x`.

    Where this model does not curve upwards along a search direction it has no minimum. Then the
    method stops: on the boundary if there is a ``radius``; else where it is, or, at the first step,
    at
    :math:`x = \frac{\lVert b \rVert}{\lVert A b \rVert} b` (or at ``b``, where that is no number). From a start of
    zero :math:`b^T x > 0` in each case.

    It runs as one compiled loop, also under ``vmap``; parameters may be complex, as for
    ``hessian_operator``.

    Args:
        operator: a linear function of trees, symmetric in the real inner product
            :math:`\mathrm{Re}\,\bar a^T b`.
        b: the right-hand side, a tree.
        x0: where to start; ``None`` is zero.
        preconditioner: a function of trees that approximates the inverse of :math:`A`, symmetric
            and positive definite.
        tol: it stops where :math:`\lVert b - A x \rVert \le \mathrm{tol} \lVert b \rVert`. What is
            below the rounding of the dtype counts as that.
        max_steps: the number of products, at most. ``None``: twice as many as there are numbers in
            ``b``.
        progress_tol: :math:`\epsilon` of Martens: it also stops at step :math:`i` when the share of
            the decrease that the last :math:`k = \max(10, \lfloor i / 10 \rfloor)` steps have
            brought is less than :math:`k \epsilon`.
        radius: the length that ``x`` may have. It stops on the boundary where it would leave
            (Steihaug's method).

    Returns:
        The solution, and how the method ended, a ``ConjugateGradientInfo``.

    Raises:
        ValueError: if ``max_steps`` is less than 0, or ``x0`` is not like ``b``.

    Source: Hestenes & Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", 1952,
    https://doi.org/10.6028/jres.049.044; Steihaug, "The Conjugate Gradient Method and Trust Regions
    in Large Scale Optimization", 1983, https://doi.org/10.1137/0720042; Martens, "Deep Learning via
    Hessian-Free Optimization", 2010, https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf

    Example:
        >>> matrix = jnp.array([[4.0, 1.0], [1.0, 3.0]])
        >>> x, info = conjugate_gradient(lambda v: matrix @ v, jnp.array([1.0, 2.0]))
        >>> print(x.round(4), info.steps, info.is_negative)
        [0.0909 0.6364] 2 False
    """
    b = upcast(b)
    max_steps = 2 * flat_size(b) if max_steps is None else max_steps
    check_at_least("conjugate_gradient", 0, max_steps=max_steps)
    multiply = lambda v: vector_like("conjugate_gradient: operator", operator(v), v)
    precondition = lambda r: vector_like(
        "conjugate_gradient: preconditioner", (preconditioner or (lambda r: r))(r), r
    )

    # All is in proportion to b: squares of what is tiny or huge stay numbers when b has length 1.
    size = scaled_norm(b)
    unit = scaled(b, safe_divide(jnp.ones_like(size), size))
    tol = jnp.maximum(jnp.asarray(tol, size.dtype), jnp.finfo(size.dtype).eps)
    limit = None if radius is None else safe_divide(jnp.asarray(radius, size.dtype), size)

    def decrease(x: Any, r: Any) -> jax.Array:
        return 0.5 * (dot(x, unit) + dot(x, r))

    def start() -> _Iterate:
        x, r = map_leaves(jnp.zeros_like, unit), unit
        if x0 is not None:
            x = scaled(
                vector_like("conjugate_gradient: x0", x0, b), safe_divide(jnp.ones_like(size), size)
            )
            r = _add(unit, -1.0, multiply(x))
        z = precondition(r)
        no = jnp.zeros((), bool)
        history = (
            None
            if progress_tol is None
            else jnp.zeros(max_steps + 1, size.dtype).at[0].set(decrease(x, r))
        )
        return _Iterate(
            x, r, z, dot(r, z), jnp.zeros((), jnp.int32), safe_norm(r) <= tol, no, no, history
        )

    def step(at: _Iterate) -> _Iterate:
        image = multiply(at.d)
        curvature = dot(at.d, image)
        length = safe_divide(at.rz, curvature)
        is_negative = ~((curvature > 0) & jnp.isfinite(length))
        if limit is None:
            length = jnp.where(
                is_negative, jnp.where(at.steps == 0, _first_length(at, image), 0.0), length
            )
            is_outside = at.is_outside
        else:
            boundary = _length_to(limit, at.x, at.d)
            is_outside = is_negative | ~(length < boundary)
            length = jnp.where(is_outside, boundary, length)
        x, was = _add(at.x, length, at.d), at.r
        r = map_leaves(
            lambda old, new: jnp.where(jnp.isfinite(curvature), new, old),
            was,
            _add(was, -length, image),
        )
        z = precondition(r)
        rz = dot(r, z)
        steps, history = at.steps + 1, at.history
        is_done = is_negative | is_outside | (safe_norm(r) <= tol)
        if history is not None:
            history = history.at[steps].set(decrease(x, r))
            is_done |= _has_stalled(history, steps, progress_tol)
        return _Iterate(
            x,
            r,
            _add(z, safe_divide(rz, at.rz), at.d),
            rz,
            steps,
            is_done,
            is_negative,
            is_outside,
            history,
        )

    end = lax.while_loop(lambda at: ~at.is_done & (at.steps < max_steps), step, start())
    info = ConjugateGradientInfo(
        end.steps,
        size * safe_norm(end.r),
        size * (size * decrease(end.x, end.r)),
        end.is_negative,
        end.is_outside,
    )
    return scaled(end.x, size), info


class _Iterate(NamedTuple):
    """A point, its residual, the next search direction, and what is known of them."""

    x: Any
    r: Any
    d: Any
    rz: jax.Array
    steps: jax.Array
    is_done: jax.Array
    is_negative: jax.Array
    is_outside: jax.Array
    history: jax.Array | None


def _add(x: Any, factor: Any, y: Any) -> Any:
    """``x + factor * y``."""
    return map_leaves(lambda x, y: x + jnp.asarray(factor, x.dtype) * y, x, y)


def _first_length(at: _Iterate, image: Any) -> jax.Array:
    """How far to go along a first direction that has no minimum: by the size of the operator on it."""
    length = safe_divide(safe_divide(at.rz, scaled_norm(at.d)), scaled_norm(image))
    return jnp.where((length > 0) & jnp.isfinite(length), length, jnp.ones_like(length))


def _length_to(radius: jax.Array, x: Any, d: Any) -> jax.Array:
    """The positive root of ``|x + length * d| = radius``, from an ``x`` and a ``d`` of length 1 at
    most.
    """
    size = scaled_norm(d)
    x, d = (
        scaled(tree, safe_divide(jnp.ones_like(by), by)) for tree, by in ((x, radius), (d, size))
    )
    along, room = dot(x, d), jnp.maximum(1.0 - dot(x, x), 0.0)
    root = safe_sqrt(along**2 + room)
    return jnp.where(along > 0, safe_divide(room, along + root), root - along) * safe_divide(
        radius, size
    )


def _has_stalled(decreases: jax.Array, i: jax.Array, tol: Any) -> jax.Array:
    """Martens' test, section 4.4."""
    k = jnp.maximum(10, i // 10)
    now, before = decreases[i], decreases[jnp.maximum(i - k, 0)]
    return (i > k) & (now > 0) & (now - before < k.astype(now.dtype) * tol * now)
