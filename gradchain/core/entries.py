"""Read the parts of a state by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax


def entries(node: Any) -> dict[str, Any]:
    """The contents of a part of a state, by name.

    Such a part is a dict, or a tuple of a foreign wrapper; a leaf has none.
    """
    if isinstance(node, Mapping):
        return dict(node)
    if not isinstance(node, tuple | list):
        return {}
    names = getattr(node, "_fields", map(str, range(len(node))))
    return dict(zip(names, node, strict=True))


def unboxed(x: Any) -> Any:
    """The array in a box, such as Flax's ``Variable``."""
    leaves = jax.tree.leaves(x)
    return leaves[0] if len(leaves) == 1 else x


def is_variable(x: Any) -> bool:
    """Whether ``x`` is a box that is written in place.

    Such is the ``Variable`` of Flax NNX.
    """
    return hasattr(type(x), "set_value") and hasattr(type(x), "get_value")


def way_to_a_dict(state: object) -> str:
    """The way out for whoever has another kind of state."""
    init_or_update = "Pass what init(params) or the last update returned"
    if isinstance(state, Mapping):
        return (
            "Give the dict that it holds: flax.core.unfreeze(state) of a FrozenDict,"
            " flax.nnx.to_pure_dict(state) of an nnx.State."
        )
    if isinstance(state, list | tuple):
        others = "a state of optax, or as a serializer made it"
        return f"{init_or_update}; {others}, goes through adopt_state(tx, state, params)."
    return f"{init_or_update}."
