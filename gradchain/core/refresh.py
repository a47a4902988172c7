"""Policies: when to compute costly factors anew.

The factors of a preconditioner cost more than a step, and change slowly. A policy says in which
steps, and of which matrices, they are found again; in all other steps nothing of that is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradchain.core.call import Call
from gradchain.core.factory import decorator
from gradchain.core.ranges import Fraction, Limit, NonNegativeInt, Positive, PositiveInt
from gradchain.core.types import Tree
from gradchain.numerics.counting import remainder

Parts: TypeAlias = dict[str, jax.Array]
"""Arrays by name, each with a first dimension that counts matrices."""

Trees: TypeAlias = dict[str, Tree]
"""Trees by name."""

ONE = np.zeros(1, np.int32)


class Refresh(Call):
    """A policy that remembers how it was made."""

    tag = "@refresh"
    __slots__ = ()

    @property
    def staggered(self) -> bool:
        """Whether each matrix has its own turn."""
        return bool(self.arguments.get("staggered", True))

    def due(
        self, count: jax.Array, place: np.ndarray, stale: Callable[[], jax.Array]
    ) -> jax.Array:
        """Which matrices are due, or whether all are.

        Args:
            count: the updates before this one.
            place: the number of each matrix among all.
            stale: a function that measures how stale each matrix is.
        """
        return self.factory.call(
            self.arguments,
            count,
            place,
            stale,
        )

    def apply(
        self,
        fresh: Callable[[Parts], Parts],
        parts: Parts,
        old: Parts,
        count: jax.Array,
        place: np.ndarray,
        stale: Callable[[], jax.Array] | None = None,
    ) -> Parts:
        """Compute ``fresh(parts)`` of the matrices that are due.

        The others stay ``old``.

        At the first update all are due. Nothing of ``fresh`` is computed for those that are not;
        derivatives take the result for a constant.

        Args:
            fresh: from parts of some matrices to what is kept of them, under the names in ``old``.
            parts: all that ``fresh`` needs.
            old: what is kept until now.
            count: the updates before this one.
            place: the number of each matrix among all, as the lift gives it.
            stale: how stale each matrix is, ``(k,)``; only ``when_stale`` asks.

        Raises:
            TypeError: if it is ``when_stale`` for a method that measures nothing.
        """
        parts, old = lax.stop_gradient((parts, old))
        is_due = self._due_or_first(count, place, stale)
        if is_due.ndim == 0:
            return _in_one_turn(fresh, parts, old, is_due)
        return _one_by_one(fresh, parts, old, is_due)

    def apply_to_trees(
        self,
        fresh: Callable[[Trees], Trees],
        parts: Trees,
        old: Trees,
        count: jax.Array,
        place: np.ndarray = ONE,
    ) -> Trees:
        """Compute ``fresh(parts)`` of whole trees, if any matrix is due.

        Otherwise it is as ``apply``. By default the trees are one matrix.
        """
        parts, old = lax.stop_gradient((parts, old))
        is_due = jnp.any(self._due_or_first(count, place))
        return _in_one_turn(fresh, parts, old, is_due)

    def _due_or_first(
        self,
        count: jax.Array,
        place: np.ndarray,
        stale: Callable[[], jax.Array] | None = None,
    ) -> jax.Array:
        """As ``due``; at the first update all are."""
        if stale is None and self.factory.name == "when_stale":
            raise TypeError(
                "refresh: this method does not measure how stale it is; use every(n)."
            )
        is_due = self.due(
            count,
            place,
            stale or (lambda: jnp.zeros(len(place))),
        )
        return is_due | (count == 0)


def at_start(
    fresh: Callable[[Parts], Parts],
    parts: Parts,
    old: Parts,
    count: jax.Array,
) -> Parts:
    """``fresh(parts)`` at the first update, and ``old`` at all others."""
    parts, old = lax.stop_gradient((parts, old))
    return _in_one_turn(fresh, parts, old, count == 0)


def _in_one_turn(
    fresh: Callable[[Trees], Trees], parts: Trees, old: Trees, is_due: jax.Array
) -> Trees:
    """All matrices together, in a loop of one turn.

    A branch would copy the state.
    """
    fresh = _constant(fresh, parts)

    def turn(carry: tuple) -> tuple:
        i, kept = carry
        zero = jnp.minimum(i, 0)  # else the compiler takes all out of the loop, for each step
        mine = jax.tree.map(
            lambda x: x + jnp.broadcast_to(zero.astype(x.dtype), x.shape),
            parts,
        )
        return i + 1, _like(fresh(mine), kept)

    start = jnp.where(is_due, 0, 1)
    return lax.while_loop(
        lambda carry: carry[0] < 1,
        turn,
        (start, old),
    )[1]


def _one_by_one(
    fresh: Callable[[Parts], Parts], parts: Parts, old: Parts, is_due: jax.Array
) -> Parts:
    """Each matrix that is due in its own turn."""
    order, number = jnp.argsort(~is_due), jnp.sum(is_due)
    fresh = _constant(fresh, {k: x[:1] for k, x in parts.items()})

    def turn(carry: tuple) -> tuple:
        i, kept = carry
        take = lambda x: lax.dynamic_slice_in_dim(x, order[i], 1)
        mine = _like(
            fresh({k: take(x) for k, x in parts.items()}), {k: take(x) for k, x in kept.items()}
        )
        put = lambda x, new: lax.dynamic_update_slice_in_dim(
            x,
            new,
            order[i],
            0,
        )
        return i + 1, {k: put(x, mine[k]) for k, x in kept.items()}

    return lax.while_loop(
        lambda carry: carry[0] < number,
        turn,
        (jnp.zeros_like(number), old),
    )[1]


def _constant(fresh: Callable[[Trees], Trees], parts: Trees) -> Callable[[Trees], Trees]:
    """The function, whose own numbers are constants to derivatives.

    Numbers of a factory are not among the parts, and a loop has no derivative for them.
    """
    pure, numbers = jax.closure_convert(fresh, parts)
    numbers = lax.stop_gradient(numbers)
    return lambda parts: pure(parts, *numbers)


def _like(new: Trees, old: Trees) -> Trees:
    """New values in the dtypes of the old."""
    return jax.tree.map(lambda x, like: x.astype(like.dtype), {k: new[k] for k in old}, old)


def refresh_policy(function: Callable[..., jax.Array]) -> Callable[..., Refresh]:
    """Make a factory of policies from a function.

    It is a function of the count, the places of matrices, and a function that measures how stale
    they are, and returns a bool for each matrix or one for all.
    """
    return decorator(Refresh, coming=3)(function)


@refresh_policy
def every(
    count: jax.Array,
    place: np.ndarray,
    stale: Callable,
    steps: PositiveInt,
    staggered: bool = False,
) -> jax.Array:
    """Each ``steps`` steps.

    Args:
        steps: the number of steps from one time to the next.
        staggered: whether matrices take turns, so that no step pays for all of them. All are
            computed at the first step.

    Example:
        >>> import gradchain as gc
        >>> gc.refresh.every(10)
        every(steps=10, staggered=False)
    """
    if not staggered:
        return remainder(count, steps) == 0
    at = jnp.broadcast_to(count, place.shape) + jnp.asarray(place, jnp.int32)
    return remainder(at, steps) == 0


@refresh_policy
def with_probability(
    count: jax.Array,
    place: np.ndarray,
    stale: Callable,
    probability: Fraction = 1.0,
    staggered: bool = False,
    seed: int = 0,
) -> jax.Array:
    """At random, with a probability that may be a schedule.

    Args:
        probability: of each step.
        staggered: whether each matrix has a draw of its own; else all are due together.
        seed: of the draws.

    Example:
        >>> import gradchain as gc
        >>> gc.refresh.with_probability(gc.linear_schedule(1.0, 0.03, 4000)).arguments["seed"]
        0
    """
    chance = probability(count) if callable(probability) else probability
    chance = jnp.asarray(chance).astype(jnp.float32)
    if not staggered:
        return _draws(seed, count, ()) < chance
    return _draws(seed, count, place.shape, int(place[0]) if len(place) else 0) < chance


def _draws(
    seed: int, count: jax.Array, shape: tuple[int, ...], of: int | None = None
) -> jax.Array:
    """Uniform numbers of a step, from matrix ``of`` on."""
    key = jax.random.fold_in(jax.random.key(seed), count)
    key = key if of is None else jax.random.fold_in(key, of)
    return jax.random.uniform(key, shape, jnp.float32)


@refresh_policy
def fading(
    count: jax.Array,
    place: np.ndarray,
    stale: Callable,
    start: NonNegativeInt = 500,
    time: Positive = 1000.0,
    least: Fraction = 0.03,
    seed: int = 0,
) -> jax.Array:
    r"""At each step in the beginning, then ever more seldom.

    After ``start`` steps the probability falls as :math:`e^{-(t - t_0) / \tau}`, down to ``least``.

    Args:
        start: the number :math:`t_0` of steps of which each is one.
        time: the time :math:`\tau`, in steps, in which the probability falls by a factor of 2.7.
        least: the least probability.
        seed: of the draws.

    Example:
        >>> import gradchain as gc
        >>> gc.refresh.fading(start=100)
        fading(start=100, time=1000.0, least=0.03, seed=0)
    """
    since = jnp.maximum(count - start, 0).astype(jnp.float32)
    chance = jnp.maximum(jnp.exp(-since / jnp.float32(time)), jnp.float32(least))
    return _draws(seed, count, ()) < chance


@refresh_policy
def when_stale(
    count: jax.Array, place: np.ndarray, stale: Callable, tolerance: Limit = 0.1
) -> jax.Array:
    """When a method's measure of staleness is above a tolerance.

    Each matrix is measured at each step, which costs a few products.

    Args:
        tolerance: the largest measure at which nothing is computed. The method says what it
            measures; 0 is fresh.

    Example:
        >>> import gradchain as gc
        >>> gc.refresh.when_stale(0.1)
        when_stale(tolerance=0.1)
    """
    return stale() > tolerance
