"""Private gradients, with a random key in the state."""

import jax
import jax.numpy as jnp

from gradchain.as_optax.base import ScalarOrSchedule
from gradchain.as_optax.combining import chain
from gradchain.as_optax.contrib_states import DifferentiallyPrivateAggregateState
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.random_noise import key_of
from gradchain.as_optax.scale_by import identity, scale_by_learning_rate
from gradchain.as_optax.transforms import trace
from gradchain.as_optax.wrappers import Pair, named_pair
from gradchain.core.types import Numeric, Params, Tree, Updates
from gradchain.transforms import per_example
from gradchain.tree.mapping import tree_map_live
from gradchain.tree.random import shard_key


def differentially_private_aggregate(
    l2_norm_clip: Numeric,
    noise_multiplier: Numeric,
    key: int | jax.Array | None = None,
    *,
    seed: int | None = None,
) -> Pair:
    """The noisy mean of clipped gradients of single examples.

    See ``gradchain.differentially_private_aggregate``, whose noise depends on step and path. Here
    its key is in the state.

    Args:
        l2_norm_clip: the largest norm of an example's gradient.
        noise_multiplier: the deviation of the noise, in units of that.
        key: a random key, or an integer, its seed.
        seed: the same by its old name.
    """
    per_example.differentially_private_aggregate(l2_norm_clip, noise_multiplier)  # checks both
    first = key_of(key, seed)

    def init(params: Params) -> DifferentiallyPrivateAggregateState:
        return DifferentiallyPrivateAggregateState(first)

    def update(
        updates: Updates, state: DifferentiallyPrivateAggregateState, params: Params = None
    ) -> tuple[Updates, DifferentiallyPrivateAggregateState]:
        per_example.check_stack("differentially_private_aggregate", updates, params)
        clipped, _ = per_example.clip_together(updates, params, l2_norm_clip)
        next_key, noise = _split_and_draw(state.rng_key, clipped)
        # Of an infinite bound and a multiplier of 0 there is no noise.
        deviation = noise_multiplier * jnp.minimum(
            l2_norm_clip, float(jnp.finfo(jnp.float32).max)
        )
        noisy = tree_map_live(lambda x, n: x + deviation.astype(x.dtype) * n, clipped, noise)
        made = per_example.over_number_of_examples(noisy, updates, params)
        return made, DifferentiallyPrivateAggregateState(next_key)

    update.reduces_examples = True  # pyright: ignore[reportFunctionMemberAccess]
    return named_pair("differentially_private_aggregate", init, update)


def dpsgd(
    learning_rate: ScalarOrSchedule,
    l2_norm_clip: float,
    noise_multiplier: float,
    seed: int = 0,
    momentum: float | None = None,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """Private gradient descent, from gradients of single examples.

    See ``differentially_private_aggregate``.
    """
    return chain(
        differentially_private_aggregate(l2_norm_clip, noise_multiplier, seed),
        identity() if momentum is None else trace(momentum, nesterov),
        scale_by_learning_rate(learning_rate),
    )


def _split_and_draw(key: jax.Array, like: Tree) -> tuple[jax.Array, Tree]:
    """The next key, and normal numbers like a tree."""
    leaves, treedef = jax.tree.flatten(like)
    next_key, *keys = jax.random.split(key, len(leaves) + 1)
    pairs = zip(keys, leaves, strict=True)
    drawn = [jax.random.normal(shard_key(k, x), x.shape, x.dtype) for k, x in pairs]
    return next_key, treedef.unflatten(drawn)
