"""End a loop when a value stops improving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax import core

from gradchain.core.errors import quote
from gradchain.core.types import Numeric, Params, Tree
from gradchain.tree.paths import named_leaves

_KEYS = {"value", "step", "waited", "not_finite", "weights"}


class Best(NamedTuple):
    """The best value of a run.

    Attributes:
        value: the value; infinite, with the worse sign, before the first.
        step: its step; 0 before the first.
        weights: the weights given with it, or ``None``.
    """

    value: float
    step: int
    weights: Tree


class EarlyStopping:
    """Stop when a value has not improved for a while.

    ``update`` takes a value, as often as you measure one, and says whether it is the best so far.
    A value that is not finite is no improvement, and ``reason`` names its step. All numbers are
    Python floats: the loop runs on the host, outside ``jit``.

    Args:
        patience: how many values in a row may be no improvement; at that many ``should_stop`` is
            true. ``None`` never stops, and keeps the best.
        min_delta: by how much, in units of the value, an improvement is better than the best.
        mode: ``"min"`` if small values are good, as of losses; ``"max"`` for an accuracy.

    Raises:
        ValueError: if ``patience`` is below 1, ``min_delta`` is negative or not finite, or
            ``mode`` is another word.

    Example:
        >>> stopping = EarlyStopping(patience=2)
        >>> for step, value in enumerate([3.0, 1.0, 2.0, math.nan, 0.5], start=1):
        ...     stopping.update(step, value, weights={"w": step})
        ...     if stopping.should_stop:
        ...         break
        True
        True
        False
        False
        >>> stopping.best
        Best(value=1.0, step=2, weights={'w': 2})
        >>> print(stopping.reason)
        none of the last 2 values is below 1, of step 2; not finite at step 4
    """

    def __init__(
        self,
        patience: int | None = 10,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
    ):
        if patience is not None and not (isinstance(patience, int) and patience >= 1):
            raise ValueError(
                f"EarlyStopping: patience is {patience!r}, but it is a count of values, at least 1,"
                " or None for a run that is not stopped."
            )
        if not 0 <= min_delta < math.inf:
            raise ValueError(
                f"EarlyStopping: min_delta is {min_delta!r}, but it is finite and at least 0, also"
                ' for mode="max".'
            )
        if mode not in ("min", "max"):
            raise ValueError(f'EarlyStopping: mode is {mode!r}, but it is "min" or "max".')
        self.patience = patience
        self.min_delta = float(min_delta)
        self.mode = mode
        self._best = Best(math.inf if mode == "min" else -math.inf, 0, None)
        self._waited = 0
        self._not_finite: list[int] = []

    def update(self, step: int, value: Numeric, weights: Tree = None) -> bool:
        """Take a value; say whether it is the best.

        Args:
            step: its step, for ``best`` and ``reason``.
            value: one number, for example the loss on held-out data.
            weights: a tree to keep if the value is the best. Arrays of JAX are kept without a
                copy. If the next step donates them, give a copy: ``jax.tree.map(jnp.copy,
                params)``.

        Raises:
            TypeError: if the value is traced, or no number.
            ValueError: if it is an array of several numbers.
        """
        number = _one_number(value)
        if not math.isfinite(number):
            self._waited += 1
            self._not_finite.append(int(step))
            return False
        sign = 1.0 if self.mode == "min" else -1.0
        if not sign * number < sign * self._best.value - self.min_delta:
            self._waited += 1
            return False
        self._best = Best(number, int(step), _kept(weights))
        self._waited = 0
        self._not_finite = []
        return True

    @property
    def best(self) -> Best:
        """The best value with its step and weights.

        Raises:
            RuntimeError: naming the leaf, if the weights were donated after they were given.
        """
        for path, leaf in named_leaves(self._best.weights):
            if isinstance(leaf, jax.Array) and leaf.is_deleted():
                raise RuntimeError(
                    f"EarlyStopping.best: the array of {path!r}, of step {self._best.step}, is"
                    " deleted: a later step donated it. Give update a copy: jax.tree.map(jnp.copy,"
                    " params)."
                )
        return self._best

    @property
    def should_stop(self) -> bool:
        """Whether as many values as ``patience`` were no improvement."""
        return self.patience is not None and self._waited >= self.patience

    @property
    def reason(self) -> str:
        """Why to stop, in one line; else empty."""
        if not self.should_stop:
            return ""
        goal = self._goal()
        told = f"none of the last {self._waited} values is {goal}"
        if self._waited == 1:
            told = f"the last value is not {goal}"
        if self._not_finite:
            steps = ", ".join(map(str, self._not_finite))
            told += f"; not finite at step{'s' * (len(self._not_finite) > 1)} {steps}"
        return told

    def _goal(self) -> str:
        if not self._best.step and math.isinf(self._best.value):
            return "finite"
        side, sign = ("below", "-") if self.mode == "min" else ("above", "+")
        margin = f" {sign} {self.min_delta:g}" if self.min_delta else ""
        return f"{side} {self._best.value:.6g}{margin}, of step {self._best.step}"

    def state(self) -> dict[str, Any]:
        """Everything that it remembers, as a plain dict.

        It can be written as JSON if no weights were given; the weights are those of ``best``.
        """
        return {
            "value": self._best.value,
            "step": self._best.step,
            "waited": self._waited,
            "not_finite": list(self._not_finite),
            "weights": self.best.weights,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a dict of ``state``.

        ``patience``, ``min_delta`` and ``mode`` are not in it: those of the code count.

        Raises:
            ValueError: if the dict has other keys, or a best value for the other mode.
        """
        if set(state) != _KEYS:
            raise ValueError(
                f"EarlyStopping.restore: a state has {quote(sorted(_KEYS))}, but this one has"
                f" {quote(sorted(map(str, state)))}. Give it a dict of state()."
            )
        value = float(state["value"])
        if math.isinf(value) and (value > 0) != (self.mode == "min"):
            raise ValueError(
                f"EarlyStopping.restore: the state is of the other mode than {self.mode!r}."
            )
        self._best = Best(value, int(state["step"]), state["weights"])
        self._waited = int(state["waited"])
        self._not_finite = [int(step) for step in state["not_finite"]]

    def __repr__(self) -> str:
        return f"EarlyStopping({self.patience}, min_delta={self.min_delta}, mode={self.mode!r})"


def _one_number(value: Numeric) -> float:
    if isinstance(value, core.Tracer):
        raise TypeError(
            "EarlyStopping.update: the value is traced, but it is compared on the host. Call"
            " update outside jit and scan, with the number that the step returned."
        )
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(
            f"EarlyStopping.update: the value has shape {list(array.shape)}, but it is one number."
            " Take the mean."
        )
    try:
        return float(array.reshape(()))
    except (TypeError, ValueError):
        raise TypeError(f"EarlyStopping.update: {value!r} is no real number.") from None


def _kept(weights: Params) -> Params:
    """The tree in new containers.

    The model it came from may change. Arrays of NumPy may change too, and are copied.
    """
    return jax.tree.map(lambda x: x.copy() if isinstance(x, np.ndarray) else x, weights)
