"""Penalties with corners, taken into account by their proximal operators.

After each step the parameters go to the point where step and penalty balance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper, NonNegative, StaticInt
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.types import Numeric, Where
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.lengths import length_of
from gradchain.projections import WHOLE, on_singular_values
from gradchain.transforms.constraints import Over, PointMap, moved_by, of_point_maps


class Penalty(PointMap):
    r"""The proximal operator of a penalty :math:`r`.

    ``penalty(x, step)`` is :math:`\mathrm{prox}_{\eta r}(x)` for a step of length :math:`\eta`.
    """

    tag = "@penalty"
    __slots__ = ()

    def __call__(
        self,
        x: jax.Array,
        step: Numeric = 1.0,
        over: Over = WHOLE,
    ) -> jax.Array:
        """The proximal point of ``x`` for a given step length.

        ``over`` is as for a ``Constraint``.
        """
        return self.on(x, step, over)


@overload
def penalty(function: Callable[..., jax.Array]) -> Callable[..., Penalty]: ...


@overload
def penalty(*, whole: bool) -> Callable[[Callable[..., jax.Array]], Callable[..., Penalty]]: ...


def penalty(
    function: Callable[..., jax.Array] | None = None,
    *,
    whole: bool = False,
) -> Callable[..., Any]:
    """Make a factory of penalties from a proximal operator.

    That is a function of an array, of the length of the step, and of ``over``; these and ``whole``
    are as for ``constraint``.
    """
    return of_point_maps(Penalty, 3, function, whole)


@transform(roles="final")
def prox(
    penalty: Penalty,
    learning_rate: Hyper,
    where: Where | None = None,
    axis: StaticInt | tuple[StaticInt, ...] | None = None,
) -> Body:
    r"""Proximal gradient step for a penalty :math:`r` of the parameters.

    .. math::
        u = \mathrm{prox}_{\eta r}(p + g) - p, \quad
        \mathrm{prox}_{\eta r}(x) = \arg\min_y \tfrac12 \lVert x - y \rVert^2 + \eta\, r(y)

    It is the last member of a chain. It makes elements exactly zero where the penalty has a corner
    there.

    Args:
        penalty: ``l1(...)``, ``squared_l2(...)``, ``elastic_net(...)``, ``group_lasso(...)``,
            ``nuclear_norm(...)``, or one made with ``@penalty``. Its numbers may be schedules.
        learning_rate: the rate :math:`\eta` of the chain before, or its schedule.
        where: the leaves that it is for: a glob on paths, ``f(path, leaf) -> bool``, or a tree of
            bools.
        axis: the dimensions of one group or point; see ``project``.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Combettes & Wajs, "Signal Recovery by Proximal Forward-Backward Splitting", 2005,
    https://doi.org/10.1137/050626090

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(gc.sgd(0.5), gc.prox(gc.penalties.l1(1.0), 0.5))
        >>> params = jnp.array([2.0, 0.25])
        >>> params, _ = tx.step(jnp.array([1.0, 0.0]), tx.init(params), params)
        >>> print(params)
        [1. 0.]
    """
    if not isinstance(penalty, Penalty):
        raise TypeError(
            f"prox: penalty must be one, such as l1(0.01) or what @penalty makes, not {penalty!r}."
        )
    apply = lambda penalty, x, over: penalty(x, learning_rate, over)
    return moved_by(apply, penalty, where, axis)


@penalty
def l1(x: jax.Array, step: Numeric, over: Over, strength: NonNegative) -> jax.Array:
    r"""The penalty :math:`\lambda \sum_i |x_i|`, which makes single elements zero.

    Args:
        strength: the factor :math:`\lambda`.

    Source: Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996,
    https://doi.org/10.1111/j.2517-6161.1996.tb02080.x

    Example:
        >>> print(l1(1.0)(jnp.array([3.0, -0.5])))
        [ 2. -0.]
    """
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - step * strength, 0)


@penalty
def squared_l2(
    x: jax.Array,
    step: Numeric,
    over: Over,
    strength: NonNegative,
) -> jax.Array:
    r"""The penalty :math:`\tfrac{\lambda}{2} \lVert x \rVert^2`.

    It is weight decay that no step length makes unstable.

    Args:
        strength: the factor :math:`\lambda`.

    Example:
        >>> print(squared_l2(1.0)(jnp.array([3.0])))
        [1.5]
    """
    return x / (1 + step * strength)


@penalty
def elastic_net(
    x: jax.Array,
    step: Numeric,
    over: Over,
    l1: NonNegative,
    l2: NonNegative,
) -> jax.Array:
    r"""The penalty :math:`\lambda_1 \sum_i |x_i| + \tfrac{\lambda_2}{2} \lVert x \rVert^2`.

    Args:
        l1: the factor :math:`\lambda_1`.
        l2: the factor :math:`\lambda_2`.

    Source: Zou & Hastie, "Regularization and Variable Selection via the Elastic Net", 2005,
    https://doi.org/10.1111/j.1467-9868.2005.00503.x

    Example:
        >>> print(elastic_net(1.0, 1.0)(jnp.array([3.0])))
        [1.]
    """
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - step * l1, 0) / (1 + step * l2)


@penalty
def group_lasso(
    x: jax.Array,
    step: Numeric,
    over: Over,
    strength: NonNegative,
) -> jax.Array:
    r"""The penalty :math:`\lambda \lVert x \rVert`, which makes whole leaves zero.

    With ``axis`` it makes whole slices zero.

    Args:
        strength: the factor :math:`\lambda`.

    Source: Yuan & Lin, "Model Selection and Estimation in Regression with Grouped Variables", 2006,
    https://doi.org/10.1111/j.1467-9868.2005.00532.x

    Example:
        >>> print(group_lasso(2.5)(jnp.array([3.0, 4.0])))
        [1.5 2. ]
    """
    length = length_of(x, over.sum)
    left = jnp.maximum(length.value - step * strength / length.unit, 0)
    return x * safe_divide(left, length.value)


@penalty(whole=True)
def nuclear_norm(
    x: jax.Array,
    step: Numeric,
    over: Over,
    strength: NonNegative,
) -> jax.Array:
    r"""The penalty :math:`\lambda \sum_i \sigma_i(x)` on singular values.

    It lowers the ranks of matrices.

    Args:
        strength: the factor :math:`\lambda`.

    Source: Cai, Candes & Shen, "A Singular Value Thresholding Algorithm for Matrix Completion",
    2010, https://doi.org/10.1137/080738970

    Example:
        >>> print(nuclear_norm(1.0)(jnp.array([[3.0, 0.0], [0.0, 0.5]])).round(3))
        [[2. 0.]
         [0. 0.]]
    """
    shrunk = lambda values: jnp.maximum(values - step * strength, 0)
    return on_singular_values(shrunk, x)
