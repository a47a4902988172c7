"""Functions of updates and parameters after a step."""

import jax
import jax.numpy as jnp

from gradchain.as_optax.views import is_none
from gradchain.core.apply import apply_updates as native_apply_updates
from gradchain.core.types import Numeric, Params, Tree, Updates
from gradchain.tree.mapping import tree_map_live
from gradchain.tree.norms import global_norm as _global_norm


def apply_updates(params: Params, updates: Updates) -> Params:
    """Add updates to parameters; ``None`` among the parameters stays.

    See ``gradchain.apply_updates``.
    """
    if any(x is None for x in jax.tree.leaves(params, is_leaf=is_none)):
        keep = lambda p, u: None if p is None else u
        updates = jax.tree.map(keep, params, updates, is_leaf=is_none)
    return None if params is None else native_apply_updates(params, updates)


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
