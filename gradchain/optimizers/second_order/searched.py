"""A direction followed by a line search."""

from __future__ import annotations

from gradchain.core.transformation import GradientTransformation, chain
from gradchain.searches.strong_wolfe import strong_wolfe
from gradchain.transforms.scaling import scale


def with_line_search(
    direction: GradientTransformation, line_search: GradientTransformation | None
) -> GradientTransformation:
    """Chain a direction, downhill, and a line search.

    The line search is ``strong_wolfe()`` unless another is given.
    """
    search = strong_wolfe() if line_search is None else line_search
    return chain(direction, scale(-1.0), search)
