"""``optax.transforms``."""

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import as_seed, speak, stored_as, where_of
from gradchain.as_optax.base import EmptyState as EmptyState
from gradchain.as_optax.base import MaskedNode as MaskedNode
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.combining import chain as chain
from gradchain.as_optax.combining import freeze as freeze
from gradchain.as_optax.combining import masked as masked
from gradchain.as_optax.combining import named_chain as named_chain
from gradchain.as_optax.combining import partition as partition
from gradchain.as_optax.combining import selective_transform as selective_transform
from gradchain.as_optax.wrappers import ConditionFn as ConditionFn
from gradchain.as_optax.wrappers import MultiSteps as MultiSteps
from gradchain.as_optax.wrappers import ShouldSkipUpdateFunction as ShouldSkipUpdateFunction
from gradchain.as_optax.wrappers import apply_if_finite as apply_if_finite
from gradchain.as_optax.wrappers import conditionally_mask as conditionally_mask
from gradchain.as_optax.wrappers import conditionally_transform as conditionally_transform
from gradchain.as_optax.wrappers import flatten as flatten
from gradchain.as_optax.wrappers import skip_large_updates as skip_large_updates
from gradchain.as_optax.wrappers import skip_not_finite as skip_not_finite
from gradchain.core import GradientTransformation
from gradchain.transforms import decay as decays
from gradchain.transforms import momentum, noise
from gradchain.transforms.basic import stateless
from gradchain.transforms.clipping import adaptive_grad_clip as adaptive_grad_clip
from gradchain.transforms.clipping import clip as clip
from gradchain.transforms.clipping import clip_by_block_rms as clip_by_block_rms
from gradchain.transforms.clipping import clip_by_global_norm as clip_by_global_norm
from gradchain.transforms.processing import zero_nans as zero_nans
from gradchain.trees import tree_map_live

_ACCUMULATOR = {"accumulator_dtype": "momentum"}
trace = speak(momentum.add_momentum, "decay nesterov accumulator_dtype", dtypes=_ACCUMULATOR, name="trace")


def ema(decay: ScalarOrSchedule, debias: bool = True, accumulator_dtype: Any = None) -> GradientTransformation:
    """The moving average of the updates."""
    tx = momentum.average_updates(decay, debias)
    return tx if accumulator_dtype is None else stored_as(tx, ("average",), jnp.dtype(accumulator_dtype).name)


def add_decayed_weights(weight_decay: ScalarOrSchedule = 0.0, mask: MaskOrFn = None) -> GradientTransformation:
    """Add a multiple of the parameters, where a mask is true."""
    return decays.add_decayed_weights(weight_decay, where_of(mask))


def add_noise(
    eta: ScalarOrSchedule, gamma: ScalarOrSchedule, key: Any = None, *, seed: int | None = None
) -> GradientTransformation:
    """Add noise that fades; ``key`` is an integer, the seed."""
    return noise.add_noise(eta, gamma, as_seed(key, seed))


def keep_params_nonnegative() -> GradientTransformation:
    """Shorten updates so that no parameter passes below zero."""
    return stateless(_down_to_zero)


def _down_to_zero(updates: Any, params: Any) -> Any:
    if params is None:
        raise ValueError("keep_params_nonnegative needs params: call update(grads, state, params).")
    return tree_map_live(lambda u, p: jnp.where(p + u < 0.0, -p, u), updates, params)


def per_example_global_norm_clip(grads: Any, l2_norm_clip: Any) -> tuple[Any, jax.Array]:
    """The sum over examples of gradients clipped to a norm, and how many were clipped.

    Args:
        grads: gradients with a leading dimension of examples; a list or a tree.
        l2_norm_clip: the largest norm that passes unchanged.
    """
    leaves = jax.tree.leaves(grads)
    if any(g.ndim == 0 or g.shape[0] != leaves[0].shape[0] for g in leaves):
        raise ValueError("Unlike other transforms, this one takes gradients with a leading dimension of examples.")
    square = sum(jnp.sum(jnp.square(g), range(1, g.ndim)) for g in leaves)
    norms = jnp.sqrt(square)
    factors = l2_norm_clip / jnp.maximum(norms, l2_norm_clip)
    return jax.tree.map(lambda g: jnp.tensordot(factors, g, 1), grads), jnp.sum(norms > l2_norm_clip)
