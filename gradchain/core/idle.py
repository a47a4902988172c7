"""Warn of choices of leaves that fit no path."""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from gradchain.core.errors import first_names
from gradchain.core.selection import Selection, is_pattern, patterns_in
from gradchain.core.stage import Member, Stage
from gradchain.core.types import Params, Where
from gradchain.tree.paths import named_leaves
from gradchain.tree.selecting import path_test

_PACKAGE = str(Path(__file__).parents[1])


class IdlePatternWarning(UserWarning):
    """A pattern for paths that fits none of them."""


def warn_of_idle_patterns(stages: list[Stage], params: Params) -> None:
    """Warn of patterns of members that fit no path.

    A hole has a path too: what is said for a whole model may be passed on to each group of leaves.
    """
    patterns = [(stage.name, pattern) for stage in stages for pattern in _patterns(stage)]
    paths = paths_of(params) if patterns else []
    for name, pattern in patterns:
        if fault := fits_no_path(pattern, paths):
            text = f"{name}: {fault}"
            warnings.warn(text, IdlePatternWarning, stacklevel=_level_of_the_caller())


def paths_of(params: Params) -> list[str]:
    """The paths of all leaves, holes included."""
    return [path for path, _ in named_leaves(params)]


def fits_no_path(where: Where | None, paths: list[str]) -> str:
    """The fault of a pattern that fits no path.

    It names one that does, and is empty for one that fits, and for what is no pattern.
    """
    pattern = where
    if isinstance(where, Selection) and is_pattern(where):
        pattern = re.compile(where.arguments["pattern"])
    if not isinstance(pattern, str | re.Pattern) or not paths:
        return ""
    if any(map(path_test(pattern), paths)):
        return ""
    if isinstance(pattern, str):
        text, hint = pattern, _way_out(pattern, paths)
    else:
        text, hint = pattern.pattern, _close(pattern.pattern, paths)
    return (
        f"it chooses leaves by {text!r}, which fits no path, so that there are none. The paths are"
        f" {first_names(paths)}.{hint}"
    )


def _way_out(glob: str, paths: list[str]) -> str:
    """The globs for a name that is no path."""
    rule = " A glob has to fit the whole of a path"
    name = glob.strip("/*") or glob
    at_the_end = [f"*{name}", f"*/{name}"]
    for meant in ([name], at_the_end, [f"{name}/*"], [f"*/{name}/*"], [f"*{name}*"]):
        fitting = [path for path in paths if path_test(meant[-1])(path)]
        if fitting:
            return f"{rule}: {' or '.join(map(repr, meant))} fits {first_names(fitting)}."
    return f"{_close(glob, paths)}{rule}: '*bias' for each bias."


def _close(text: str, paths: list[str]) -> str:
    close = difflib.get_close_matches(text, paths, n=1, cutoff=0.5)
    return f" Is {close[0]!r} meant?" if close else ""


def _level_of_the_caller() -> int:
    """How many frames up the user's own call stands."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def _patterns(stage: Stage) -> Iterator[Where]:
    """The globs and expressions by which a member chooses leaves."""
    if "observer" in stage.call.factory.roles:
        return  # whose choice is one of names for layers
    rules = getattr(stage.body, "rules", {}).values()
    given = [v for k, v in stage.call.arguments.items() if k in stage.call.factory.choices]
    yield from dict.fromkeys(x for where in (*rules, *given) for x in patterns_in(where))
    yield from globs(stage.call)


def globs(call: Member) -> Iterator[str]:
    """The globs that are keys of its arguments."""
    for name, value in call.arguments.items():
        if isinstance(value, dict) and call.factory.mentions(name, "[Glob,"):
            yield from value
