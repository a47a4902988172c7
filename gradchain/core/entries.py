"""Read the parts of a state by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax


def entries(node: Any) -> dict[str, Any]:
    """What a part of a state holds, by name: a dict, or a tuple of a foreign wrapper; nothing of a
    leaf.
    """
    if isinstance(node, Mapping):
        return dict(node)
    if not isinstance(node, tuple | list):
        return {}
    names = getattr(node, "_fields", map(str, range(len(node))))
    return dict(zip(names, node, strict=True))


def is_watch(node: Any) -> bool:
    """Whether a part of a state is that of a ``watch``."""
    entry = entries(node)
    return entry.keys() - {"inner"} == {"count", "metrics"} and "gradient_norm" in entries(
        entry["metrics"]
    )


def is_meter(name: str, node: Any) -> bool:
    """Whether a part of a state called ``name`` is what a ``watch`` reads one norm with."""
    return (
        str(name).endswith(("/in", "/out")) and isinstance(node, dict) and node.keys() == {"norm"}
    )


def unboxed(x: Any) -> Any:
    """The array in a box around one, such as Flax's ``Variable``."""
    leaves = jax.tree.leaves(x)
    return leaves[0] if len(leaves) == 1 else x
