"""Scaling by constants and schedules, the identity, and plain functions."""

from __future__ import annotations

from collections.abc import Callable

import jax

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Hyper
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.trees import treewise
from gradchain.core.types import Params, Updates


@transform(roles="harmless")
def identity() -> Body:
    """Leave the updates as they are.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = identity()
        >>> print(tx.update(jnp.array([1.0, 2.0]), tx.init(jnp.zeros(2)))[0])
        [1. 2.]
    """
    return elementwise(lambda g: g)


@transform
def scale(step_size: Hyper) -> Body:
    r"""Multiply the updates by a number: :math:`u = c\,g`.

    Args:
        step_size: the factor :math:`c`, of either sign.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale(-0.5)
        >>> print(tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))[0])
        [-1.]
    """
    return elementwise(lambda g: step_size * g)


@transform
def scale_by_schedule(step_size_fn: Hyper) -> Body:
    r"""Multiply the updates by a function of the step: :math:`u = c(t)\,g`.

    Here :math:`t` is the number of completed updates.

    Args:
        step_size_fn: the schedule :math:`c`; a number is a constant schedule.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_schedule(lambda step: jnp.where(step < 10, -1.0, -0.1))
        >>> print(tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))[0])
        [-2.]
    """
    return elementwise(_scaled(step_size_fn))


@transform(roles="step")
def scale_by_learning_rate(learning_rate: Hyper) -> Body:
    r"""Turn a direction into a step downhill: :math:`u = -\eta_t\,g`.

    The last member of an optimizer. It keeps the step also for a constant rate, so that a schedule
    can take the place of the constant without a change of the state.

    Args:
        learning_rate: the rate :math:`\eta`, positive, in parameter units per unit of direction; or
            its schedule.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_learning_rate(0.1)
        >>> print(tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))[0])
        [-0.2]
    """
    return elementwise(_scaled(-learning_rate))


def _scaled(factor: float | jax.Array) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return lambda g, t: factor * g  # names t, so that the step is kept for any factor


@transform
def stateless(fn: Callable[[Updates, Params | None], Updates]) -> Body:
    """Make a transformation of a function without a state.

    Args:
        fn: ``fn(updates, params) -> updates`` on whole trees; ``params`` is ``None`` where
            ``update`` is given none.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> double = stateless(lambda updates, params: jax.tree.map(lambda g: 2 * g, updates))
        >>> print(double.update(jnp.array([2.0]), double.init(jnp.zeros(1)))[0])
        [4.]
    """
    body = treewise(lambda g, p=None: fn(g, p))
    body.is_opaque = True
    return body
