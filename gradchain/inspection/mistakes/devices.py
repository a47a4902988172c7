"""Mistakes of members that know of several devices."""

from __future__ import annotations

from gradchain.inspection.mistakes.case import Case, Found


def reduces_too_late(case: Case) -> Found:
    """Something stands before a member that reduces gradients."""
    for part in case.parts:
        siblings = [p for p in case.parts if p.path[:-1] == part.path[:-1]]
        first = siblings[0]
        if part.body.reduces_shards and first is not part:
            text = (
                "it takes gradients that replicas do not have in common yet, and"
                f" {first.name!r} before it would see them so. Put it first in the chain."
            )
            yield "mistake", part.name, text


def is_not_outermost(case: Case) -> Found:
    """A wrapper is around what splits a whole state."""
    for part in case.parts:
        above = part.name.split("/")[:-1]
        is_wrapped = "inner" in above and above[0] not in ("watch", "average_weights")
        if getattr(part.body, "is_outermost", False) and is_wrapped:
            text = (
                f"{above[0]!r} is around it: its own state stays whole, and the compiler may leave"
                f" parameters in parts. Put it around: zero1({above[0]}(...))."
            )
            yield "warning", part.name, text
