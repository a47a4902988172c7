"""Parts of the names of arrays in a state."""

from __future__ import annotations

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
