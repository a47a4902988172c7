"""How deep transformations may stand in each other."""

from __future__ import annotations

from typing import Any

from gradchain.tree.limits import MAX_DEPTH, contents

#: A wrapper needs up to 19 calls of Python in each other to be traced, and Python allows 1,000.
MAX_WRAPPERS = 32


def check_nest(where: str, value: Any, is_wrapper: bool) -> None:
    """Refuse a transformation in which others stand too deep.

    Else its update would end in a ``RecursionError``.

    Args:
        where: the argument, for the message.
        value: the argument: a transformation, or a container of some.
        is_wrapper: whether what it is given to adds a wrapper, and no mere chain.

    Raises:
        ValueError: if there are too many.
    """
    for inner in _transformations(value):
        levels, wrappers = _depth(inner)
        if wrappers + is_wrapper > MAX_WRAPPERS:
            raise ValueError(
                f"{where} is nested too deep: it holds {wrappers} wrappers in each other, and"
                f" {MAX_WRAPPERS} may be. What changes updates one after another stands in a chain:"
                " chain(first, second)."
            )
        if levels + 1 > MAX_DEPTH:
            raise ValueError(
                f"{where} is nested too deep: {levels} transformations in each other. A flat chain"
                " does the same: chain(*members)."
            )


def _transformations(value: Any) -> list[Any]:
    """The transformations that an argument is or holds."""
    if hasattr(value, "factory"):
        return [value] if hasattr(type(value), "inner") else []
    parts = contents(value)
    return [tx for part in parts for tx in _transformations(part)] if parts else []


def _depth(tx: Any) -> tuple[int, int]:
    """How many transformations, and how many wrappers, stand in each other.

    Chains that are seen through are no wrappers.
    """
    if "nest" not in tx._cache:
        below = [_depth(x) for k in tx.factory.members for x in _transformations(tx.arguments[k])]
        is_open = not below or (tx.factory.composite and tx.name is None)
        levels, wrappers = (max(counts) for counts in zip((0, 0), *below, strict=True))
        tx._cache["nest"] = levels + 1, wrappers + (not is_open)
    return tx._cache["nest"]
