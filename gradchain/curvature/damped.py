"""Directions from a gradient and a damped curvature matrix, which is made whole or only multiplied
by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_at_least, check_one_of
from gradchain.core.slots import Slot, scalar
from gradchain.curvature.conjugate_gradient import ConjugateGradientInfo, conjugate_gradient
from gradchain.curvature.diagonals import diagonal
from gradchain.curvature.estimates import by_parts
from gradchain.curvature.orthogonal import scaled
from gradchain.curvature.products import dense
from gradchain.curvature.vectors import Operator, refuse_shards, to_vector
from gradchain.numerics.arithmetic import safe_divide
from gradchain.tree.mapping import map_leaves
from gradchain.tree.reductions import dot, largest_in, scaled_norm

#: What a preconditioner may be: a name, or a function from parameters to an operator near the
#: inverse matrix.
Preconditioner = str | Callable[[Any], Operator] | None

_SAMPLES = 10  # of Hutchinson's estimate: enough to tell the scales of the parameters


def solve_dense(operator: Operator, g: Any, damping: Any) -> Any:
    r"""The solution :math:`Q (\max(|\Lambda|, \delta) + \lambda)^{-1} Q^T g` with the whole matrix
    of an operator.
    """
    along, sizes, to_tree = diagonalized(operator, g)
    return to_tree(safe_divide(along, sizes + damping))


def diagonalized(
    operator: Operator, g: Any
) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], Any]]:
    r"""What ``g`` is along the eigenvectors of an operator, the magnitudes of its eigenvalues, and
    the way back.

    The least magnitude is :math:`\delta`, what rounding makes of a zero.
    """
    refuse_shards(g)
    vector, to_tree = to_vector(g)
    if not vector.size:
        return vector, vector, to_tree
    values, vectors = jnp.linalg.eigh(dense(operator, g))
    sizes = jnp.abs(values)
    least = vector.size * jnp.finfo(sizes.dtype).eps * jnp.max(sizes)
    along = jnp.matmul(vectors.T, vector, precision=lax.Precision.HIGHEST)
    back = lambda x: to_tree(jnp.matmul(vectors, x, precision=lax.Precision.HIGHEST))
    return along, jnp.maximum(sizes, least), back


def solve_cg(
    operator: Operator,
    g: Any,
    p: Any,
    damping: Any,
    preconditioner: Preconditioner = None,
    key: jax.Array | None = None,
    **options: Any,
) -> tuple[Any, ConjugateGradientInfo]:
    """The solution by conjugate gradients at the parameters ``p``, with their ``options``, and how
    they ended.
    """
    damped = lambda v: map_leaves(lambda x, v: x + damping * v, operator(v), v)
    inverse = preconditioner(p) if callable(preconditioner) else None
    if preconditioner == "hutchinson":
        inverse = _inverse_diagonal(
            diagonal(damped, p, method="hutchinson", key=key, samples=_SAMPLES).value
        )
    return conjugate_gradient(damped, g, preconditioner=inverse, **options)


def _inverse_diagonal(diagonal: Any) -> Operator:
    """Division by the magnitudes of an estimate; what is near zero counts as the rounding of the
    largest one.
    """
    top = largest_in(diagonal)
    least = jnp.sqrt(jnp.finfo(top.dtype).eps) * top

    def divide(x: jax.Array, size: jax.Array) -> jax.Array:
        return safe_divide(x, jnp.maximum(jnp.abs(size), least)) + jnp.where(least > 0, 0.0, x)

    return lambda r: map_leaves(lambda x, d: by_parts(divide, x, d), r, diagonal)


def along_gradient(direction: Any, g: Any) -> Any:
    """A direction if it goes uphill along the gradient ``g``; the gradient if it does not, or is no
    number.
    """
    around_1 = lambda tree: scaled(
        tree, safe_divide(1.0, largest_in(tree))
    )  # no product is too large or small
    is_uphill = dot(around_1(direction), around_1(g)) > 0
    return map_leaves(lambda d, g: jnp.where(is_uphill, d, g), direction, g)


def forcing(g: Any, s: dict, tol: Any) -> tuple[Any, dict]:
    r"""How accurate a truncated direction should be, ``tol`` if it is given, and the slots of
    ``forced(tol)``.

    Else :math:`\min(\frac12, \sqrt{\lVert g \rVert / \lVert g_0 \rVert})`: coarse far from a
    minimum and finer near to it, so that convergence is faster than linear, and the same in
    whatever units the loss is.
    """
    if tol is not None:
        return tol, {}
    length = scaled_norm(g)
    first = jnp.where((s["first_norm"] > 0) | ~jnp.isfinite(length), s["first_norm"], length)
    return jnp.minimum(0.5, jnp.sqrt(safe_divide(length, first))), {"first_norm": first}


def forced(tol: Any) -> dict[str, Slot]:
    """What ``forcing`` remembers: the norm of the first gradient, 0 before there is one."""
    return {} if tol is not None else {"first_norm": scalar}


def check_cg(
    factory: str, damping: Any, tol: Any, max_steps: int | None, preconditioner: Preconditioner
) -> None:
    """Refuse arguments of a transformation that uses conjugate gradients."""
    check_at_least(factory, 0, damping=damping, tol=tol)
    check_at_least(factory, 1, max_steps=max_steps)
    if isinstance(preconditioner, str):
        check_one_of(factory, ["hutchinson"], preconditioner=preconditioner)
    elif not (preconditioner is None or callable(preconditioner)):
        raise TypeError(
            f"{factory}: preconditioner must be None, 'hutchinson' or a function, not {preconditioner!r}."
        )
