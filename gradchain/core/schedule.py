"""Schedules: functions of the step, as values."""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gradchain.core.call import Call, is_call
from gradchain.core.call_leaves import identity
from gradchain.core.factory import FACTORIES, decorator
from gradchain.core.ranges import Hyper
from gradchain.core.types import Numeric, StepFunction
from gradchain.numerics import counting
from gradchain.tree.limits import MAX_DEPTH
from gradchain.tree.mapping import is_traced

P = ParamSpec("P")


class Step:
    """A step of which differences, remainders and comparisons are exact.

    It is an integer, of any size, where the step is whole: a float32 holds no odd numbers above
    2^24. A schedule whose first argument is annotated as a ``Step`` is given one; it reduces it,
    and takes the ``value`` of what remains.

    Attributes:
        count: the step as it is counted: an integer, or a float that a user gave.
        dtype: the dtype of values.

    Example:
        >>> import gradchain as gc
        >>> @gc.schedule
        ... def sawtooth(step: gc.schedules.Step, period: int):
        ...     return (step % period).value / period
        >>> print(sawtooth(4)(10**8 + 3))
        0.75
    """

    __slots__ = ("count", "dtype")

    def __init__(self, count: jax.Array, dtype: jnp.dtype):
        self.count, self.dtype = count, dtype

    @classmethod
    def of(cls, step: ArrayLike | Step) -> Step:
        """A number or an array of numbers as a step."""
        if isinstance(step, Step):
            return step
        dtype = jnp.result_type(float)
        if isinstance(step, int | float | np.ndarray | np.generic):
            step = _whole_if_possible(np.asarray(step))
        count = jnp.asarray(step)
        is_counted = count.dtype == bool or jnp.issubdtype(count.dtype, jnp.integer)
        return cls(_signed(count) if is_counted else count.astype(dtype), dtype)

    @property
    def value(self) -> jax.Array:
        """The step as a float."""
        return self.count.astype(self.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of steps."""
        return self.count.shape

    def __sub__(self, steps: Numeric) -> Step:
        """The steps since a boundary; below 0 before it."""
        return Step(counting.minus(self.count, steps), self.dtype)

    def __rsub__(self, steps: Numeric) -> Step:
        """The steps that are left, from 0 to ``steps``."""
        return Step(counting.left_until(self.count, steps), self.dtype)

    def __mod__(self, period: Numeric) -> Step:
        """The steps since the last whole period."""
        return Step(counting.remainder(self.count, period), self.dtype)

    def __floordiv__(self, period: Numeric) -> Step:
        """How many periods are over."""
        return Step(counting.quotient(self.count, period), self.dtype)

    def __lt__(self, boundary: Numeric) -> jax.Array:
        return counting.is_before(self.count, boundary)

    def __ge__(self, boundary: Numeric) -> jax.Array:
        return ~counting.is_before(self.count, boundary)

    def at_least_zero(self) -> Step:
        """The step, 0 where it is below."""
        return Step(jnp.maximum(self.count, 0), self.dtype)

    def at_most(self, steps: Numeric) -> Step:
        """The step, or a boundary where it is beyond."""
        return Step(counting.at_most(self.count, steps), self.dtype)


def _whole_if_possible(x: np.ndarray) -> np.ndarray:
    """Numbers as integers if all are whole, else floats."""
    if x.dtype.kind in "fO":  # an object is an integer beyond int64
        x = x.astype(np.float64)
    if x.dtype.kind not in "iuf":
        return x
    integer = jnp.result_type(int)
    top = np.iinfo(integer).max
    is_whole = (x == np.floor(x)) & (x >= -top) & (x <= top)
    return x.astype(integer if np.all(is_whole) else np.float64)


def _signed(count: jax.Array) -> jax.Array:
    """A count of a dtype that has negative numbers."""
    if count.dtype in (jnp.int32, jnp.int64):
        return count
    integer = jnp.result_type(int)
    if jnp.issubdtype(count.dtype, jnp.unsignedinteger):
        top = min(jnp.iinfo(count.dtype).max, jnp.iinfo(integer).max)
        count = jnp.minimum(count, jnp.asarray(top, count.dtype))
    return count.astype(integer)


class Schedule(Call):
    """A function of the step that remembers its making.

    It is a call whose first argument, the step, is still to come. Schedules are added, subtracted
    and multiplied, with each other, with numbers and with plain functions of the step; ``a.until(n)
    | b`` puts one after another. The result is a schedule like any other.

    Example:
        >>> import gradchain as gc
        >>> warmup = gc.linear_schedule(0.0, 1.0, 10)
        >>> rate = 0.5 * (warmup.until(10) | gc.cosine_decay_schedule(1.0, 90))
        >>> print(rate(5), rate(10), rate(100))
        0.25 0.5 0.0
    """

    tag = "@schedule"
    __slots__ = ()
    __array_ufunc__ = None  # a NumPy number on the left leaves the operation to us

    def __call__(self, step: ArrayLike | Step) -> jax.Array:
        """The value after ``step`` updates.

        ``step`` is a number or an array of numbers. Steps of Python or NumPy may be of any size;
        those of a compiled function, and the clock of an optimizer, end at 2^31 - 1.
        """
        if counting.needs_double(step) and not is_traced(jax.tree.leaves(self)):
            dtype = jnp.result_type(float)
            with jax.ensure_compile_time_eval(), jax.enable_x64(True):
                value = np.asarray(self._at(Step.of(np.asarray(step)), {}))
            return jnp.asarray(value.astype(dtype))
        return self._at(Step.of(step), {})

    def _at(self, step: Step, seen: dict[int, jax.Array]) -> jax.Array:
        """The value at a step.

        ``seen`` holds those of the schedules that were evaluated there, by their ids: one that
        stands in several places is evaluated once.
        """
        if _PLACES.stand_in and _EXAMINED in self._cache and is_traced([step.count]):
            return jnp.zeros(step.shape, step.dtype)
        is_exact = _reduces_steps(self.factory.function)
        cast = lambda x: x.astype(step.dtype) if isinstance(x, jax.Array) else x
        arguments = dict(self.arguments)
        for name, value in arguments.items():
            kind = self.factory.kinds[name]
            if callable(value) and kind.is_hyper:
                own: Schedule | None = value if isinstance(value, Schedule) else None
                given = (value, step.value) if own is None else (_Seen(own, seen), step)
                value = kind.at(f"{self.factory.name}: {name}", *given)
            elif isinstance(value, jax.Array):
                value = kind.held(value)
            if not (is_exact and kind.is_integer):  # boundaries stay integers
                arguments[name] = jax.tree.map(cast, value, is_leaf=is_call)
        return self.factory.call(arguments, step if is_exact else step.value)

    def checked(self) -> Schedule:
        """See ``Call``; it is evaluated, on shapes alone.

        So a wrong argument is an error where it is written. The schedules in it have been so
        already, and zeros stand in for them.
        """
        if _EXAMINED not in self._cache:
            self._cache[_EXAMINED] = self._examined()
        return self

    def _examined(self) -> _Examined:
        """The note that this schedule is right."""
        is_inner = lambda x: isinstance(x, Schedule) and x is not self
        leaves, treedef = jax.tree.flatten(self, is_leaf=is_inner)
        own = lambda x: x.checked()._cache[_EXAMINED] if isinstance(x, Schedule) else identity(x)
        parts = tuple(map(own, leaves))
        depth = 1 + max((x.depth for x in parts if isinstance(x, _Examined)), default=0)
        if depth > MAX_DEPTH:
            raise ValueError(
                f"{self.factory.name}: schedules are nested too deep: more than {MAX_DEPTH} levels."
                " Write what many of them make together as one function of the step."
            )
        if (found := _KNOWN.get((treedef, parts))) is None:
            self._examine()
            found = _KNOWN.setdefault((treedef, parts), _Examined(depth))
        return found

    def _examine(self) -> None:
        """Evaluate it on shapes alone."""
        above, before = f"{self.factory.name}: ", _PLACES.stand_in
        _PLACES.stand_in = True
        try:
            step = jax.ShapeDtypeStruct((), jnp.int32)
            value = jax.eval_shape(lambda step: self(step), step)
        except (TypeError, ValueError) as error:
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(above + str(error).removeprefix(above)) from error
        finally:
            _PLACES.stand_in = before
        if jnp.shape(value) != ():
            raise ValueError(f"{above}a schedule gives one number at a step, not {value!r}.")

    def __add__(self, other: Hyper) -> Schedule:
        return _combine("sum_schedule", self, other)

    def __radd__(self, other: Hyper) -> Schedule:
        return _combine("sum_schedule", other, self)

    def __neg__(self) -> Schedule:
        return _combine("product_schedule", -1.0, self)

    def __sub__(self, other: Hyper) -> Schedule:
        minus = (
            _combine(
                "product_schedule",
                -1.0,
                other,
            )
            if callable(other)
            else -other
        )
        return _combine("sum_schedule", self, minus)

    def __rsub__(self, other: Hyper) -> Schedule:
        return _combine("sum_schedule", other, -self)

    def __mul__(self, other: Hyper) -> Schedule:
        return _combine("product_schedule", self, other)

    def __rmul__(self, other: Hyper) -> Schedule:
        return _combine("product_schedule", other, self)

    def __or__(self, other: StepFunction) -> Schedule:
        if not _is_made_by("until_schedule", self):
            raise TypeError(
                f"When does {self!r} end? Say first.until(steps) | second; second"
                " counts from there."
            )
        first, end = self.arguments["schedule"], self.arguments["steps"]
        second, length = other, None
        if _is_made_by("until_schedule", other):
            second, length = other.arguments.values()
        schedules, boundaries = [first], []
        if _is_made_by("join_schedules", first):
            own_schedules, own_boundaries = first.arguments.values()
            if all(b < end for b in own_boundaries):
                schedules, boundaries = own_schedules, own_boundaries
        joined = _combine("join_schedules", [*schedules, second], [*boundaries, end])
        return joined if length is None else joined.until(end + length)

    def __ror__(self, other: object) -> Schedule:
        raise TypeError(
            f"When does {other!r} end? Say until_schedule(first, steps) | second;"
            " second counts from there."
        )

    def until(self, steps: int) -> Schedule:
        """The schedule up to a step, then constant.

        It keeps its value at that step; ``a.until(n) | b`` goes on with another.
        """
        return _combine("until_schedule", self, steps)

    def clip(self, low: Hyper | None = None, high: Hyper | None = None) -> Schedule:
        """The schedule held between two bounds.

        They are numbers or functions of the step; ``None`` is no bound.
        """
        return _combine("clipped_schedule", self, low, high)

    def shift(self, steps: int) -> Schedule:
        """The schedule so many steps later, its first value before.

        It is earlier for a negative number.
        """
        return _combine("shifted_schedule", self, steps)

    def repeat(self, steps: int) -> Schedule:
        """Repeat the first so many steps of the schedule forever."""
        return _combine("repeated_schedule", self, steps)


class _Seen:
    """A schedule that is evaluated once at a step."""

    def __init__(self, schedule: Schedule, seen: dict[int, jax.Array]):
        self.schedule, self.seen = schedule, seen

    def __call__(self, step: Step) -> jax.Array:
        key = id(self.schedule)
        if key not in self.seen:
            self.seen[key] = self.schedule._at(step, self.seen)
        return self.seen[key]

    def __repr__(self) -> str:
        return repr(self.schedule)


class _Places(threading.local):
    """Whether zeros stand in for schedules that have been examined."""

    stand_in = False


class _Examined:
    """The note that a schedule is right.

    Equal ones have it in common.

    Attributes:
        depth: how many schedules are nested in each other, this one included.
    """

    __slots__ = ("__weakref__", "depth")

    def __init__(self, depth: int):
        self.depth = depth


_EXAMINED, _PLACES = "examined", _Places()

# A loop that makes a schedule again and again is quick, because one check is enough. Schedules are
# looked up by their own arguments and the notes of those in them, not by all that these hold.
_KNOWN: weakref.WeakValueDictionary[tuple, _Examined] = weakref.WeakValueDictionary()


def _combine(name: str, *args: Any) -> Schedule:
    """The schedule of ``args`` by the factory called ``name``.

    It is looked up, because the schedules stand in a room above their operators.
    """
    return FACTORIES[name].bind(args, {})


def _is_made_by(name: str, x: object) -> bool:
    return isinstance(x, Call) and x.factory.name == name


def schedule(function: Callable[Concatenate[Any, P], Any]) -> Callable[P, Schedule]:
    """Make a factory of schedules from a function.

    Its first argument is the step, a float scalar; annotated as a ``Step`` it is one, of which
    remainders and differences are exact.
    """
    return decorator(Schedule, coming=1)(function)


@functools.cache
def _reduces_steps(function: Callable[..., Any]) -> bool:
    """Whether a schedule's function takes a ``Step``, by its annotation."""
    first = next(iter(inspect.signature(function).parameters.values()))
    return first.annotation is Step or str(first.annotation).split(".")[-1] == "Step"
