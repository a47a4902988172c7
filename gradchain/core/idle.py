"""Warn of choices of leaves that fit no path."""

from __future__ import annotations

import difflib
import fnmatch
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from gradchain.core.errors import first_names
from gradchain.core.selection import Selection, is_pattern
from gradchain.core.stage import Stage
from gradchain.core.types import Params
from gradchain.tree.paths import named_leaves

_PACKAGE = str(Path(__file__).parents[1])


class IdlePatternWarning(UserWarning):
    """A pattern for paths that fits none of them."""


def warn_of_idle_patterns(stages: list[Stage], params: Params) -> None:
    """Warn of patterns of members that fit no path.

    A hole has a path too: what is said for a whole model may be passed on to each group of leaves.
    """
    patterns = [(stage, text, regex) for stage in stages for text, regex in _patterns(stage)]
    paths = [path for path, _ in named_leaves(params)] if patterns else []
    for stage, text, regex in patterns:
        if not paths or any(map(regex.search, paths)):
            continue
        close = difflib.get_close_matches(text, paths, n=1, cutoff=0.5)
        hint = f" Is {close[0]!r} meant?" if close else ""
        warnings.warn(
            f"{stage.name}: it chooses leaves by {text!r}, which fits no path, so that there are"
            f" none. The paths are {first_names(paths)}.{hint} A glob has to fit the whole of a"
            " path: '*bias' for each bias.",
            IdlePatternWarning,
            stacklevel=_level_of_the_caller(),
        )


def _level_of_the_caller() -> int:
    """How many frames up the user's own call stands."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def _patterns(stage: Stage) -> Iterator[tuple[str, re.Pattern[str]]]:
    """The globs and expressions by which a member chooses leaves."""
    if "observer" in stage.call.factory.roles:
        return  # whose choice is one of names for layers
    body, call = stage.body, stage.call
    rules = getattr(body, "rules", {}).values()
    given = [v for k, v in call.arguments.items() if k in call.factory.choices]
    for where in dict.fromkeys(x for x in (*rules, *given) if is_pattern(x)):
        if isinstance(where, str):
            yield where, re.compile(fnmatch.translate(where))
        elif isinstance(where, re.Pattern):
            yield where.pattern, where
        elif isinstance(where, Selection):
            text = where.arguments["pattern"]
            yield text, re.compile(text)
