"""Types for annotations: trees, states, schedules, foreign pairs."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import jax
from jax.typing import ArrayLike

from gradchain.tree.paths import Tree as Tree

if TYPE_CHECKING:
    # An argument has one type where it is given and another in the factory, which gets a number
    # instead of a schedule and a transformation instead of a pair. The base ``Any`` serves the
    # factory: a rule may calculate with the number, and use all that a transformation has.
    from typing import Any as Evaluated

    # Flax and optax annotate optax's class, which is no protocol: to them ours is a subclass.
    from optax import GradientTransformation as _OptaxPair

    class OptaxPair(_OptaxPair):
        """The pair of functions that others annotate."""

        init: Any  # pyright: ignore[reportIncompatibleVariableOverride]
        update: Any  # pyright: ignore[reportIncompatibleVariableOverride]
        __getitem__: Any

else:
    Evaluated = OptaxPair = object

Params: TypeAlias = Tree
"""A tree of parameters."""

Updates: TypeAlias = Tree
"""A tree like the parameters: gradients on their way in, updates on their way out."""

State: TypeAlias = dict[str, Any]
"""The memory of a transformation: a nested dict of arrays, keyed by names."""

Numeric: TypeAlias = float | int | jax.Array
"""A number: a Python one, or an array of shape ``()``."""

Number: TypeAlias = float | int | jax.Array
"""A number, or an array of numbers that broadcasts with what it is for."""

Dtype: TypeAlias = Any
"""Anything that ``jnp.dtype`` takes: ``jnp.float32``, ``"bfloat16"``."""

Shape: TypeAlias = tuple[int, ...]
"""The shape of an array."""

Axes: TypeAlias = int | Sequence[int] | None
"""Dimensions of an array; ``None`` for all."""

Where: TypeAlias = str | Callable[[str, Any], bool] | Tree
"""Which leaves: a glob on paths, ``f(path, leaf) -> bool``, or a tree of bools; see
``gradchain.select``.
"""


Glob: TypeAlias = str
"""A glob on paths such as ``"*/kernel"``; the keys of a dict are said to be so by this name."""


class StepFunction(Protocol, Evaluated):
    """A function of the step, for example a schedule.

    The step begins at 0; the result is a number.
    """

    def __call__(self, step: Any, /) -> ArrayLike:
        """The number at a step."""
        ...


class PairObject(Protocol, Evaluated):
    """An object with ``init`` and ``update``, as in optax."""

    @property
    def init(self) -> Callable[[Any], Any]:
        """The function from parameters to a state."""
        ...

    @property
    def update(self) -> Callable[..., tuple[Any, Any]]:
        """The function that makes updates and the next state.

        It is given updates, a state and parameters.
        """
        ...


class PairTuple(Protocol, Evaluated):
    """A tuple of the two functions."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Callable[..., Any]]: ...


Pair: TypeAlias = PairObject | PairTuple
"""A foreign transformation: an object with ``init`` and ``update``, or a tuple of the two."""
