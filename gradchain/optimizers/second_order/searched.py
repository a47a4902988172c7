"""A direction followed by a line search."""

from __future__ import annotations

from typing import Any

from gradchain.core.transformation import GradientTransformation, chain
from gradchain.searches.strong_wolfe import strong_wolfe
from gradchain.transforms.scaling import scale


def with_line_search(
    direction: GradientTransformation, line_search: GradientTransformation | None
) -> Any:
    """A direction, downhill, and how far to go along it: by ``strong_wolfe()`` unless something
    else is given.
    """
    return chain(direction, scale(-1.0), strong_wolfe() if line_search is None else line_search)
