"""Policies: when to compute costly factors anew.

The factors of a preconditioner cost more than a step, and change slowly. A policy says in which
steps, and of which matrices, they are found again; in all other steps nothing of that is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradchain.core.call import Call
from gradchain.core.factory import decorator
from gradchain.core.ranges import Fraction, Limit, NonNegativeInt, Positive, PositiveInt
from gradchain.core.renewal import (
    Parts as Parts,
    Trees as Trees,
    at_start as at_start,
    in_one_turn,
    one_by_one,
)
from gradchain.core.slots import shaped
from gradchain.core.types import StepFunction
from gradchain.numerics.counting import quotient, remainder

PHASE = "phase"  # the slot of a policy that follows a schedule
ONE = np.zeros(1, np.int32)


class Refresh(Call):
    """A policy that remembers how it was made."""

    tag = "@refresh"
    __slots__ = ()

    @property
    def staggered(self) -> bool:
        """Whether each matrix has its own turn."""
        return bool(self.arguments.get("staggered", True))

    @property
    def slots(self) -> dict[str, Any]:
        """Slots of its own, which a rule declares.

        A schedule of the number of steps keeps its phase; all other policies keep nothing.
        """
        is_scheduled = callable(self.arguments.get("steps"))
        return {PHASE: shaped(lambda shape: ())(real=True)} if is_scheduled else {}

    def due(self, now: Moment) -> jax.Array:
        """Which matrices are due, or whether all are."""
        return self.factory.call(
            self.numbers(now.count),
            now,
        )

    def numbers(self, count: jax.Array) -> dict[str, Any]:
        """The arguments, schedules at their values of now."""
        own = self.factory
        at = lambda k, v: own.kinds[k].at(f"{own.name}: {k}", v, count)
        return {k: at(k, v) if callable(v) else v for k, v in self.arguments.items()}

    def apply(
        self,
        fresh: Callable[[Parts], Parts],
        parts: Parts,
        old: Parts,
        count: jax.Array,
        place: np.ndarray,
        stale: Callable[[], jax.Array] | None = None,
        unborn: jax.Array | None = None,
    ) -> Parts:
        """Compute ``fresh(parts)`` of the matrices that are due.

        The others stay ``old``.

        At the first update all are due. Nothing of ``fresh`` is computed for those that are not;
        derivatives take the result for a constant.

        Args:
            fresh: from parts of some matrices to what is kept of them, under the names in ``old``.
            parts: all that ``fresh`` needs.
            old: what is kept until now, and the policy's own ``slots``.
            count: the updates before this one.
            place: the number of each matrix among all, as the lift gives it.
            stale: how stale each matrix is, ``(k,)``; only ``when_stale`` asks.
            unborn: of which matrices, ``(k,)``, nothing is kept yet though their gradient is not
                zero: these are due, whatever the policy says. A rule whose updates are zero until
                then needs it, since a first gradient may be zero.

        Raises:
            TypeError: if it is ``when_stale`` for a method that measures nothing, or has slots
                that the rule has not declared.
        """
        self._check(old)
        parts, old = lax.stop_gradient((parts, old))
        own = {PHASE: self._moved(old[PHASE], count)} if self.slots else {}
        parts, old = ({k: v for k, v in x.items() if k not in own} for x in (parts, old))
        is_due = self._due_or_first(count, place, stale, own.get(PHASE))
        run = in_one_turn if is_due.ndim == 0 else one_by_one
        is_due = is_due if unborn is None else is_due | unborn
        return run(fresh, parts, old, is_due) | own

    def apply_to_trees(
        self,
        fresh: Callable[[Trees], Trees],
        parts: Trees,
        old: Trees,
        count: jax.Array,
        place: np.ndarray = ONE,
        unborn: jax.Array | None = None,
    ) -> Trees:
        """Compute ``fresh(parts)`` of whole trees, if any matrix is due.

        Otherwise it is as ``apply``. By default the trees are one matrix.

        Raises:
            TypeError: if the policy has slots of its own, or is ``when_stale``.
        """
        if self.slots:
            raise TypeError(
                f"refresh: {self!r} follows a schedule, for which there is no slot here; take"
                " every(n) of a number."
            )
        parts, old = lax.stop_gradient((parts, old))
        is_due = jnp.any(self._due_or_first(count, place, None, None))
        is_due = is_due if unborn is None else is_due | unborn
        return in_one_turn(fresh, parts, old, is_due)

    def _due_or_first(
        self,
        count: jax.Array,
        place: np.ndarray,
        stale: Callable[[], jax.Array] | None,
        phase: jax.Array | None,
    ) -> jax.Array:
        """As ``due``; at the first update all are."""
        if stale is None and self.factory.name == "when_stale":
            raise TypeError(
                "refresh: this method does not measure how stale it is; use every(n)."
            )
        measured = stale or (lambda: jnp.zeros(len(place)))
        return self.due(Moment(count, place, measured, phase)) | (count == 0)

    def _check(self, old: Parts) -> None:
        """Refuse a rule that keeps too little."""
        if self.slots.keys() - old.keys():
            raise TypeError(
                f"refresh: {self!r} keeps slots of its own: the rule must declare"
                " **refresh.slots and give them to apply among the old."
            )

    def _moved(self, phase: jax.Array, count: jax.Array) -> jax.Array:
        """The phase after a step, the same of all matrices.

        In so many steps as a schedule says it goes once from 0 to 1. It begins half a step after
        0, so that no rounding error moves a renewal by a step.
        """
        share = 1 / jnp.asarray(
            self.numbers(count)["steps"],
            phase.dtype,
        )
        return jnp.where(
            count == 0,
            share / 2,
            remainder(phase + share, 1.0),
        )


@dataclass(frozen=True)
class Moment:
    """The question to a policy.

    Attributes:
        count: the updates before this one.
        place: the number of each matrix among all, the costliest first.
        stale: a function that measures how stale each matrix is.
        phase: how far the schedule of a policy is on its way to the next renewal, the same for
            each matrix; ``None`` without one.
    """

    count: jax.Array
    place: np.ndarray
    stale: Callable[[], jax.Array]
    phase: jax.Array | None


def refresh_policy(function: Callable[..., jax.Array]) -> Callable[..., Refresh]:
    """Make a factory of policies from a function.

    It is a function of the ``Moment``, and returns a bool for each matrix or one for all.
    """
    return decorator(Refresh, coming=1)(function)


@refresh_policy
def every(now: Moment, steps: PositiveInt | StepFunction, staggered: bool = False) -> jax.Array:
    """Each ``steps`` steps.

    Args:
        steps: the number of steps from one time to the next, or a function of the step that gives
            it, for example ``gc.linear_schedule(1, 100, 10000)``. While it changes, the time
            between two is that in which the shares of steps, ``1 / steps``, sum up to 1.
        staggered: whether matrices take turns, so that no step pays for all of them. All are
            computed at the first step. The costly ones are dealt out first, so that the turns cost
            about the same.

    Example:
        >>> import gradchain as gc
        >>> gc.refresh.every(10)
        every(steps=10, staggered=False)
    """
    if now.phase is not None:
        start = _spread(now.place) if staggered else 0.0
        return (
            remainder(
                now.phase[0] + start,
                1.0,
            )
            < 1 / steps
        )
    if not staggered:
        return remainder(now.count, steps) == 0
    turns = _turns(now.place, steps)
    return remainder(now.count, steps) == remainder(-turns, steps)


def _turns(place: np.ndarray, steps: int | jax.Array) -> jax.Array:
    """The turn of each matrix, dealt out forwards and backwards.

    So who gets the largest of one round gets the smallest of the next.
    """
    at = jnp.asarray(place, jnp.int32)
    turn, number = remainder(at, steps), quotient(at, steps)
    return jnp.where(
        number % 2 == 0,
        turn,
        -1 - turn,
    )


def _spread(place: np.ndarray) -> np.ndarray:
    """Shares of 1, even from any place to any other."""
    golden = (5**0.5 - 1) / 2
    return (place * golden % 1.0).astype(np.float32)


@refresh_policy
def with_probability(
    now: Moment,
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
    chance, place = jnp.asarray(probability).astype(jnp.float32), now.place
    if not staggered:
        return _draws(seed, now.count, ()) < chance
    return (
        _draws(
            seed,
            now.count,
            place.shape,
            int(place[0]) if len(place) else 0,
        )
        < chance
    )


def _draws(
    seed: int, count: jax.Array, shape: tuple[int, ...], of: int | None = None
) -> jax.Array:
    """Uniform numbers of a step, from matrix ``of`` on."""
    key = jax.random.fold_in(
        jax.random.key(seed),
        count,
    )
    key = key if of is None else jax.random.fold_in(key, of)
    return jax.random.uniform(key, shape, jnp.float32)


@refresh_policy
def fading(
    now: Moment,
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
    since = jnp.maximum(now.count - start, 0).astype(jnp.float32)
    chance = jnp.maximum(
        jnp.exp(-since / jnp.float32(time)),
        jnp.float32(least),
    )
    return _draws(seed, now.count, ()) < chance


@refresh_policy
def when_stale(now: Moment, tolerance: Limit = 0.1) -> jax.Array:
    """When a method's measure of staleness is above a tolerance.

    Each matrix is measured at each step, which costs a few products.

    Args:
        tolerance: the largest measure at which nothing is computed. The method says what it
            measures; 0 is fresh. Methods that measure nothing refuse it: Shampoo and PSGD, for
            example.

    Example:
        >>> import gradchain as gc
        >>> gc.refresh.when_stale(0.1)
        when_stale(tolerance=0.1)
    """
    return now.stale() > tolerance
