"""The result of a minimization, and its status in words."""

from __future__ import annotations

import collections
import dataclasses
import enum
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from gradchain.core.advice import meant
from gradchain.core.foreign_names import RESULTS
from gradchain.core.types import Params, Tree
from gradchain.tree.mapping import is_traced


class Status(enum.IntEnum):
    """How a minimization ended; ``print(status.words)``."""

    RUNNING = 0
    CONVERGED_GRADIENT = 1
    CONVERGED_VALUE = 2
    STALLED = 3
    OUT_OF_STEPS = 4
    OUT_OF_EVALS = 5
    LINE_SEARCH_FAILED = 6
    NON_FINITE = 7
    UNBOUNDED = 8
    INFEASIBLE = 9
    STOPPED = 10

    __str__ = enum.Enum.__str__  # with its name, not as a number

    @property
    def words(self) -> str:
        """The status in words."""
        return WORDS[self]

    @property
    def is_success(self) -> bool:
        """Whether it converged, by gradient or by value."""
        return self in (Status.CONVERGED_GRADIENT, Status.CONVERGED_VALUE)


WORDS = {
    Status.RUNNING: "still running",
    Status.CONVERGED_GRADIENT: "converged: the gradient is within the tolerance",
    Status.CONVERGED_VALUE: "converged: the value does not change any more",
    Status.STALLED: "stalled: no step changes the parameters, or the value beyond rounding",
    Status.OUT_OF_STEPS: "out of steps",
    Status.OUT_OF_EVALS: "out of evaluations",
    Status.LINE_SEARCH_FAILED: "the search found no lower value, again and again",
    Status.NON_FINITE: "the value or the gradient is not finite",
    Status.UNBOUNDED: "the value falls without bound",
    Status.INFEASIBLE: "a lower bound is above its upper bound",
    Status.STOPPED: "stopped by the callback",
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """The result of ``minimize``.

    It is a pytree, so that it passes through ``jit`` and ``vmap``.

    Attributes:
        params: the best point, in the form of the start.
        value: the value there.
        grad_norm: the largest magnitude in the gradient there; where there are bounds, in the
            projected gradient.
        steps: how many steps were made, an int32.
        evals: how often the value and its gradient were computed, an int32.
        code: the number of the ``status``.
        history: a dict of arrays over the steps, the first for the start; ``None`` unless it was
            asked for.
        aux: the other part of the function's output at the best point; zeros if it was never
            evaluated, where bounds are infeasible; ``None`` without ``has_aux``.
    """

    params: Params
    value: jax.Array
    grad_norm: jax.Array
    steps: jax.Array
    evals: jax.Array
    code: jax.Array
    history: dict[str, Tree] | None = None
    aux: Tree = None

    def __repr__(self) -> str:
        """The status first; of a history its names."""
        names = [f.name for f in dataclasses.fields(Result) if f.name != "code"]
        found = {name: getattr(self, name) for name in names}
        if self.history is not None:
            found["history"] = list(self.history)
        found = {"status": self.status, "message": self._remark()} | found
        shown = [f"{k}={_shown(x)}" for k, x in found.items() if x is not None]
        return f"Result({', '.join(shown)})"

    def _remark(self) -> str | None:
        """A message that says more than the status."""
        status = self.status
        if not isinstance(status, Status) or self.message == status.words:
            return None
        return self.message

    @property
    def message(self) -> str:
        """How it ended, in words; of many starts their counts.

        It says so if the gradient was within the tolerance at the start: ``tol`` is absolute, and a
        function of tiny values has a tiny gradient everywhere.
        """
        status = self.status
        if not isinstance(status, Status):
            return _shown(status)
        if status is not Status.CONVERGED_GRADIENT or self.steps > 0:
            return status.words
        if type(self) is not Result or self.grad_norm == 0:  # that of least squares has no unit
            return f"{status.words}, at the start already"
        return (
            f"converged at the start: its gradient, {self.grad_norm:.3g}, is below tol already."
            " Lower tol, or rescale the function"
        )

    if not TYPE_CHECKING:  # a checker would take it for leave to ask for anything

        def __getattr__(self, name: str):
            text = f"{type(self).__name__} has no attribute {name!r}."
            if name in RESULTS:
                raise AttributeError(f"{text} Here that is {RESULTS[name]}.", name=name, obj=self)
            raise AttributeError(f"{text}{meant(name, _names(self))}", name=name, obj=self)

    @property
    def status(self) -> Any:
        """How it ended, a ``Status``.

        For many starts it is an array of them; inside ``jit`` it is the number.
        """
        if is_traced([self.code]):
            return self.code
        if np.ndim(self.code) == 0:
            return Status(int(self.code))
        return np.vectorize(Status, otypes=[object])(self.code)

    @property
    def success(self) -> jax.Array:
        """Whether it converged."""
        is_flat = self.code == Status.CONVERGED_GRADIENT
        return is_flat | (self.code == Status.CONVERGED_VALUE)


def _names(result: Result) -> list[str]:
    known = [*dir(type(result)), *vars(result)]
    return [name for name in known if not name.startswith("_")]


def _shown(x: Any) -> str:
    """A field as text.

    That is a number as it is written, of many statuses how often each occurs, and anything else as
    it represents itself.
    """
    if isinstance(x, np.ndarray) and x.dtype == object:
        counts = sorted(collections.Counter(x.flat).items())
        return " + ".join(f"{n} {status.name}" for status, n in counts)
    if isinstance(x, Status):
        return x.name
    is_number = isinstance(x, jax.Array) and not is_traced([x]) and x.ndim == 0
    return f"{x.item():.6g}" if is_number else repr(x)
