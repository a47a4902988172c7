"""The learning-rate range test: train briefly while the rate grows.

It grows from far too small to far too large.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.plain import checks_numbers
from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Params, Updates
from gradchain.schedules.basic import exponential_decay


@dataclass(frozen=True)
class LearningRateRange:
    """The result of a range test.

    Attributes:
        rates: the learning rate of each step, up to the divergence.
        losses: the loss before each step, of the batch of that step.
        smoothed: the moving average of the loss, as it would be without the differences between
            batches.
        steepest: the rate at which it fell fastest, per factor of the rate: a good one to begin
            with.
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


@checks_numbers
def find_learning_rate(
    loss_and_grad: Callable[[Params, Any], tuple[jax.Array, Updates]],
    params: Params,
    make: Callable[[Schedule], Any],
    batches: Iterable[Any],
    low: Annotated[float, "(0, inf)"] = 1e-7,
    high: Annotated[float, "(0, inf)"] = 10.0,
    steps: Annotated[int, "[2, inf)"] = 100,
    smoothing: Annotated[float, "[0, 1)"] = 0.9,
    divergence: Annotated[float, "(0, inf]"] = 4.0,
) -> LearningRateRange:
    r"""Find a learning rate by a range test.

    Train for some steps while the learning rate grows exponentially, and see where the loss falls
    and where it diverges. The parameters that are passed in stay as they are. One step is compiled,
    once; the loss is looked at after each.

    Each batch is compared with itself, so that batches may differ in level as they like. Its loss
    less its loss at the start is the course of the loss, which says where it is lowest and where it
    diverges. Its loss less its loss before the last step, which another batch has made, is the fall
    in that step: the steepest one is looked for up to where the loss is lowest.

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
        smoothing: the decay of the moving average of the loss, in [0, 1).
        divergence: the loss has diverged once its average is above the least so far by ``divergence
            - 1`` times the mean size of the losses at the start, or once a loss is not finite.

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
    if low >= high:
        raise ValueError(f"find_learning_rate: low must be less than high, not {low=}, {high=}.")
    rates = [float(rate) for rate in np.geomspace(low, high, steps)]
    made = make(exponential_decay(low, steps - 1, high / low))
    tx = as_transformation(made, "find_learning_rate: what 'make' returns")
    course, diverged = _Course(smoothing), None
    train = _losses(loss_and_grad, tx, params, batches)
    for rate, (at_start, before, loss) in zip(rates, train, strict=False):
        if not course.goes_on(at_start, before, loss, divergence):
            diverged = rate
            break
    if not course.losses:
        raise ValueError(
            "find_learning_rate: the first loss is not finite; begin with other parameters."
        )
    seen = np.array(rates[: len(course.losses)])
    smoothed = np.array(course.level) + np.mean(course.at_start)
    steepest = _steepest(seen, course)
    return LearningRateRange(seen, np.array(course.losses), smoothed, steepest, diverged)


@dataclass
class _Course:
    """The course of the loss, step by step.

    Attributes:
        smoothing: the decay of moving averages, which have no pull towards zero at their start.
        losses: the loss of each batch.
        at_start: its loss at the start.
        level: the average of the loss less that at the start.
        falls: the average of the sum of all changes of the loss in a step.
    """

    smoothing: float
    losses: list[float] = field(default_factory=list)
    at_start: list[float] = field(default_factory=list)
    level: list[float] = field(default_factory=list)
    falls: list[float] = field(default_factory=list)
    change: float = 0.0
    averages: tuple[float, ...] = (0.0, 0.0)

    def goes_on(self, at_start: float, before: float, loss: float, divergence: float) -> bool:
        """Take in losses of a batch; whether none has diverged."""
        if not np.all(np.isfinite([at_start, before, loss])):
            return False
        change = self.change + loss - before
        new = (loss - at_start, change)
        decay = self.smoothing
        averages = [decay * a + (1 - decay) * x for a, x in zip(self.averages, new, strict=True)]
        level, falls = (a / (1 - decay ** (len(self.losses) + 1)) for a in averages)
        size = np.mean(np.abs([*self.at_start, at_start]))
        if self.losses and level - min(self.level) > (divergence - 1) * size:
            return False
        self.change, self.averages = change, tuple(averages)
        self.losses.append(loss)
        self.at_start.append(at_start)
        self.level.append(level)
        self.falls.append(falls)
        return True


def _losses(
    loss_and_grad: Callable[[Params, Any], tuple[jax.Array, Updates]],
    tx: GradientTransformation,
    params: Params,
    batches: Iterable[Any],
) -> Iterator[tuple[float, ...]]:
    """Train without end; yield losses of each batch.

    They are those at the start, before the last step, and after it.
    """
    loss_and_grad = jax.jit(loss_and_grad)  # traced once for both evaluations

    @jax.jit
    def step(start, last, params, state, batch):
        others = [loss_and_grad(p, batch)[0] for p in (start, last)]
        loss, grads = loss_and_grad(params, batch)
        value_fn = lambda params: loss_and_grad(params, batch)[0]
        new = tx.step(grads, state, params, value=loss, grad=grads, value_fn=value_fn)
        return (*others, loss), *new

    as_array = lambda x: jnp.asarray(x) if isinstance(x, float | np.ndarray) else x
    start = last = params = jax.tree.map(as_array, params)
    state = tx.init(params)
    for batch in itertools.cycle(batches):
        losses, new, state = step(start, last, params, state, batch)
        last, params = params, new
        yield tuple(map(float, losses))
    raise ValueError("find_learning_rate: there are no batches.")


def _steepest(rates: np.ndarray, course: _Course) -> float:
    """The rate of the steepest fall to new depths."""
    # Beyond the lowest loss, changes of large steps add up to mere noise; and to come down again
    # from where too large a rate has thrown it is no descent.
    end = max(int(np.argmin(course.level)) + 1, 2)
    if len(rates) < 2:
        return float(rates[0])
    least = np.minimum.accumulate(course.falls[:end])
    return float(rates[np.argmin(np.gradient(least, np.log(rates[:end])))])
