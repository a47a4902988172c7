"""Limits of the depth and size of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax

MAX_DEPTH = 100
MAX_PARTS = 100_000

Children = Callable[[Any], Iterable[Any]]
"""From a container to its parts; of anything else there are none."""


def contents(node: Any) -> Iterable[Any]:
    """The parts of a dict, list or tuple."""
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list | tuple) else ()


def children(node: Any) -> Iterable[Any]:
    """The parts of a node, one level deep."""
    if node is None:
        return ()
    try:
        found = jax.tree_util.default_registry.flatten_one_level(node)
    except (TypeError, ValueError):  # keys that cannot be sorted, for example
        return contents(node)
    return () if found is None else found[0]


def short(x: Any) -> str:
    """A value for a message, cut where it is long."""
    text = repr(x)
    return text if len(text) <= 100 else f"{text[:97]}..."


def check_size(
    name: str, data: Any, parts_of: Children = contents, max_parts: int | None = MAX_PARTS
) -> None:
    """Refuse data that is too deep or large.

    It is looked at level by level, so that no recursion ends early. A part that stands in
    several places counts at each of them, as an alias of YAML does.

    Args:
        name: what the data is, for the message.
        data: nested containers.
        parts_of: from a container to its parts.
        max_parts: how many parts it may have; ``None`` for any number.

    Raises:
        ValueError: if it is deeper than ``MAX_DEPTH`` levels, or has more parts.
    """
    level, depth, seen = [data], 0, 1
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"{name} is nested too deep: more than {MAX_DEPTH} levels.")
        following: list[Any] = []
        for node in level:
            following.extend(parts_of(node))
            if max_parts is not None and seen + len(following) > max_parts:
                raise ValueError(
                    f"{name} has more than {max_parts:,} parts. An alias of YAML counts each"
                    " time that it is used."
                )
        level, depth, seen = following, depth + 1, seen + len(following)
