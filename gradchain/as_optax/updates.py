"""Functions of updates and parameters after a step."""

import jax
import jax.numpy as jnp

from gradchain.core.apply import apply_updates as apply_updates
from gradchain.core.types import Numeric, Tree, Updates
from gradchain.tree.mapping import tree_map_live
from gradchain.tree.norms import global_norm as _global_norm


def global_norm(updates: Updates) -> jax.Array:
    """The Euclidean norm of all leaves together."""
    return _global_norm(updates)


def incremental_update(new_tensors: Tree, old_tensors: Tree, step_size: Numeric) -> Tree:
    """Go a part of the way from old to new.

    It makes, for example, an average of parameters or a target network.
    """
    mix = lambda new, old: step_size * new + (1.0 - step_size) * old
    return tree_map_live(mix, new_tensors, old_tensors)


def periodic_update(
    new_tensors: Tree, old_tensors: Tree, steps: Numeric, update_period: Numeric
) -> Tree:
    """The new when a period starts, else the old."""
    return jax.lax.cond(
        jnp.mod(steps, update_period) == 0, lambda: new_tensors, lambda: old_tensors
    )
