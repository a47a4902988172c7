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
        if not getattr(part.body, "is_outermost", False):
            continue
        above = part.name.split("/")[:-1]
        outer = next((p for p in case.parts if p.name in above[:1]), part)
        if "inner" in above and "observer" not in outer.roles:
            text = (
                f"{outer.name!r} is around it: its own state stays whole, and the compiler may"
                f" leave parameters in parts. Put it around: zero1({outer.name}(...))."
            )
            yield "warning", part.name, text
