"""Conjugate gradients on trees.

They solve linear equations, and quadratic models, of an operator that is never made whole.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import NonNegativeInt
from gradchain.core.types import Numeric, Tree
from gradchain.curvature.orthogonal import scaled
from gradchain.curvature.vectors import Operator, flat_size, vector_like
from gradchain.numerics.arithmetic import safe_divide, safe_sqrt
from gradchain.numerics.branches import while_loop
from gradchain.tree.mapping import map_leaves, upcast
from gradchain.tree.norms import dot, safe_norm, scaled_norm


class ConjugateGradientInfo(NamedTuple):
    r"""How conjugate gradients ended.

    Attributes:
        steps: how many products with the operator were made.
        residual_norm: :math:`\lVert b - A x \rVert`.
        decrease: by how much the model :math:`\tfrac12 x^T A x - b^T x` is lower than at zero.
        is_negative: whether a direction was met along which the model does not curve upwards.
        on_boundary: whether the solution was stopped by ``radius``.
    """

    steps: jax.Array
    residual_norm: jax.Array
    decrease: jax.Array
    is_negative: jax.Array
    on_boundary: jax.Array


@checks_numbers
def conjugate_gradient(
    operator: Operator,
    b: Tree,
    x0: Tree = None,
    *,
    preconditioner: Operator | None = None,
    tol: Annotated[Numeric, "[0, inf]"] = 1e-5,
    max_steps: NonNegativeInt | None = None,
    progress_tol: Annotated[Numeric | None, "[0, inf)"] = None,
    radius: Annotated[Numeric | None, "[0, inf]"] = None,
) -> tuple[Tree, ConjugateGradientInfo]:
    r"""Solve :math:`A x = b` with a symmetric operator.

    The method is conjugate gradients on the model :math:`\tfrac12 x^T A x - b^T x`. Where it does
    not curve upwards along a search direction it has no minimum. Then the method stops: on the
    boundary if there is a ``radius``; else where it is, or, at the first step, at :math:`x =
    \frac{\lVert b \rVert}{\lVert A b \rVert} b` (or at ``b``, where that is no number). From a
    start of zero :math:`b^T x > 0` in each case.

    It runs as one compiled loop, also under ``vmap``; parameters may be complex, as for
    ``hessian_operator``.

    Args:
        operator: a linear function of trees, symmetric in the real inner product
            :math:`\mathrm{Re}\,\bar a^T b`.
        b: the right-hand side, a tree.
        x0: where to start; ``None`` is zero.
        preconditioner: a function of trees that approximates the inverse of :math:`A`, symmetric
            and positive definite.
        tol: it stops where :math:`\lVert b - A x \rVert \le \mathrm{tol} \lVert b \rVert`. A
            tolerance below the rounding of the dtype counts as that rounding.
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
        ValueError: if a number is out of range, or ``x0`` is not like ``b``.

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
    size = scaled_norm(b)
    per_size = safe_divide(jnp.ones_like(size), size)
    if x0 is not None:
        x0 = scaled(vector_like("conjugate_gradient: x0", x0, b), per_size)
    own = _Equation(
        operator,
        preconditioner,
        unit=scaled(b, per_size),
        tol=jnp.maximum(jnp.asarray(tol, size.dtype), jnp.finfo(size.dtype).eps),
        limit=None if radius is None else safe_divide(jnp.asarray(radius, size.dtype), size),
        progress_tol=progress_tol,
    )
    goes_on = lambda at: ~at.is_done & (at.steps < max_steps)
    end = while_loop(goes_on, own.step, own.start(x0, max_steps))
    decrease = size * (size * own.decrease(end.x, end.r))
    residual_norm = size * safe_norm(end.r)
    info = ConjugateGradientInfo(
        end.steps, residual_norm, decrease, end.is_negative, end.is_outside
    )
    return scaled(end.x, size), info


class _Iterate(NamedTuple):
    """The carry of conjugate gradients."""

    x: Tree  # the point
    r: Tree  # its residual
    d: Tree  # the next search direction
    rz: jax.Array  # the product of the residual and the preconditioned one
    steps: jax.Array
    is_done: jax.Array
    is_negative: jax.Array  # whether the model does not curve upwards along a direction
    is_outside: jax.Array  # whether it was stopped on the boundary
    history: jax.Array | None  # the decrease after each step


@dataclasses.dataclass(frozen=True)
class _Equation:
    """An equation in proportion to its right-hand side.

    Squares of tiny or huge numbers stay finite when the right-hand side has length 1.

    Attributes:
        operator: see ``conjugate_gradient``.
        preconditioner: see there.
        unit: the right-hand side, of length 1.
        tol: see there.
        limit: the radius, or ``None``.
        progress_tol: see there.
    """

    operator: Operator
    preconditioner: Operator | None
    unit: Tree
    tol: jax.Array
    limit: jax.Array | None
    progress_tol: Numeric | None

    def multiply(self, v: Tree) -> Tree:
        """The product of the matrix and a vector."""
        return vector_like("conjugate_gradient: operator", self.operator(v), v)

    def precondition(self, r: Tree) -> Tree:
        """The residual, preconditioned."""
        z = r if self.preconditioner is None else self.preconditioner(r)
        return vector_like("conjugate_gradient: preconditioner", z, r)

    def decrease(self, x: Tree, r: Tree) -> jax.Array:
        """How much lower the model is than at zero."""
        return 0.5 * (dot(x, self.unit) + dot(x, r))

    def start(self, x0: Tree, max_steps: int) -> _Iterate:
        """The carry before the first step."""
        x = map_leaves(jnp.zeros_like, self.unit)
        r = self.unit
        if x0 is not None:
            x = x0
            r = _add(self.unit, -1.0, self.multiply(x0))
        z = self.precondition(r)
        no = jnp.zeros((), bool)
        none = jnp.zeros((), jnp.int32)
        history = None
        if self.progress_tol is not None:
            history = jnp.zeros(max_steps + 1, self.tol.dtype)
            history = history.at[0].set(self.decrease(x, r))
        is_done = safe_norm(r) <= self.tol
        return _Iterate(x, r, z, dot(r, z), none, is_done, no, no, history)

    def step(self, at: _Iterate) -> _Iterate:
        """One step along the search direction."""
        image = self.multiply(at.d)
        curvature = dot(at.d, image)
        length, is_negative, is_outside = self.length(at, image, curvature)
        x = _add(at.x, length, at.d)
        keep = lambda old, new: jnp.where(jnp.isfinite(curvature), new, old)
        r = map_leaves(keep, at.r, _add(at.r, -length, image))
        z = self.precondition(r)
        rz = dot(r, z)
        d = _add(z, safe_divide(rz, at.rz), at.d)
        steps, history = at.steps + 1, at.history
        is_done = is_negative | is_outside | (safe_norm(r) <= self.tol)
        if history is not None:
            history = history.at[steps].set(self.decrease(x, r))
            is_done |= _has_stalled(history, steps, self.progress_tol)
        return _Iterate(x, r, d, rz, steps, is_done, is_negative, is_outside, history)

    def length(
        self, at: _Iterate, image: Tree, curvature: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The length of a step.

        Also whether its direction is negative, and whether it ends on the boundary.
        """
        length = safe_divide(at.rz, curvature)
        is_negative = ~((curvature > 0) & jnp.isfinite(length))
        if self.limit is None:
            first = jnp.where(at.steps == 0, _first_length(at, image), 0.0)
            return jnp.where(is_negative, first, length), is_negative, at.is_outside
        boundary = _length_to(self.limit, at.x, at.d)
        is_outside = is_negative | ~(length < boundary)
        return jnp.where(is_outside, boundary, length), is_negative, is_outside


def _add(x: Tree, factor: Numeric, y: Tree) -> Tree:
    """``x + factor * y``."""
    return map_leaves(lambda x, y: x + jnp.asarray(factor, x.dtype) * y, x, y)


def _first_length(at: _Iterate, image: Tree) -> jax.Array:
    """The length of a first step that has no minimum.

    It comes from the size of the operator along the direction.
    """
    length = safe_divide(safe_divide(at.rz, scaled_norm(at.d)), scaled_norm(image))
    is_usable = (length > 0) & jnp.isfinite(length)
    return jnp.where(is_usable, length, jnp.ones_like(length))


def _length_to(radius: jax.Array, x: Tree, d: Tree) -> jax.Array:
    """The positive root of ``|x + length * d| = radius``.

    It is computed from an ``x`` and a ``d`` of length 1 at most.
    """
    size = scaled_norm(d)
    per = lambda tree, by: scaled(tree, safe_divide(jnp.ones_like(by), by))
    x = per(x, radius)
    d = per(d, size)
    along = dot(x, d)
    room = jnp.maximum(1.0 - dot(x, x), 0.0)
    root = safe_sqrt(along**2 + room)
    length = jnp.where(along > 0, safe_divide(room, along + root), root - along)
    return length * safe_divide(radius, size)


def _has_stalled(decreases: jax.Array, i: jax.Array, tol: Any) -> jax.Array:
    """Martens' test, section 4.4."""
    k = jnp.maximum(10, i // 10)
    now = decreases[i]
    before = decreases[jnp.maximum(i - k, 0)]
    gain = now - before
    is_small = gain < k.astype(now.dtype) * tol * now
    return (i > k) & (now > 0) & is_small
