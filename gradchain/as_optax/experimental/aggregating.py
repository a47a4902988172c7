"""``optax.experimental.aggregating``: gradients of single elements become one."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import with_extra_args_support
from gradchain.as_optax.base import OptState, init_empty_state
from gradchain.as_optax.combining import chain
from gradchain.as_optax.dialect import GradientTransformation, GradientTransformationExtraArgs
from gradchain.as_optax.numerics import safe_increment
from gradchain.as_optax.pieces import taking_any
from gradchain.as_optax.scale_by import identity
from gradchain.as_optax.tree_utils import tree_get, tree_where, tree_zeros_like
from gradchain.as_optax.wrappers import start_count
from gradchain.core.types import Numeric, Pair as AnyPair, Params, Tree, Updates

Axes: TypeAlias = int | Sequence[int]
AggregatorUpdateFn: TypeAlias = Callable[..., Any]


class _ByClass(type(GradientTransformation)):
    """Instances are what was made by the class."""

    def __instancecheck__(cls, x: Any) -> bool:
        return type.__instancecheck__(cls, x)


class Aggregator(GradientTransformationExtraArgs, metaclass=_ByClass):
    """A pair whose updates are those of single elements.

    They have a batch axis, which its results have not.
    """

    __slots__ = ()


class AccumulateAvgUpdatesState(NamedTuple):
    """The state of ``accumulate_avg_updates``."""

    micro_step: jax.Array
    ready: jax.Array
    avg_grad: Updates


class PerElementMeanAndSumSqDiffGradsState(NamedTuple):
    """The state of ``get_per_element_mean_and_sum_sq_diff_grads``."""

    micro_step: jax.Array
    ready: jax.Array
    mean_grads: Updates
    sum_sq_diff_grads: Updates


class PerElementMeanAndVarianceEMAState(NamedTuple):
    """The state of ``track_per_element_mean_and_variance_with_ema``."""

    count: Any
    ema_decay: jax.Array
    mean_grads_ema: Updates
    variance_grads_ema: Updates


def process(
    preprocessor: GradientTransformation | AnyPair,
    aggregator: GradientTransformation | AnyPair,
    postprocessor: GradientTransformation | AnyPair,
    aggregator_has_aux: bool = False,
) -> GradientTransformationExtraArgs:
    """Change elements, make one of them, change that.

    Where the aggregator's state has a field ``ready`` that is false, updates are zero and the last
    one rests.

    Args:
        preprocessor: what happens to the gradients of elements.
        aggregator: the pair that makes one of them.
        postprocessor: what happens to that, for example an optimizer.
        aggregator_has_aux: whether the aggregator gives updates and a dict of extra arguments for
            the last.

    Returns:
        An ``Aggregator`` if ``aggregator`` is one, else a transformation.
    """
    first, last = map(with_extra_args_support, (preprocessor, postprocessor))
    join = with_extra_args_support(aggregator)
    join_update = taking_any(join.update)

    def init(params: Params) -> tuple[OptState, OptState, OptState]:
        return first.init(params), join.init(params), last.init(params)

    def update(
        updates: Updates, state: Any, params: Params = None, **extra: Any
    ) -> tuple[Updates, tuple[OptState, OptState, OptState]]:
        updates, first_state = first.update(updates, state[0], params, **extra)
        updates, join_state = join_update(updates, state[1], params, **extra)
        aux = {}
        if aggregator_has_aux:
            updates, aux = updates
        go = lambda: last.update(updates, state[2], params, **(extra | aux))
        rest = lambda: (tree_zeros_like(updates), state[2])
        ready = tree_get(join_state, "ready", True)
        updates, last_state = go() if ready is True else jax.lax.cond(ready, go, rest)
        return updates, (first_state, join_state, last_state)

    kind = Aggregator if isinstance(aggregator, Aggregator) else GradientTransformationExtraArgs
    return kind(init, update)


def average_per_element_updates(per_elt_axis: Axes = 0) -> Aggregator:
    """The mean over the elements."""
    axes = _axes(per_elt_axis)

    def update(updates: Updates, state: OptState, params: Params = None) -> tuple[Updates, Any]:
        return jax.tree.map(lambda g: jnp.mean(g, axis=axes), updates), state

    return Aggregator(init_empty_state, update)


def accumulate_avg_updates(accumulation_steps: int) -> GradientTransformationExtraArgs:
    """The mean over some updates, at the last of them.

    Others are zero, and ``ready`` in the state is false.

    Raises:
        ValueError: if ``accumulation_steps`` is below 1.
    """
    if accumulation_steps < 1:
        raise ValueError(
            f"accumulation_steps must be larger than or equal to 1, not {accumulation_steps}."
        )
    if accumulation_steps == 1:
        return identity()

    def init(params: Params) -> AccumulateAvgUpdatesState:
        return AccumulateAvgUpdatesState(start_count(), jnp.array(False), tree_zeros_like(params))

    def update(
        updates: Updates, state: AccumulateAvgUpdatesState, params: Params = None
    ) -> tuple[Updates, AccumulateAvgUpdatesState]:
        step = safe_increment(state.micro_step)
        mean = _nearer(state.avg_grad, updates, step)
        new = AccumulateAvgUpdatesState(step, jnp.array(False), mean)
        return _at_end(step == accumulation_steps, mean, new)

    return GradientTransformationExtraArgs(init, taking_any(update))


def average_incrementally_updates(
    per_elt_axis: Axes | None, accumulation_steps: int
) -> GradientTransformationExtraArgs:
    """The mean over elements, and then over some updates.

    Without an axis it is that over updates alone, else an ``Aggregator``.
    """
    over_steps = accumulate_avg_updates(accumulation_steps)
    if per_elt_axis is None:
        return over_steps
    both = chain(average_per_element_updates(per_elt_axis), over_steps)
    return Aggregator(both.init, both.update)


def get_batch_size_from_per_elt_updates(per_elt_updates: Updates, per_elt_axis: Axes) -> int:
    """The number of elements.

    Raises:
        ValueError: if leaves differ in it.
    """
    axes = _axes(per_elt_axis)
    sizes = [math.prod(g.shape[axis] for axis in axes) for g in jax.tree.leaves(per_elt_updates)]
    if len(set(sizes)) != 1:
        raise ValueError(f"Per-element updates must have the same batch size. Got: {sizes}")
    return sizes[0]


def get_per_element_mean_and_sum_sq_diff_grads(
    per_elt_axis: Axes = 0, accumulation_steps: int = 1
) -> Aggregator:
    r"""The mean over elements, and their squared distances from it.

    .. math:: \bar g = \frac1n \sum_i g_i, \qquad \sum_i (g_i - \bar g)^2

    Batches are joined by the formula of Chan et al., "Updating Formulae and a Pairwise Algorithm
    for Computing Sample Variances", 1982.

    Args:
        per_elt_axis: the axes of the elements.
        accumulation_steps: over how many batches.

    Returns:
        An aggregator of the mean and of a dict, ``sum_sq_diff_grads`` and ``sample_size``.
    """
    axes = _axes(per_elt_axis)

    def of_batch(updates: Updates) -> tuple[Updates, Updates, int]:
        size = get_batch_size_from_per_elt_updates(updates, axes)
        mean = jax.tree.map(lambda g: jnp.mean(g, axis=axes), updates)
        far = lambda g: jnp.sum(jnp.square(g - jnp.mean(g, axis=axes, keepdims=True)), axis=axes)
        return mean, jax.tree.map(far, updates), size

    def at_once(updates: Updates, state: OptState, params: Params = None) -> tuple[Any, Any]:
        mean, squares, size = of_batch(updates)
        return (mean, {"sum_sq_diff_grads": squares, "sample_size": size}), state

    def init(params: Params) -> PerElementMeanAndSumSqDiffGradsState:
        zeros = tree_zeros_like(params)
        return PerElementMeanAndSumSqDiffGradsState(start_count(), jnp.array(False), zeros, zeros)

    def update(
        updates: Updates, state: PerElementMeanAndSumSqDiffGradsState, params: Params = None
    ) -> tuple[Any, PerElementMeanAndSumSqDiffGradsState]:
        step = safe_increment(state.micro_step)
        here, squares_here, size = of_batch(updates)
        mean = _nearer(state.mean_grads, here, step)
        join = lambda a, b, m, x: a + b + jnp.square(x - m) * _as(size * (step - 1) / step, x)
        squares = jax.tree.map(
            join, state.sum_sq_diff_grads, squares_here, state.mean_grads, here
        )
        found = mean, {"sum_sq_diff_grads": squares, "sample_size": size * step}
        new = PerElementMeanAndSumSqDiffGradsState(step, jnp.array(False), mean, squares)
        return _at_end(step == accumulation_steps, found, new)

    if accumulation_steps == 1:
        return Aggregator(init_empty_state, at_once)
    return Aggregator(init, update)


def track_per_element_mean_and_variance_with_ema(
    ema_decay: Numeric = 0.9,
) -> GradientTransformationExtraArgs:
    """Keep moving averages of mean and variance of elements.

    Updates pass. The numbers come from ``get_per_element_mean_and_sum_sq_diff_grads``, see
    ``add_mean_variance_to_opt``.
    """
    average = lambda old, new: (1 - ema_decay) * new + ema_decay * old

    def init(params: Params) -> PerElementMeanAndVarianceEMAState:
        zeros = tree_zeros_like(params)
        return PerElementMeanAndVarianceEMAState(
            start_count(), jnp.asarray(ema_decay), zeros, zeros
        )

    def update(
        updates: Updates,
        state: PerElementMeanAndVarianceEMAState,
        params: Params = None,
        *,
        sum_sq_diff_grads: Updates,
        sample_size: Any,
        **extra: Any,
    ) -> tuple[Updates, PerElementMeanAndVarianceEMAState]:
        variance = jax.tree.map(lambda s: s / _as(sample_size - 1, s), sum_sq_diff_grads)
        return updates, PerElementMeanAndVarianceEMAState(
            safe_increment(state.count),
            state.ema_decay,
            jax.tree.map(average, state.mean_grads_ema, updates),
            jax.tree.map(average, state.variance_grads_ema, variance),
        )

    return GradientTransformationExtraArgs(init, update)


def get_unbiased_mean_and_variance_ema(state: OptState) -> tuple[Updates, Updates]:
    """Mean and variance of elements, without bias towards zero.

    Raises:
        ValueError: if nothing in the state tracks them.
    """
    found = tree_get(state, "PerElementMeanAndVarianceEMAState", None)
    if found is None:
        raise ValueError(
            "State must have PerElementMeanAndVarianceEMAState to compute unbiased mean and"
            " variance EMA; add_mean_variance_to_opt makes optimizers that keep it."
        )
    share = 1 - found.ema_decay**found.count
    debias = lambda tree: jax.tree.map(lambda x: x / _as(share, x), tree)
    return debias(found.mean_grads_ema), debias(found.variance_grads_ema)


def add_mean_variance_to_opt(
    opt: GradientTransformation | AnyPair,
    ema_decay: Numeric = 0.9,
    per_elt_axis: Axes = 0,
    accumulation_steps: int = 1,
) -> GradientTransformationExtraArgs:
    """An optimizer that also tracks mean and variance of elements.

    ``get_unbiased_mean_and_variance_ema`` reads them from its state.

    Args:
        opt: the optimizer, which is given the mean.
        ema_decay: the share of the past in the averages.
        per_elt_axis: the axes of the elements.
        accumulation_steps: over how many batches a mean is taken.
    """
    return process(
        identity(),
        get_per_element_mean_and_sum_sq_diff_grads(per_elt_axis, accumulation_steps),
        chain(track_per_element_mean_and_variance_with_ema(ema_decay), opt),
        aggregator_has_aux=True,
    )


def _axes(axes: Axes) -> tuple[int, ...]:
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _as(number: Any, x: jax.Array) -> jax.Array:
    return jnp.asarray(number, x.dtype)


def _nearer(mean: Updates, new: Updates, step: jax.Array) -> Updates:
    """The mean after one more, the ``step``-th."""
    return jax.tree.map(lambda m, x: m + (x - m) / _as(step, m), mean, new)


def _at_end(is_end: jax.Array, found: Tree, new: Any) -> tuple[Tree, Any]:
    """The result and a new start at the end."""
    start = tree_zeros_like(new)._replace(ready=jnp.array(True))
    return tree_where(is_end, (found, start), (tree_zeros_like(found), new))
