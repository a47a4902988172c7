"""Read the parts of a state by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax


def entries(node: Any) -> dict[str, Any]:
    """The contents of a part of a state, by name.

    Such a part is a dict, a tuple of a foreign wrapper, or an object with fields, such as a
    ``TrainState`` and an ``nnx.Optimizer``; a leaf has none.
    """
    if isinstance(node, Mapping):
        return dict(node)
    if isinstance(node, tuple | list):
        names = getattr(node, "_fields", map(str, range(len(node))))
        return dict(zip(names, node, strict=True))
    if node is None or isinstance(node, jax.Array) or is_variable(node):
        return {}
    found = jax.tree_util.default_registry.flatten_one_level_with_keys(node)
    fields = [] if found is None else found[0]
    return {key.name: x for key, x in fields if isinstance(key, jax.tree_util.GetAttrKey)}


def held_by(x: Any) -> Any:
    """The state in what holds one, else ``x`` itself.

    One is held by an ``nnx.Optimizer``, the ``nnx.State`` of one, or a ``TrainState``.
    """
    if type(x) is dict or not (isinstance(x, Mapping) or hasattr(x, "opt_state")):
        return x
    return x.get("opt_state", x) if isinstance(x, Mapping) else x.opt_state


def as_dict(state: Any) -> Any:
    """A state of mappings, such as ``nnx.State``, as dicts."""
    if type(state) is dict or not isinstance(state, Mapping):
        return state
    return {name: as_dict(x) for name, x in state.items()}


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
    if (held := held_by(state)) is not state:
        is_boxed = any(map(is_variable, jax.tree.leaves(held, is_leaf=is_variable)))
        of_object = "flax.nnx.as_pure(optimizer.opt_state)" if is_boxed else "state.opt_state"
        is_mapping = isinstance(state, Mapping)
        way = "flax.nnx.to_pure_dict(state)['opt_state']" if is_mapping else of_object
        return f"Give the state that it holds: {way}."
    if isinstance(state, Mapping):
        return (
            "Give the dict that it holds: flax.core.unfreeze(state) of a FrozenDict,"
            " flax.nnx.to_pure_dict(state) of an nnx.State."
        )
    if isinstance(state, list | tuple):
        others = "a state of optax, or as a serializer made it"
        return f"{init_or_update}; {others}, goes through adopt_state(tx, state, params)."
    return f"{init_or_update}."
