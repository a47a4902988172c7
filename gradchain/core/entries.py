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
