"""Constraints: after each step, project the parameters onto a set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeAlias, overload

import jax
import jax.numpy as jnp

from gradchain import projections
from gradchain.core.call import Call
from gradchain.core.factory import decorator
from gradchain.core.lift import leafwise
from gradchain.core.ranges import Finite, Hyper, Limit, NonNegative, StaticInt
from gradchain.core.schedule import Schedule, Step
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.types import Numeric, Tree, Where
from gradchain.numerics.arithmetic import real_dtype
from gradchain.projections import WHOLE, Along, Whole

Over: TypeAlias = Along | Whole
"""The reductions over one point."""

#: The role of maps of whole arrays.
_WHOLE = "whole"


class PointMap(Call):
    """A map of points that remembers how it was made."""

    __slots__ = ()

    @property
    def scheduled(self) -> list[str]:
        """The names of the arguments that are schedules."""
        return [
            k for k, v in self.arguments.items() if callable(v) and self.factory.kinds[k].is_hyper
        ]

    def at(self, step: Numeric) -> Self:
        """The same map with schedules evaluated after ``step`` updates."""
        kinds, own, exact = self.factory.kinds, self.factory.name, Step.of(step)
        step_for = lambda function: exact if isinstance(function, Schedule) else exact.value
        at = lambda k, v: kinds[k].at(f"{own}: {k}", v, step_for(v))
        numbers = {k: at(k, self.arguments[k]) for k in self.scheduled}
        return self.of(self.factory, self.arguments | numbers, self.name)

    def on(self, x: jax.Array, *coming: Any) -> jax.Array:
        """The image of ``x``, computed in the precision of ``x``."""

        def cast(n):
            return n.astype(real_dtype(x.dtype)) if isinstance(n, jax.Array) else n

        held = {k: self.factory.kinds[k].held(v) for k, v in self.arguments.items()}
        return self.factory.call(jax.tree.map(cast, held), x, *coming)


class Constraint(PointMap):
    """The projection onto a set: ``constraint(x)`` is the nearest point."""

    tag = "@constraint"
    __slots__ = ()

    def __call__(self, x: jax.Array, over: Over = WHOLE) -> jax.Array:
        """The nearest point to ``x``.

        ``over`` says which dimensions form one point; see ``gradchain.projections``.
        """
        return self.on(x, over)


@overload
def constraint(function: Callable[..., jax.Array]) -> Callable[..., Constraint]: ...


@overload
def constraint(
    *, whole: bool
) -> Callable[[Callable[..., jax.Array]], Callable[..., Constraint]]: ...


def constraint(
    function: Callable[..., jax.Array] | None = None,
    *,
    whole: bool = False,
) -> Callable[..., Any]:
    """Make a factory of constraints from a projection.

    The projection is a function of an array and of ``over``, whose ``sum`` and ``max`` reduce over
    one point; see ``gradchain.projections``.

    Args:
        function: the projection; without it, ``constraint(whole=True)`` is the decorator.
        whole: whether it mixes the elements of an array in other ways than by ``over``, as
            singular values do. Such an array is not split over devices.

    Example:
        >>> import gradchain as gc
        >>> @gc.constraints.constraint
        ... def zero_mean(x, over):
        ...     return x - over.sum(x) / over.sum(jnp.ones_like(x))
        >>> print(zero_mean()(jnp.array([1.0, 2.0])))
        [-0.5  0.5]
    """
    return of_point_maps(Constraint, 2, function, whole)


def of_point_maps(
    kind: type[PointMap],
    coming: int,
    function: Callable[..., jax.Array] | None,
    whole: bool,
) -> Callable[..., Any]:
    """The factory of a function, or the decorator of one."""
    decorate = decorator(kind, coming=coming, roles=frozenset({_WHOLE} if whole else ()))
    return decorate if function is None else decorate(function)


@transform(roles="final")
def project(
    constraint: Constraint | Callable[[jax.Array], jax.Array],
    where: Where | None = None,
    axis: StaticInt | tuple[StaticInt, ...] | None = None,
) -> Body:
    r"""Project the parameters onto a set after each step.

    .. math::
        u = \mathrm{proj}(p + g) - p

    It is the last member of a chain. An element that the projection does not move keeps its update
    to the last bit.

    Args:
        constraint: the set: ``non_negative()``, ``box(...)``, ``simplex()``, ``l1_ball()``,
            ``l2_ball()``, ``l2_sphere()``, ``linf_ball()``, ``spectral_ball()``, ``stiefel()``,
            ``hyperplane(...)``, ``halfspace(...)``, one made with ``@constraint``, or a plain
            function of an array. Its numbers may be schedules.
        where: the leaves that it is for: a glob on paths, ``f(path, leaf) -> bool``, or a tree of
            bools.
        axis: the dimensions of one point, an int or a tuple: with -1 each row of a matrix is a
            point on its own. By default a leaf is one point.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Goldstein, "Convex programming in Hilbert space", 1964,
    https://doi.org/10.1090/S0002-9904-1964-11178-2

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(gc.sgd(1.0), gc.project(gc.constraints.non_negative()))
        >>> params = jnp.array([1.0, 1.0])
        >>> params, _ = tx.step(jnp.array([0.5, 3.0]), tx.init(params), params)
        >>> print(params)
        [0.5 0. ]
    """
    if isinstance(constraint, PointMap) and not isinstance(constraint, Constraint):
        raise TypeError(f"project: a constraint is not a penalty like {constraint!r}; see prox.")
    apply = lambda constraint, x, over: constraint(x, over)
    return moved_by(apply, constraint, where, axis)


def moved_by(
    apply: Callable[[Any, jax.Array, Over], jax.Array],
    point_map: PointMap | Callable[[jax.Array], jax.Array],
    where: Where | None,
    axis: int | tuple[int, ...] | None,
) -> Body:
    """Move the parameters after a step by ``apply(point_map, x, over)``."""

    def rule(point_map: Any, g: jax.Array, p: jax.Array) -> jax.Array:
        moved = apply(point_map, p + g, WHOLE if axis is None else Along(axis))
        return jnp.where(moved == p + g, g, moved - p)

    if not isinstance(point_map, PointMap):
        plain = lambda x, over: point_map(x)
        return leafwise(lambda g, p: rule(plain, g, p), where, whole=True)
    whole = axis is not None or _WHOLE in point_map.factory.roles
    if point_map.scheduled:
        return leafwise(
            lambda g, p, count: rule(point_map.at(count), g, p),
            where,
            whole=whole,
        )
    return leafwise(lambda g, p: rule(point_map, g, p), where, whole=whole)


@constraint
def non_negative(x: jax.Array, over: Over) -> jax.Array:
    r"""The set :math:`x_i \ge 0`.

    ``project(non_negative())`` keeps parameters from becoming negative.

    Example:
        >>> print(non_negative()(jnp.array([-1.0, 2.0])))
        [0. 2.]
    """
    return projections.projection_non_negative(x)


@constraint
def box(
    x: jax.Array,
    over: Over,
    lower: Annotated[Hyper, "[-inf, inf)"] = -math.inf,
    upper: Annotated[Hyper, "(-inf, inf]"] = math.inf,
) -> jax.Array:
    r"""The set :math:`a \le x_i \le b`.

    Args:
        lower: the bound :math:`a`.
        upper: the bound :math:`b`.

    Example:
        >>> print(box(upper=1.0)(jnp.array([-1.0, 2.0])))
        [-1.  1.]
    """
    return projections.projection_box(x, lower, upper)


@constraint
def simplex(x: jax.Array, over: Over, scale: NonNegative = 1.0) -> jax.Array:
    r"""The set :math:`x_i \ge 0, \sum_i x_i = s`.

    Args:
        scale: the sum :math:`s`.

    Example:
        >>> print(simplex()(jnp.array([1.0, 0.5, -1.0])))
        [0.75 0.25 0.  ]
    """
    return projections.projection_simplex(x, scale, over=over)


@constraint
def l1_ball(x: jax.Array, over: Over, scale: Limit = 1.0) -> jax.Array:
    r"""The set :math:`\sum_i |x_i| \le s`.

    Args:
        scale: the radius :math:`s`.

    Example:
        >>> print(l1_ball()(jnp.array([1.0, -0.5])))
        [ 0.75 -0.25]
    """
    return projections.projection_l1_ball(x, scale, over=over)


@constraint
def l2_ball(x: jax.Array, over: Over, scale: Limit = 1.0) -> jax.Array:
    r"""The set :math:`\lVert x \rVert \le s`.

    With ``axis=0``, for each column of a kernel, it is the max-norm constraint.

    Args:
        scale: the radius :math:`s`.

    Example:
        >>> print(l2_ball()(jnp.array([3.0, 4.0])))
        [0.6 0.8]
    """
    return projections.projection_l2_ball(x, scale, over=over)


@constraint
def l2_sphere(x: jax.Array, over: Over, scale: NonNegative = 1.0) -> jax.Array:
    r"""The set :math:`\lVert x \rVert = s`.

    With ``axis=0`` each column of a kernel has this norm.

    Args:
        scale: the radius :math:`s`.

    Example:
        >>> print(l2_sphere(10.0)(jnp.array([3.0, 4.0])))
        [6. 8.]
    """
    return projections.projection_l2_sphere(x, scale, over=over)


@constraint
def linf_ball(x: jax.Array, over: Over, scale: Limit = 1.0) -> jax.Array:
    r"""The set :math:`|x_i| \le s`.

    Args:
        scale: the radius :math:`s`.

    Example:
        >>> print(linf_ball()(jnp.array([3.0, -0.5])))
        [ 1.  -0.5]
    """
    return projections.projection_linf_ball(x, scale)


@constraint(whole=True)
def spectral_ball(x: jax.Array, over: Over, scale: Limit = 1.0) -> jax.Array:
    r"""The matrices with singular values of at most :math:`s`.

    Matrices are the last two dimensions.

    Args:
        scale: the radius :math:`s`.

    Example:
        >>> print(spectral_ball()(jnp.array([[3.0, 0.0], [0.0, 0.5]])).round(3))
        [[1.  0. ]
         [0.  0.5]]
    """
    return projections.projection_spectral_ball(x, scale)


@constraint(whole=True)
def stiefel(x: jax.Array, over: Over) -> jax.Array:
    r"""The matrices with orthonormal columns, wide ones with rows.

    Matrices are the last two dimensions. ``l2_sphere(1.0)`` with ``axis=0``, columns of norm 1 that
    need not be orthogonal, is the oblique manifold.

    Example:
        >>> print(stiefel()(jnp.array([[0.0, 3.0], [0.5, 0.0]])).round(3))
        [[0. 1.]
         [1. 0.]]
    """
    return projections.projection_stiefel(x)


@constraint
def hyperplane(
    x: jax.Array, over: Over, a: Annotated[Tree, "(-inf, inf)"] = 1.0, b: Finite = 0.0
) -> jax.Array:
    r"""The set :math:`\langle a, x \rangle = b`.

    Args:
        a: the normal: a number for all elements, or an array or nested tuples in the shape of the
            last dimensions.
        b: the number :math:`b`.

    Example:
        >>> print(hyperplane()(jnp.array([1.0, 2.0])))
        [-0.5  0.5]
    """
    return projections.projection_hyperplane(x, _normal(a, x), b, over=over)


@constraint
def halfspace(
    x: jax.Array, over: Over, a: Annotated[Tree, "(-inf, inf)"] = 1.0, b: Finite = 0.0
) -> jax.Array:
    r"""The set :math:`\langle a, x \rangle \le b`; arguments as for ``hyperplane``.

    Example:
        >>> print(halfspace(b=4.0)(jnp.array([1.0, 2.0])))
        [1. 2.]
    """
    return projections.projection_halfspace(x, _normal(a, x), b, over=over)


def _normal(a: Tree, x: jax.Array) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(a).astype(x.dtype), x.shape)
