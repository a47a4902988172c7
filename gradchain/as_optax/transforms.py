"""``optax.transforms``."""

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import (
    accept_any_extra,
    accepting_any_extra,
    stored,
    where_of,
)
from gradchain.as_optax.base import (
    EmptyState as EmptyState,
    MaskedNode as MaskedNode,
    MaskOrFn,
    ScalarOrSchedule,
)
from gradchain.as_optax.combining import (
    chain as chain,
    freeze as freeze,
    masked as masked,
    named_chain as named_chain,
    partition as partition,
    selective_transform as selective_transform,
)
from gradchain.as_optax.conditional import (
    ApplyIfFiniteState as ApplyIfFiniteState,
    ConditionallyMaskState as ConditionallyMaskState,
    ConditionallyTransformState as ConditionallyTransformState,
    ConditionFn as ConditionFn,
    apply_if_finite as apply_if_finite,
    conditionally_mask as conditionally_mask,
    conditionally_transform as conditionally_transform,
)
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.monitoring import (
    MonitorState as MonitorState,
    SnapshotState as SnapshotState,
    measure_with_ema as measure_with_ema,
    monitor as monitor,
    snapshot as snapshot,
)
from gradchain.as_optax.random_noise import add_noise as add_noise
from gradchain.as_optax.wrappers import (
    MultiSteps as MultiSteps,
    ShouldSkipUpdateFunction as ShouldSkipUpdateFunction,
    flatten as flatten,
    skip_large_updates as skip_large_updates,
    skip_not_finite as skip_not_finite,
)
from gradchain.core.ranges import Hyper
from gradchain.core.types import Dtype, Numeric, Params, Updates
from gradchain.numerics.lengths import norm_along
from gradchain.transforms.clipping import (
    adaptive_grad_clip as native_adaptive_grad_clip,
    clip as native_clip,
    clip_by_block_rms as native_clip_by_block_rms,
    clip_by_global_norm as native_clip_by_global_norm,
    unit_dims,
)
from gradchain.transforms.momentum import add_momentum, average_updates
from gradchain.transforms.normalizing import zero_nans as native_zero_nans
from gradchain.transforms.per_example import (
    per_example_global_norm_clip as per_example_global_norm_clip,
    per_example_layer_norm_clip as per_example_layer_norm_clip,
)
from gradchain.transforms.scaling import stateless
from gradchain.transforms.weight_decay import add_decayed_weights as native_add_decayed_weights
from gradchain.tree.mapping import tree_map_live

adaptive_grad_clip = accepting_any_extra(native_adaptive_grad_clip)
clip = accepting_any_extra(native_clip)
clip_by_block_rms = accepting_any_extra(native_clip_by_block_rms)
clip_by_global_norm = accepting_any_extra(native_clip_by_global_norm)
zero_nans = accepting_any_extra(native_zero_nans)


def trace(
    decay: Hyper = 0.9,
    nesterov: bool = False,
    accumulator_dtype: Dtype | None = None,
    *,
    dampening: Hyper | None = None,
) -> GradientTransformationExtraArgs:
    """Add a decaying sum of past updates.

    See ``gradchain.add_momentum``.
    """
    tx = add_momentum(decay, nesterov, dampening)
    return accept_any_extra(stored(tx, "momentum", accumulator_dtype))


def ema(
    decay: ScalarOrSchedule, debias: bool = True, accumulator_dtype: Dtype | None = None
) -> GradientTransformationExtraArgs:
    """The moving average of the updates."""
    return accept_any_extra(stored(average_updates(decay, debias), "average", accumulator_dtype))


def add_decayed_weights(
    weight_decay: ScalarOrSchedule = 0.0, mask: MaskOrFn = None
) -> GradientTransformationExtraArgs:
    """Add a multiple of the parameters that a mask selects."""
    return accept_any_extra(native_add_decayed_weights(weight_decay, where_of(mask)))


def keep_params_nonnegative() -> GradientTransformationExtraArgs:
    """Shorten updates so that no parameter passes below zero."""
    return accept_any_extra(stateless(_down_to_zero))


def _down_to_zero(updates: Updates, params: Params) -> Any:
    if params is None:
        raise ValueError(
            "keep_params_nonnegative needs params: call update(grads, state, params)."
        )
    return tree_map_live(lambda u, p: jnp.where(p + u < 0.0, -p, u), updates, params)


def unitwise_norm(x: Any, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """The norm of each unit of a layer.

    It has the shape of the layer; see ``adaptive_grad_clip``.
    """
    if axis is None and x.ndim > 5:
        raise ValueError(f"unitwise_norm: axis is needed for a shape of {x.ndim} dimensions.")
    dims = unit_dims(x) if axis is None else axis
    return jnp.broadcast_to(norm_along(x, dims), x.shape)


def unitwise_clip(
    g_norm: Any, max_norm: Numeric, grad: Updates, div_eps: Numeric = 1e-6
) -> jax.Array:
    """Bring norms of a gradient's units down to a bound.

    All arguments have one shape.
    """
    if not jnp.shape(g_norm) == jnp.shape(max_norm) == jnp.shape(grad):
        raise ValueError(
            f"unitwise_clip: shapes {jnp.shape(g_norm)}, {jnp.shape(max_norm)}, {jnp.shape(grad)}."
        )
    clipped = grad * (max_norm / jnp.maximum(g_norm, div_eps))
    return jnp.where(g_norm < max_norm, grad, clipped)
