"""Sharpness-aware minimization: use the gradient at a point uphill.

These wrappers evaluate the loss a second time. They are given it as ``value_fn=``, a function of
the parameters that closes over the batch: ``tx.update(grads, state, params, value_fn=lambda params:
loss(params, batch))``. It is called with parameters in float32 at least, and with ``None`` where a
gradient is ``None``. Parameters that are frozen, or in another group, stay where they are.

For complex parameters ``jax.grad`` gives the conjugate of the direction uphill. Gradients that are
given to ``update`` are conjugated already, as for every other transformation; that of ``value_fn``
these wrappers conjugate themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.ranges import NonNegative, PositiveInt
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair, Params, Tree, Updates
from gradchain.numerics.counting import remainder
from gradchain.numerics.lengths import Length, bringing
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import dot, tree_length


def _uphill(
    value_fn: Callable[[Params], jax.Array],
    p: Params,
    step: Updates,
) -> Updates:
    """The gradient at ``p + step``."""
    grads = jax.grad(value_fn)(map_leaves(lambda p, e: p + e, p, step))
    return map_leaves(jnp.conj, grads)


def _of_length(tree: Tree, length: Numeric | Length) -> Tree:
    """``tree`` scaled to a norm; zero stays zero."""
    return map_leaves(bringing(tree_length(tree), length).times, tree)


@transform
def sam(inner: GradientTransformation | Pair, rho: NonNegative = 0.05) -> Body:
    r"""Descend along the gradient of the worst nearby point (SAM).

    .. math::
        \epsilon = \rho \frac{g}{\lVert g \rVert}, \quad \hat g = \nabla f(p + \epsilon)

    The norm is over all leaves. ``update`` needs the loss, ``value_fn=``; see
    ``gradchain.wrappers.sharpness``.

    Args:
        inner: a whole optimizer or a direction, which gets :math:`\hat g`.
        rho: the radius :math:`\rho`, in units of the parameters.

    Source: Foret, Kleiner, Mobahi & Neyshabur, "Sharpness-Aware Minimization for Efficiently
    Improving Generalization", 2021, https://arxiv.org/abs/2010.01412

    Example:
        >>> import gradchain as gc
        >>> tx, params = sam(gc.sgd(0.1), rho=0.5), jnp.array([1.0])
        >>> value_fn = lambda params: jnp.sum(params**2)
        >>> grads = jax.grad(value_fn)(params)
        >>> print(tx.update(grads, tx.init(params), params, value_fn=value_fn)[0])
        [-0.3]
    """

    def rule(g, s, p, value_fn, inner):
        u, new = inner(_uphill(value_fn, p, _of_length(g, rho)), s["inner"], p)
        return u, {"inner": new}

    return around(rule, inner=inner)


@transform
def asam(
    inner: GradientTransformation | Pair,
    rho: NonNegative = 0.5,
    eta: NonNegative = 0.01,
) -> Body:
    r"""``sam`` in a neighbourhood relative to each parameter (ASAM).

    .. math::
        T = |p| + \eta, \quad \epsilon = \rho \frac{T^2 g}{\lVert T g \rVert}, \quad \hat g = \nabla
        f(p + \epsilon)

    Args:
        inner: a whole optimizer or a direction, which gets :math:`\hat g`.
        rho: the radius :math:`\rho`, without units: it is relative to the parameters.
        eta: :math:`\eta`, in units of the parameters, keeps the neighbourhood of a zero open.

    Source: Kwon, Kim, Park & Choi, "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant
    Learning of Deep Neural Networks", 2021, https://arxiv.org/abs/2102.11600

    Example:
        >>> import gradchain as gc
        >>> tx, params = asam(gc.sgd(0.1), rho=0.5, eta=0.0), jnp.array([2.0])
        >>> value_fn = lambda params: jnp.sum(params**2)
        >>> grads = jax.grad(value_fn)(params)
        >>> print(tx.update(grads, tx.init(params), params, value_fn=value_fn)[0])
        [-0.6]
    """

    def rule(g, s, p, value_fn, inner):
        stretch = lambda x, p: (jnp.abs(p) + eta) * x
        # Of length 1, so that the squares of small gradients do not underflow.
        scaled = map_leaves(stretch, _of_length(g, 1.0), p)
        step = map_leaves(stretch, _of_length(scaled, rho), p)
        u, new = inner(_uphill(value_fn, p, step), s["inner"], p)
        return u, {"inner": new}

    return around(rule, inner=inner)


@transform
def looksam(
    inner: GradientTransformation | Pair,
    rho: NonNegative = 0.1,
    alpha: NonNegative = 0.7,
    every: PositiveInt = 10,
) -> Body:
    r"""``sam`` with a second gradient every few steps (LookSAM).

    At the first step and each ``every`` steps after, ``inner`` gets :math:`\hat g` of ``sam``, and
    the part of it that is orthogonal to the gradient is kept; at the other steps it is added to the
    gradient in proportion:

    .. math::
        v = \hat g - \frac{\langle g, \hat g \rangle}{\lVert g \rVert^2} g, \qquad
        \hat g = g + \alpha \frac{\lVert g \rVert}{\lVert v \rVert} v

    Norms are over all leaves.

    Args:
        inner: a whole optimizer or a direction, which gets :math:`\hat g`.
        rho: the radius :math:`\rho`, in units of the parameters.
        alpha: the weight :math:`\alpha` of the part that is reused.
        every: how many steps from one second gradient to the next.

    Raises:
        ValueError: if ``every`` is less than 1.

    Source: Liu, Mai, Chen, Hsieh & You, "Towards Efficient and Scalable Sharpness-Aware
    Minimization", 2022, https://arxiv.org/abs/2203.02714

    Example:
        >>> import gradchain as gc
        >>> tx, params = looksam(gc.sgd(0.1), rho=0.5, every=2), jnp.array([1.0, 0.0])
        >>> value_fn = lambda params: params[0] ** 2 + params[0] * params[1]
        >>> state, grads = tx.init(params), jax.grad(value_fn)(params)
        >>> for _ in range(2):
        ...     updates, state = tx.update(grads, state, params, value_fn=value_fn)
        >>> print(updates.round(3))
        [-0.27  0.04]
    """

    def rule(g, s, p, count, value_fn, inner):
        def look():
            ascent = _uphill(value_fn, p, _of_length(g, rho))
            unit = _of_length(g, 1.0)
            along = dot(unit, ascent)
            return ascent, map_leaves(lambda a, n: a - along * n, ascent, unit)

        def reuse():
            sideways = _of_length(s["sideways"], tree_length(g).times(alpha))
            return map_leaves(lambda g, v: g + v, g, sideways), s["sideways"]

        is_due = remainder(count, every) == 0
        ascent, sideways = jax.lax.cond(is_due, look, reuse)
        u, new = inner(ascent, s["inner"], p)
        return u, {"sideways": sideways, "inner": new}

    return around(rule, inner=inner, sideways=like_param)
