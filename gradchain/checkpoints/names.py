"""Parts of the names of arrays in a state."""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Iterable


def leaf_path(name: str, params: Iterable[str]) -> str:
    """The longest path of a parameter that ends a name."""
    parts = name.split("/")
    endings = ("/".join(parts[i:]) for i in range(1, len(parts)))
    return next((path for path in endings if path in params), "")


def up_to(name: str, end: str) -> str:
    """A path without its last part ``end``."""
    return name.removesuffix(end).removesuffix("/") if end else name


def last(path: str) -> str:
    """The last name in a path."""
    _, _, name = path.rpartition("/")
    return name


def above(path: str) -> str:
    """A path without its last name."""
    before, _, _ = path.rpartition("/")
    return before


def base(entry: str) -> str:
    """The name of a stage without its number of repeat."""
    return re.sub(r"_\d+$", "", last(entry))


def names_below(names: Iterable[str]) -> dict[str, set[str]]:
    """The names in each part of a state."""
    below: dict[str, set[str]] = collections.defaultdict(set)
    for name in names:
        parts = name.split("/")
        for i, part in enumerate(parts):
            below["/".join(parts[:i])].add(part)
    return below


def neighbours(names: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of neighbours, for example stage and slot."""
    return {pair for name in names for pair in itertools.pairwise(name.split("/"))}
