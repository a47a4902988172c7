"""The learning-rate range test: train for a moment while the rate grows from far too small to far
too large.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from gradchain.core.transformation import as_transformation
from gradchain.schedules.basic import exponential_decay
from gradchain.schedules.shapes import at_least, positive


@dataclass(frozen=True)
class LearningRateRange:
    """What a range test has seen.

    Attributes:
        rates: the learning rate of each step, up to the divergence.
        losses: the loss before each step.
        smoothed: their moving average, without the pull towards zero at its start.
        steepest: the rate at which the smoothed loss fell fastest, by factors of the rate: a good
            one to begin with.
        diverged: the rate at which the loss diverged; ``None`` if it did not.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    steepest: float
    diverged: float | None

    @property
    def decade_below(self) -> float | None:
        """A tenth of the rate at which the loss diverged: a good maximum for a schedule."""
        return None if self.diverged is None else self.diverged / 10


def find_learning_rate(
    loss_and_grad: Callable,
    params: Any,
    make: Callable,
    batches: Iterable[Any],
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    divergence: float = 4.0,
) -> LearningRateRange:
    r"""Train for some steps while the learning rate grows exponentially, and see where the loss
    falls and diverges.

    The parameters that are passed in stay as they are. One step is compiled, once; the loss is
    looked at after each.

    Args:
        loss_and_grad: ``loss_and_grad(params, batch) -> (loss, gradients)``: ``jax.value_and_grad``
            of a loss.
        params: the parameters to start from.
        make: the optimizer as a function of its learning rate, ``gradchain.adam`` say; it may need
            the loss, as ``value=`` or ``value_fn=``.
        batches: what to train on; if it ends before the steps do, it starts anew.
        low: the learning rate of the first step.
        high: the learning rate of the last step, if the loss does not diverge before.
        steps: the number of steps, 2 or more.
        smoothing: the decay of the moving average of the losses, in [0, 1).
        divergence: the loss has diverged once its average is above the least so far by ``divergence
            - 1`` times the size of the first loss, or once a loss is not finite.

    Returns:
        The rates and losses, and the rates that they suggest.

    Raises:
        ValueError: if an argument is out of range, there are no batches, or the first loss is not
            finite.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
    https://arxiv.org/abs/1506.01186

    Example:
        >>> import gradchain as gc
        >>> loss = lambda w, curvature: (curvature * w**2).sum()
        >>> found = find_learning_rate(jax.value_and_grad(loss), jax.numpy.ones(2), gc.sgd, [1.0], low=1e-3)
        >>> print(f"{found.steepest:.2f}, diverged at {found.diverged:.1f}")
        0.04, diverged at 7.6
    """
    positive(low=low, high=high)
    at_least(2, steps=steps)
    at_least(0, smoothing=smoothing)
    if low >= high or smoothing >= 1:
        raise ValueError(
            f"low must be less than high, and smoothing less than 1, not {low=}, {high=}, {smoothing=}."
        )
    schedule = exponential_decay(low, steps - 1, high / low)
    tx = as_transformation(make(schedule), "find_learning_rate: what 'make' returns")

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any, Any]:
        loss, grads = loss_and_grad(params, batch)
        value_fn = lambda params: loss_and_grad(params, batch)[0]
        return loss, *tx.step(grads, state, params, value=loss, grad=grads, value_fn=value_fn)

    rates = [float(rate) for rate in np.geomspace(low, high, steps)]
    losses, smoothed, average, diverged = [], [], 0.0, None
    state, endless = tx.init(params), itertools.cycle(batches)
    for count, rate in enumerate(rates, start=1):
        batch = next(endless, None)
        if batch is None:
            raise ValueError("find_learning_rate: there are no batches.")
        loss, params, state = step(params, state, batch)
        loss = float(loss)
        average = smoothing * average + (1 - smoothing) * loss
        level = average / (1 - smoothing**count)
        if not np.isfinite(loss) or (
            losses and level > min(smoothed) + (divergence - 1) * abs(losses[0])
        ):
            diverged = rate
            break
        losses.append(loss)
        smoothed.append(level)
    if not losses:
        raise ValueError(
            "find_learning_rate: the first loss is not finite; begin with other parameters."
        )
    rates = rates[: len(losses)]
    memory = min(
        round(smoothing / (1 - smoothing)), len(rates) // 2
    )  # an average of fewer losses is mere noise
    slopes = np.gradient(smoothed, np.log(rates)) if len(rates) > 1 else np.zeros(1)
    steepest = rates[memory + int(np.argmin(slopes[memory:]))]
    return LearningRateRange(
        np.array(rates), np.array(losses), np.array(smoothed), steepest, diverged
    )
