"""How many transformations may stand in each other."""

from __future__ import annotations

from typing import Any, NamedTuple

from gradchain.tree.limits import MAX_DEPTH, contents

#: A wrapper needs up to 19 calls of Python in each other to be traced, and Python allows 1,000.
MAX_WRAPPERS = 32
#: Each has a state of its own; to make and to trace that of one takes milliseconds.
MAX_MEMBERS = 2_000


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
        levels, wrappers, _ = _measured(inner)
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


def check_members(factory: str, names: list[str], arguments: dict[str, Any]) -> None:
    """Refuse a transformation that holds too many others.

    One that stands in several places counts at each of them, as it has a state at each, so that few
    words make many: ``t = parallel(t, t)`` doubles them each time.

    Args:
        factory: the name of the factory, for the message.
        names: the arguments that are transformations, or hold some.
        arguments: all arguments.

    Raises:
        ValueError: if there are more than ``MAX_MEMBERS``.
    """
    count = _count(names, arguments)
    if count > MAX_MEMBERS:
        of_groups = (
            " A dict of changes in a rule is the whole default once more: give all rules to one"
            " groups."
        )
        raise ValueError(
            f"{factory} holds {count:,} transformations, each with a state of its own, and"
            f" {MAX_MEMBERS:,} may be. One that stands in several places counts at each."
            f"{of_groups if factory == 'groups' else ''}"
        )


def _count(names: list[str], arguments: dict[str, Any]) -> int:
    """How many transformations stand in arguments, however deep."""
    counts = lambda name: [_measured(tx).members for tx in _transformations(arguments[name])]
    # In the rules of groups a dict of changes makes another default.
    rules = [list(contents(rule)) for rule in contents(arguments.get("rules"))]
    copies = 1 + sum(isinstance(x, dict) for rule in rules for x in rule[1:2])
    return sum(sum(counts(name)) * (copies if name == "default" else 1) for name in names)


def _transformations(value: Any) -> list[Any]:
    """The transformations that an argument is or holds."""
    if hasattr(value, "factory"):
        return [value] if hasattr(type(value), "inner") else []
    parts = contents(value)
    return [tx for part in parts for tx in _transformations(part)] if parts else []


class Size(NamedTuple):
    """The size of a transformation.

    Attributes:
        levels: how many transformations stand in each other.
        wrappers: how many of these are wrappers; chains that are seen through are none.
        members: how many it is in all.
    """

    levels: int
    wrappers: int
    members: int


def _measured(tx: Any) -> Size:
    """The size of a transformation, found once."""
    return tx.kept("size", lambda: _measure(tx))


def _measure(tx: Any) -> Size:
    names = tx.factory.members
    below = [_measured(x) for k in names for x in _transformations(tx.arguments[k])]
    is_open = not below or (tx.factory.composite and tx.name is None)
    levels = max((size.levels for size in below), default=0)
    wrappers = max((size.wrappers for size in below), default=0)
    members = 1 + _count(names, tx.arguments)
    return Size(levels + 1, wrappers + (not is_open), members)
