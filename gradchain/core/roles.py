"""Roles: words for what a transformation is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gradchain.core.errors import quote

#: The words, and what each says. ``tests/laws/test_roles.py`` holds a law for each.
ROLES = {
    "clip": "bounds what is too large, and leaves alone what is not",
    "global_clip": "a clip by the norm of all leaves together",
    "rms_clip": "a clip by a root mean square, which bounds directions as well as gradients",
    "adaptive": "a direction that does not depend on the scale of gradients",
    "momentum": "moves on where the gradient vanishes (not if its b1 is 0)",
    "step": "turns a direction into a step downhill",
    "decay": "pulls parameters to zero, or to where they started",
    "final": "works out the parameters after this step: nothing behind it may change updates",
    "rounds": "says how parameters are rounded, by updates in float32 that end on what they can be",
    "harmless": "changes no update, but those of leaves that it freezes",
    "alternatives": "holds members each of which makes whole updates of its own",
    "observer": "shows numbers of the transformation that it holds, and changes none",
}


F = TypeVar("F", bound=Callable[..., Any])


def with_roles(words: str) -> Callable[[F], F]:
    """Make a decorator that gives a recipe roles.

    They are beside those of its members. It stands below ``@recipe``, as ``@with_roles("step")``
    where a plain ``scale(-1.0)`` turns the sign.
    """

    def decorate(function: F) -> F:
        function.roles = roles_of(words)  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return decorate


def roles_of(words: str) -> frozenset[str]:
    """The roles in a string of words.

    Raises:
        ValueError: naming the known ones, if a word is no role.
    """
    found = frozenset(words.split())
    if strange := found - ROLES.keys():
        raise ValueError(
            f"transform: no role {quote(sorted(strange))}; roles are {quote(ROLES)}."
        )
    return found
