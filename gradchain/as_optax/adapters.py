"""From factories of gradchain to those of optax.

Here are the parts that the dialect shares: masks, dtypes of slots, seeds, any extra argument.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp

from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.complex_slots import codec_for
from gradchain.as_optax.dialect import (
    GradientTransformationExtraArgs,
    in_dialect,
)
from gradchain.as_optax.pieces import taking_any
from gradchain.as_optax.shown import shown_as
from gradchain.core.transformation import GradientTransformation as Native, as_transformation
from gradchain.core.types import Dtype, Pair as AnyPair, Where
from gradchain.precision.storage import storage
from gradchain.tree.selecting import OfTree

P = ParamSpec("P")


def accept_any_extra(tx: Native | AnyPair) -> GradientTransformationExtraArgs:
    """A transformation in the dialect, for any extra argument."""
    if issubclass(type(tx), GradientTransformationExtraArgs):
        return tx
    made = as_transformation(tx, "with_extra_args_support")
    if not made.is_pair:
        return in_dialect(made)
    init, update = made.arguments["init"], made.arguments["update"]
    return GradientTransformationExtraArgs(init, taking_any(update))


with_extra_args_support = accept_any_extra


def where_of(mask: MaskOrFn) -> Where:
    """A mask as a selection.

    A function takes the whole tree; a callable module that is itself a tree counts as a tree.
    """
    if not callable(mask):
        return mask
    return OfTree(mask if jax.tree_util.all_leaves([mask]) else lambda tree: mask)


def stored(
    tx: Native,
    slot: str,
    dtype: Dtype | None,
) -> Native:
    """Keep a slot in a dtype, if one is given."""
    if dtype is None:
        return tx
    by_slot: dict[str, Any] = {slot: codec_for(dtype)}
    return storage(tx, **by_slot)


def accepting_any_extra(
    factory: Callable[P, Native], form: str | None = None
) -> Callable[P, GradientTransformationExtraArgs]:
    """A factory whose transformations are in the dialect.

    Its own arguments stay. ``form`` says how states are shown; see ``shown_as``.
    """

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> GradientTransformationExtraArgs:
        made = factory(*args, **kwargs)
        return accept_any_extra(made if form is None else shown_as(made, form))

    found = inspect.signature(factory)
    parameters = dict(found.parameters)
    # Whose annotation says to programs that it takes a schedule.
    if "learning_rate" in parameters:
        rate = parameters["learning_rate"].replace(annotation=ScalarOrSchedule)
        parameters["learning_rate"] = rate
    make.__signature__ = found.replace(parameters=list(parameters.values()))  # pyright: ignore[reportAttributeAccessIssue]
    return make


def as_seed(
    key: int | jax.Array | None,
    seed: int | None = None,
    otherwise: int = 0,
) -> int:
    """The seed that an integer key stands for.

    Raises:
        TypeError: for a random key, which would have to be in the state; give one to each
            ``update`` instead.
    """
    if seed is not None and key is not None:
        raise ValueError("Only one of seed or key can be specified.")
    number = seed if key is None else key
    if number is None:
        return otherwise
    if not jnp.issubdtype(jnp.result_type(number), jnp.integer) or jnp.ndim(number):
        raise TypeError(
            "key must be an integer, the seed; or give a key to each update, update(..., key=key)."
        )
    return int(number)
