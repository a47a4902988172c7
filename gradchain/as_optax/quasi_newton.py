"""L-BFGS under optax's names, with the fields of its state."""

from typing import Any

import jax.numpy as jnp

from gradchain.as_optax.adapters import accept_any_extra
from gradchain.as_optax.base import ScalarOrSchedule
from gradchain.as_optax.dialect import GradientTransformationExtraArgs, in_dialect
from gradchain.as_optax.line_search import scale_by_zoom_linesearch
from gradchain.as_optax.states import ScaleByLBFGSState as ScaleByLBFGSState
from gradchain.as_optax.wrappers import Pair, named_pair
from gradchain.core.transformation import chain
from gradchain.core.types import Params, Updates
from gradchain.numerics.arithmetic import real_dtype
from gradchain.optimizers.second_order.lbfgs import scale_by_lbfgs as native_scale_by_lbfgs
from gradchain.transforms.scaling import identity, scale, scale_by_learning_rate
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import scaled_norm


def scale_by_lbfgs(memory_size: int = 10, scale_init_precond: bool = True) -> Pair:
    """``gradchain.scale_by_lbfgs``, from the updates that it is given.

    The first ones are scaled to a length of 1 at most.

    Args:
        memory_size: how many pairs of a step and a change of the gradient are remembered.
        scale_init_precond: only ``True``.

    Raises:
        NotImplementedError: for ``scale_init_precond=False``.
    """
    if not scale_init_precond:
        raise NotImplementedError(
            "scale_by_lbfgs: scale_init_precond=False; the pairs begin with a scaled identity."
        )
    tx = native_scale_by_lbfgs(memory_size, scale_first=False)

    shown = in_dialect(tx)

    def update(
        updates: Updates, state: ScaleByLBFGSState, params: Params = None, **extra: Any
    ) -> tuple[Any, ScaleByLBFGSState]:
        updates, new = shown.update(updates, state, params)
        is_first = new.count <= 1
        factor = jnp.where(is_first, 1.0 / jnp.maximum(scaled_norm(updates), 1.0), 1.0)
        scaled = map_leaves(lambda x: x * factor.astype(real_dtype(x.dtype)), updates)
        return scaled, new

    return named_pair("scale_by_lbfgs", shown.init, update)


def lbfgs(
    learning_rate: ScalarOrSchedule | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: Any = scale_by_zoom_linesearch(20, initial_guess_strategy="one"),  # noqa: B008 (a value)
) -> GradientTransformationExtraArgs:
    """L-BFGS, with a rate or a line search.

    Without a rate the direction is multiplied by -1; without a line search it is the step.
    """
    if callable(learning_rate):
        rate = scale_by_learning_rate(learning_rate)
    else:  # which has no count, so that there is but one in the state
        rate = scale(-1.0 if learning_rate is None else -learning_rate)
    direction = scale_by_lbfgs(memory_size, scale_init_precond)
    return accept_any_extra(
        chain(direction, rate, identity() if linesearch is None else linesearch)
    )
