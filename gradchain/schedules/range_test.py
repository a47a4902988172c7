"""The learning-rate range test: train briefly while the rate grows.

It grows from far too small to far too large.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Params, Updates
from gradchain.schedules.basic import exponential_decay
from gradchain.schedules.shapes import at_least, positive


@dataclass(frozen=True)
class LearningRateRange:
    """The result of a range test.

    Attributes:
        rates: the learning rate of each step, up to the divergence.
        losses: the loss before each step.
        smoothed: their moving average, without the pull towards zero at its start.
        steepest: the rate at which the smoothed loss fell fastest, per factor of the rate: a good
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
        """A tenth of the rate at which the loss diverged.

        It is a good maximum for a schedule.
        """
        return None if self.diverged is None else self.diverged / 10


def find_learning_rate(
    loss_and_grad: Callable[[Params, Any], tuple[jax.Array, Updates]],
    params: Params,
    make: Callable[[Schedule], Any],
    batches: Iterable[Any],
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    divergence: float = 4.0,
) -> LearningRateRange:
    r"""Find a learning rate by a range test.

    Train for some steps while the learning rate grows exponentially, and see where the loss falls
    and where it diverges. The parameters that are passed in stay as they are. One step is compiled,
    once; the loss is looked at after each.

    Args:
        loss_and_grad: ``loss_and_grad(params, batch) -> (loss, gradients)``: ``jax.value_and_grad``
            of a loss.
        params: the parameters to start from.
        make: the optimizer as a function of its learning rate, for example ``gradchain.adam``; it
            may need the loss, as ``value=`` or ``value_fn=``.
        batches: the batches to train on; if they end before the steps do, they start anew.
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
        >>> start = jax.numpy.ones(2)
        >>> found = find_learning_rate(jax.value_and_grad(loss), start, gc.sgd, [1.0], low=1e-3)
        >>> print(f"{found.steepest:.2f}, diverged at {found.diverged:.1f}")
        0.04, diverged at 7.6
    """
    positive(low=low, high=high)
    at_least(2, steps=steps)
    at_least(0, smoothing=smoothing)
    if low >= high or smoothing >= 1:
        raise ValueError(
            "low must be less than high, and smoothing less than 1,"
            f" not {low=}, {high=}, {smoothing=}."
        )
    rates = [float(rate) for rate in np.geomspace(low, high, steps)]
    losses, smoothed, average, diverged = [], [], 0.0, None
    made = make(exponential_decay(low, steps - 1, high / low))
    tx = as_transformation(made, "find_learning_rate: what 'make' returns")
    train = _losses(loss_and_grad, tx, params, batches)
    for count, (rate, loss) in enumerate(zip(rates, train, strict=False), start=1):
        average = smoothing * average + (1 - smoothing) * loss
        level = average / (1 - smoothing**count)
        bound = min(smoothed) + (divergence - 1) * abs(losses[0]) if losses else np.inf
        if not np.isfinite(loss) or level > bound:
            diverged = rate
            break
        losses.append(loss)
        smoothed.append(level)
    if not losses:
        raise ValueError(
            "find_learning_rate: the first loss is not finite; begin with other parameters."
        )
    steepest = _steepest(rates[: len(losses)], smoothed, smoothing)
    seen = np.array(rates[: len(losses)]), np.array(losses), np.array(smoothed)
    return LearningRateRange(*seen, steepest, diverged)


def _losses(
    loss_and_grad: Callable[[Params, Any], tuple[jax.Array, Updates]],
    tx: GradientTransformation,
    params: Params,
    batches: Iterable[Any],
) -> Iterator[float]:
    """Train without end; yield the loss before each step."""

    @jax.jit
    def step(params, state, batch):
        loss, grads = loss_and_grad(params, batch)
        value_fn = lambda params: loss_and_grad(params, batch)[0]
        new = tx.step(grads, state, params, value=loss, grad=grads, value_fn=value_fn)
        return loss, *new

    state = tx.init(params)
    for batch in itertools.cycle(batches):
        loss, params, state = step(params, state, batch)
        yield float(loss)
    raise ValueError("find_learning_rate: there are no batches.")


def _steepest(rates: list[float], smoothed: list[float], smoothing: float) -> float:
    """The rate at which the smoothed loss fell fastest."""
    if len(rates) < 2:
        return rates[0]
    # The first averages are of a few losses, and mere noise.
    memory = round(smoothing / (1 - smoothing))
    memory = min(memory, len(rates) // 2)
    slopes = np.gradient(smoothed, np.log(rates))
    steepest = int(np.argmin(slopes[memory:]))
    return rates[memory + steepest]
