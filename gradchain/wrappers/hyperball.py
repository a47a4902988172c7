"""Steps on spheres: weights whose norms stay."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.facts import slots_like_parameters
from gradchain.core.ranges import Hyper, StaticInt
from gradchain.core.slots import Slot, shaped
from gradchain.core.stage import Body
from gradchain.core.stored import stored_like, values_of
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Shape, State
from gradchain.core.walk import is_optimizer
from gradchain.numerics.lengths import bringing
from gradchain.numerics.spheres import after_step, length_over, tangent
from gradchain.tree.mapping import map_leaves


@transform(roles="step final")
def hyperball(
    inner: GradientTransformation | Pair,
    learning_rate: Hyper = 0.02,
    axis: StaticInt | tuple[StaticInt, ...] | None = None,
) -> Body:
    r"""Steps of a relative length, at a norm that stays.

    .. math::
        q = p - \eta R \frac{d}{\lVert d \rVert}, \quad p \leftarrow R \frac{q}{\lVert q \rVert}

    Here :math:`d` is the direction of ``inner`` and :math:`R` the norm of the parameter at the
    start. The rate says by which angle a weight turns, whatever its size, and no weight decay is
    needed: a rate that suits is :math:`\sqrt{\eta \lambda}` of a tuned optimizer with the rate
    :math:`\eta` and the decay :math:`\lambda`. A parameter that starts at zero has no radius:
    its update is :math:`-\eta d`.

    Args:
        inner: a direction, ``scale_by_muon()`` or ``scale_by_adam()``; of a whole optimizer only
            the direction counts.
        learning_rate: the length :math:`\eta` of a step relative to :math:`R`, or its schedule.
        axis: the dimensions of one point, an int or a tuple: with ``(-2, -1)`` each matrix of a
            stack has a norm of its own, with -1 each row of an embedding. By default a leaf is one
            point.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Wen et al., "Fantastic Pretraining Optimizers and Where to Find Them II: Hyperball
    Optimization", 2025, https://whenwen.github.io/wd_blog/public/hyperball-part-1.html

    Example:
        >>> import gradchain as gc
        >>> tx, params = hyperball(gc.scale_by_adam(), 0.1), jnp.array([[3.0, 4.0]])
        >>> params, _ = tx.step(jnp.array([[1.0, -1.0]]), tx.init(params), params)
        >>> print(params.round(2), gc.numerics.norm(params))
        [[2.6  4.27]] 5.0
    """
    uphill = -1.0 if is_optimizer(inner) else 1.0

    def step(u, p, radius):
        rate = -uphill * learning_rate
        relative = bringing(
            length_over(u, axis),
            rate * radius,
        ).times(u)
        return _kept(
            jnp.where(radius == 0, rate * u, relative),
            p,
            radius,
            axis,
        )

    def rule(g, s, p, inner):
        u, new = inner(g, s["inner"], p)
        return map_leaves(step, u, p, s["radius"]), {"radius": s["radius"], "inner": new}

    locality = "leaf" if axis is None else "matrix"
    return around(rule, locality, inner=inner, radius=_radius(axis))


@transform(roles="step final")
def on_sphere(
    inner: GradientTransformation | Pair,
    learning_rate: Hyper,
    axis: StaticInt | tuple[StaticInt, ...] | None = None,
) -> Body:
    r"""Optimize on the sphere of the initial norm.

    .. math::
        T_p(x) = x - \hat p \langle \hat p, x \rangle, \quad d = \mathrm{inner}(T_p(g); T_p(m)),
        \quad p \leftarrow R \frac{p - \eta d}{\lVert p - \eta d \rVert}

    ``inner`` sees the gradient along the sphere. Its momentum :math:`m` is transported there from
    step to step: every slot that is like a gradient is made tangent, not second moments. Those of
    foreign pairs stay as they are. A parameter that starts at zero has no radius: it moves freely.

    Args:
        inner: a direction, for example ``scale_by_adam()``, or a whole optimizer.
        learning_rate: the rate :math:`\eta`, or its schedule; it multiplies the updates of a whole
            optimizer too.
        axis: the dimensions of one point; see ``hyperball``. With 0 the columns of a kernel keep
            their norms, the oblique manifold.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Becigneul & Ganea, "Riemannian Adaptive Optimization Methods", 2019,
    https://arxiv.org/abs/1810.00760

    Example:
        >>> import gradchain as gc
        >>> tx, params = on_sphere(gc.add_momentum(0.9), 0.1), jnp.array([3.0, 4.0])
        >>> params, _ = tx.step(jnp.array([3.0, 4.0]), tx.init(params), params)
        >>> print(params)
        [3. 4.]
    """
    uphill = -1.0 if is_optimizer(inner) else 1.0
    moments = [
        path for path, slot in slots_like_parameters(inner.facts) if not (slot.real or slot.copy)
    ]

    def along(x, p, radius):
        # A hole has no direction, and what is no moment is refused by the member that it is of.
        if p is None or x.shape != p.shape or x.dtype != p.dtype:
            return x
        return jnp.where(
            radius == 0,
            x,
            tangent(x, p, axis),
        )

    def rule(g, s, p, inner):
        flat = lambda tree: map_leaves(along, tree, p, s["radius"])
        kept_flat = lambda tree: stored_like(tree, flat(values_of(tree)))
        state = s["inner"]
        for path in moments:
            state = _changed(state, path, kept_flat)
        u, new = inner(flat(g), state, p)
        step = lambda u, p, r: _kept(
            -uphill * learning_rate * u,
            p,
            r,
            axis,
        )
        return map_leaves(step, u, p, s["radius"]), {"radius": s["radius"], "inner": new}

    locality = "leaf" if axis is None else "matrix"
    return around(rule, locality, inner=inner, radius=_radius(axis))


def _kept(
    step: jax.Array,
    p: jax.Array,
    radius: jax.Array,
    axis: int | tuple[int, ...] | None,
) -> jax.Array:
    """A step, pulled back to the radius."""
    change, direction = after_step(p, step, axis)
    drift = radius - length_over(p, axis).number
    return jnp.where(
        radius == 0,
        step,
        step + (drift - change) * direction,
    )


def _radius(axis: int | tuple[int, ...] | None) -> Slot:
    """The norm of each point at the start."""

    def shape_of(shape: Shape) -> Shape:
        if axis is None:
            return ()
        given = (axis,) if isinstance(axis, int) else axis
        if not all(-len(shape) <= d < len(shape) for d in given):
            cause = f"a parameter of shape {list(shape)} has no such dimension"
            raise ValueError(f"axis={axis}: {cause}; choose leaves with groups or partition.")
        dims = {d % len(shape) for d in given}
        return tuple(1 if d in dims else n for d, n in enumerate(shape))

    start = lambda x: length_over(x, axis).number
    return shaped(shape_of)(real=True, start=start)


def _changed(state: State, path: tuple[str, ...], function: Callable[..., State]) -> State:
    """A state with one part replaced."""
    if not path:
        return function(state)
    return state | {
        path[0]: _changed(
            state[path[0]],
            path[1:],
            function,
        )
    }
