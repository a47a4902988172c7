"""BFGS (Broyden, Fletcher, Goldfarb & Shanno, 1970) and DFP.

Both keep a dense estimate of the inverse Hessian. DFP is by Davidon (1959), Fletcher & Powell
(1963).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.core.roles import with_roles
from gradchain.core.slots import counter, of_tree
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Params, Updates
from gradchain.curvature.vectors import flat_size, refuse_shards, to_vector
from gradchain.numerics.arithmetic import compute_dtype
from gradchain.numerics.counting import increment
from gradchain.optimizers.second_order.lbfgs import matmul
from gradchain.optimizers.second_order.pairs import (
    POINT,
    downhill_or_gradient,
    first_scale,
    has_direction,
    next_pair,
)
from gradchain.optimizers.second_order.searched import with_line_search
from gradchain.searches.strong_wolfe import strong_wolfe
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import flatten, flatten_like


@transform
def scale_by_bfgs(scale_first: bool = True) -> Body:
    r"""Multiply by a dense inverse Hessian, learnt from all pairs.

    A pair is a step and the change of the gradient along it.

    .. math::
        H \leftarrow V^T H V + \rho s s^T, \quad V = I - \rho y s^T, \quad \rho = \frac{1}{s^T y},
        \quad \text{from } H = \frac{s^T y}{y^T y} I \text{ at the first pair}

    For some thousand parameters at most: the matrix holds the square of their number, and an update
    takes as many operations. Without a pair, and where the direction does not go downhill, it is as
    ``scale_by_lbfgs``. Parameters must not be split by ``shard_map``.

    Args:
        scale_first: whether a gradient without pairs is scaled, as there; else it is taken as it
            is.

    Source: Broyden, 1970, https://doi.org/10.1093/imamat/6.1.76; Fletcher, 1970,
    https://doi.org/10.1093/comjnl/13.3.317; Goldfarb, 1970,
    https://doi.org/10.1090/S0025-5718-1970-0258249-6; Shanno, 1970,
    https://doi.org/10.1090/S0025-5718-1970-0274029-X; for the first matrix Nocedal & Wright,
    "Numerical Optimization", 2006, equation 6.20, https://doi.org/10.1007/978-0-387-40065-5

    Example:
        >>> import jax
        >>> import gradchain as gc
        >>> tx = gc.chain(scale_by_bfgs(), gc.scale(-1.0))
        >>> loss, params = lambda x: x[0] ** 2 + 5 * x[1] ** 2, jnp.ones(2)
        >>> state = tx.init(params)
        >>> for _ in range(12):
        ...     params, state = tx.step(jax.grad(loss)(params), state, params)
        >>> print(loss(params) < 1e-8)
        True
    """

    def with_pair(matrix, step, change, sy):
        image = matmul(matrix, change)
        across = jnp.outer(step, image)
        squares = (sy + change @ image) / sy * jnp.outer(step, step)
        return matrix + (squares - across - across.T) / sy

    return _dense(with_pair, scale_first)


@transform
def scale_by_dfp(scale_first: bool = True) -> Body:
    r"""Multiply by a dense inverse Hessian, by Davidon's formula.

    It learns from all pairs, as ``scale_by_bfgs`` does.

    .. math::
        H \leftarrow H - \frac{H y y^T H}{y^T H y} + \frac{s s^T}{s^T y}, \quad
        \text{from } H = \frac{s^T y}{y^T y} I \text{ at the first pair}

    The first of the quasi-Newton methods; ``scale_by_bfgs`` recovers better from a poor line
    search, and is as this one otherwise.

    Args:
        scale_first: see ``scale_by_bfgs``.

    Source: Davidon, "Variable Metric Method for Minimization", 1991 (written 1959),
    https://doi.org/10.1137/0801001; Fletcher & Powell, "A Rapidly Convergent Descent Method for
    Minimization", 1963, https://doi.org/10.1093/comjnl/6.2.163

    Example:
        >>> import jax
        >>> import gradchain as gc
        >>> tx = gc.chain(scale_by_dfp(), gc.scale(-1.0))
        >>> loss, params = lambda x: x[0] ** 2 + 5 * x[1] ** 2, jnp.ones(2)
        >>> state = tx.init(params)
        >>> for _ in range(20):
        ...     params, state = tx.step(jax.grad(loss)(params), state, params)
        >>> print(loss(params) < 1e-8)
        True
    """

    def with_pair(matrix, step, change, sy):
        image = matmul(matrix, change)
        matrix = matrix - jnp.outer(image, image) / (change @ image)
        return matrix + jnp.outer(step, step) / sy

    return _dense(with_pair, scale_first)


def _dense(with_pair: Callable[..., jax.Array], scale_first: bool) -> Body:
    """The body that keeps a dense inverse Hessian.

    ``with_pair(matrix, step, change, sy)`` gives the next matrix from the last and a new pair.
    """

    def rule(g, s, p, grad, dtypes, value=None):
        refuse_shards(g)
        pair, point = next_pair(s, g, p, grad)
        in_place = lambda tree: to_vector(_with_zeros(tree, dtypes[1]))
        step, _ = in_place(pair.step)
        change, _ = in_place(pair.change)
        vector, to_tree = in_place(g)
        # a pair that is left out must not divide by zero
        safe = lambda x: jnp.where(pair.is_good, x, jnp.ones_like(x))
        step, change, sy, yy = map(safe, (step, change, pair.sy, pair.yy))
        start = sy / yy * jnp.eye(vector.size, dtype=vector.dtype)
        last = jnp.where(s["pairs"] > 0, s["inverse_hessian"], start)
        updated = with_pair(last, step, change, sy)
        matrix = jnp.where(pair.is_good, updated, s["inverse_hessian"])
        pairs = jnp.where(pair.is_good, increment(s["pairs"]), s["pairs"])
        factor = first_scale(g, p, value, scale_first)
        multiplied = jnp.where(pairs > 0, matmul(matrix, vector), factor * vector)
        direction = map_leaves(lambda g, d: d, g, to_tree(multiplied))
        direction, is_downhill = downhill_or_gradient(direction, g, factor)
        is_lost = ~is_downhill & has_direction(g)
        matrix = jnp.where(is_lost, jnp.zeros_like(matrix), matrix)
        pairs = jnp.where(is_lost, jnp.zeros_like(pairs), pairs)
        return direction, point | {"inverse_hessian": matrix, "pairs": pairs}

    square = of_tree(lambda params: (flat_size(params), flat_size(params)))
    return treewise(rule, **POINT, pairs=counter, inverse_hessian=square)


def _with_zeros(tree: Updates, params: Params) -> Updates:
    """Zeros for parameters that have no gradient this time.

    Their places in the matrix stay theirs.
    """
    zeros = lambda x: jnp.zeros(x.shape, compute_dtype(x.dtype))
    leaves, treedef = flatten(params)
    pairs = zip(leaves, flatten_like(treedef, tree), strict=True)
    filled = [zeros(x) if own is None and x is not None else own for x, own in pairs]
    return treedef.unflatten(filled)


@recipe
@with_roles("step")
def bfgs(line_search: GradientTransformation | None = None) -> GradientTransformation:
    """BFGS: a dense quasi-Newton direction, then a line search.

    It is Newton's direction with one dense matrix from all steps and changes of the gradient.

    For some thousand parameters at most; ``lbfgs`` does with a few arrays. ``update`` needs the
    loss, ``value_fn=``, unless ``line_search`` is a fixed rate.

    Args:
        line_search: see ``lbfgs``.

    Source: Fletcher, "A New Approach to Variable Metric Algorithms", 1970,
    https://doi.org/10.1093/comjnl/13.3.317; and see ``scale_by_bfgs``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), bfgs())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    return with_line_search(scale_by_bfgs(), line_search)


@recipe
@with_roles("step")
def dfp(line_search: GradientTransformation | None = None) -> GradientTransformation:
    """DFP: as ``bfgs``, with the older formula for the matrix.

    It is the method of Davidon, Fletcher & Powell.

    It needs a line search that is more exact than ``bfgs`` does, hence another default.

    Args:
        line_search: follows the direction; ``strong_wolfe(c2=0.1)`` by default.

    Source: Fletcher & Powell, "A Rapidly Convergent Descent Method for Minimization", 1963,
    https://doi.org/10.1093/comjnl/6.2.163

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), dfp())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    line_search = strong_wolfe(c2=0.1) if line_search is None else line_search
    return with_line_search(scale_by_dfp(), line_search)
