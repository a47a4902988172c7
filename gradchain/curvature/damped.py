"""Directions from a gradient and a damped curvature matrix.

The matrix is made whole, or vectors are only multiplied by it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_one_of
from gradchain.core.slots import Slot, scalar
from gradchain.core.types import Numeric, Params, State, Tree, Updates
from gradchain.curvature.conjugate_gradient import ConjugateGradientInfo, conjugate_gradient
from gradchain.curvature.diagonals import diagonal
from gradchain.curvature.estimates import by_parts
from gradchain.curvature.orthogonal import scaled
from gradchain.curvature.products import dense
from gradchain.curvature.vectors import Operator, refuse_shards, to_vector
from gradchain.numerics import decompositions
from gradchain.numerics.arithmetic import power_of_two, safe_divide, safe_sqrt
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import dot, largest_in, scaled_norm

#: A preconditioner: a name, or a function from parameters to an operator near the inverse matrix.
Preconditioner: TypeAlias = str | Callable[[Params], Operator] | None

_SAMPLES = 10  # of Hutchinson's estimate: enough to tell the scales of the parameters


def solve_dense(operator: Operator, g: Updates, damping: Numeric) -> Updates:
    r"""Solve a damped equation with a whole matrix.

    The solution is :math:`Q (\max(|\Lambda|, \delta) + \lambda)^{-1} Q^T g`.
    """
    along, sizes, to_tree = diagonalized(operator, g)
    return to_tree(safe_divide(along, sizes + damping))


def solve_semidefinite(operator: Operator, g: Updates, damping: Numeric) -> Updates:
    r"""Solve a damped equation with a positive semidefinite matrix.

    Where parameters are of so different sizes that rounding would take the small eigenvalues for
    zero, they are divided by the roots of the diagonal before it is decomposed; else it is
    ``solve_dense``.
    """
    refuse_shards(g)
    vector, to_tree = to_vector(g)
    if not vector.size:
        return g
    matrix = dense(operator, g)
    roots = safe_sqrt(jnp.diag(matrix))
    top = jnp.max(roots)
    low = jnp.min(jnp.where(roots > 0, roots, top))
    rounding = vector.size * jnp.finfo(matrix.dtype).eps
    is_far_apart = low < 10 * jnp.sqrt(rounding) * top
    units = jnp.where(is_far_apart, power_of_two(roots), 1.0)
    scaled = matrix / units[:, None] / units[None]
    within = jnp.where(is_far_apart, damping, 0.0) / units**2
    values, vectors = decompositions.eigh(scaled + jnp.diag(within))
    sizes = jnp.abs(values)
    sizes = jnp.maximum(sizes, rounding * jnp.max(sizes))
    sizes = sizes + jnp.where(is_far_apart, 0.0, damping)
    matmul = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    along = safe_divide(matmul(vectors.T, vector / units), sizes)
    return to_tree(matmul(vectors, along) / units)


def diagonalized(
    operator: Operator, g: Updates
) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], Updates]]:
    r"""Express ``g`` in the eigenvectors of an operator.

    Also the magnitudes of its eigenvalues, and the function back to trees. The least magnitude is
    :math:`\delta`, the size that rounding gives to a zero.
    """
    refuse_shards(g)
    vector, to_tree = to_vector(g)
    if not vector.size:
        return vector, vector, to_tree
    values, vectors = decompositions.eigh(dense(operator, g))
    sizes = jnp.abs(values)
    least = vector.size * jnp.finfo(sizes.dtype).eps * jnp.max(sizes)
    matmul = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    back = lambda x: to_tree(matmul(vectors, x))
    return matmul(vectors.T, vector), jnp.maximum(sizes, least), back


def solve_cg(
    operator: Operator,
    g: Updates,
    p: Params,
    damping: Numeric,
    preconditioner: Preconditioner = None,
    key: chex.PRNGKey | None = None,
    **options: Any,
) -> tuple[Updates, ConjugateGradientInfo]:
    """Solve a damped equation by conjugate gradients.

    Returns the solution at the parameters ``p``, and how the method ended; ``options`` are those of
    ``conjugate_gradient``.
    """
    damped = lambda v: map_leaves(lambda x, v: x + damping * v, operator(v), v)
    inverse = preconditioner(p) if callable(preconditioner) else None
    if preconditioner == "hutchinson":
        found = diagonal(damped, p, method="hutchinson", key=key, samples=_SAMPLES)
        inverse = _inverse_diagonal(found.value)
    return conjugate_gradient(damped, g, preconditioner=inverse, **options)


def _inverse_diagonal(diagonal: Tree) -> Operator:
    """Division by the magnitudes of an estimate.

    Those near zero count as the rounding of the largest one.
    """
    top = largest_in(diagonal)
    least = jnp.sqrt(jnp.finfo(top.dtype).eps) * top

    def divide(x: jax.Array, size: jax.Array) -> jax.Array:
        divided = safe_divide(x, jnp.maximum(jnp.abs(size), least))
        return divided + jnp.where(least > 0, 0.0, x)

    return lambda r: map_leaves(lambda x, d: by_parts(divide, x, d), r, diagonal)


def along_gradient(direction: Updates, g: Updates) -> Updates:
    """Keep a direction that goes uphill along the gradient.

    Else, or where it is NaN, the gradient takes its place.
    """
    # Around 1 no product is too large or too small.
    around_1 = lambda tree: scaled(tree, safe_divide(1.0, largest_in(tree)))
    is_uphill = dot(around_1(direction), around_1(g)) > 0
    return map_leaves(lambda d, g: jnp.where(is_uphill, d, g), direction, g)


def forcing(g: Updates, s: State, tol: Numeric | None) -> tuple[Numeric, State]:
    r"""The accuracy of a truncated direction.

    Also the slots of ``forced(tol)``. The accuracy is ``tol`` if it is given, else
    :math:`\min(\frac12, \sqrt{\lVert g \rVert / \lVert g_0 \rVert})`: coarse far from a minimum and
    finer near to it, so that convergence is faster than linear, and the same in whatever units the
    loss is.
    """
    if tol is not None:
        return tol, {}
    length = scaled_norm(g)
    is_known = (s["first_norm"] > 0) | ~jnp.isfinite(length)
    first = jnp.where(is_known, s["first_norm"], length)
    return jnp.minimum(0.5, jnp.sqrt(safe_divide(length, first))), {"first_norm": first}


def forced(tol: Numeric | None) -> dict[str, Slot]:
    """The slots of ``forcing``.

    That is the norm of the first gradient, 0 before there is one.
    """
    return {} if tol is not None else {"first_norm": scalar}


def check_preconditioner(factory: str, preconditioner: Preconditioner) -> None:
    """Refuse a preconditioner that is none."""
    if isinstance(preconditioner, str):
        check_one_of(factory, ["hutchinson"], preconditioner=preconditioner)
    elif not (preconditioner is None or callable(preconditioner)):
        raise TypeError(
            f"{factory}: preconditioner must be None, 'hutchinson' or a function, not"
            f" {preconditioner!r}."
        )
