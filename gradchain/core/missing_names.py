"""Names that a module has not, and the one meant."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Collection, Iterator
from types import ModuleType
from typing import Any

from gradchain.core.advice import call_of, is_uncalled
from gradchain.core.errors import first_names
from gradchain.core.foreign_names import LOSSES, NAMES

#: A room and a name in it; the package itself is ``""``.
Place = tuple[str, str]

_OPTAX = "The names of optax are in gradchain.as_optax."


def asked_of(room: str, rooms: Collection[str]) -> Callable[[str], Any]:
    """A module's ``__getattr__``, which has no name and says why.

    Args:
        room: the name of the module; empty for the package itself.
        rooms: all public rooms.
    """

    def refuse(name: str) -> Any:
        if name.startswith("__"):  # asked by programs
            raise AttributeError(name)
        above = f"gradchain.{room}".rstrip(".")
        way_out = _way_out(name, room, rooms)
        raise AttributeError(f"{above} has no {name!r}{way_out}", name=name)

    return refuse


def _way_out(name: str, room: str, rooms: Collection[str]) -> str:
    """The end of the error, with the way out."""
    if name in rooms and not room:
        return f" before it is imported: from gradchain import {name}."
    native = _foreign(name)
    same = [place for place in _places(["", *sorted(rooms)]) if place[1] == name]
    if same:
        elsewhere = f" What is called so elsewhere is {native} here." if native else ""
        return f". It is {_in_full(same[0], 'gradchain')}.{elsewhere}"
    if native:
        make = vars(_module("")).get(native)
        call = call_of(make) if is_uncalled(make) else native
        return f". Here that is {call}. {_OPTAX}"
    found = _nearest(name, room, rooms)
    if found:
        return f". Did you mean {_call(found)}? {_OPTAX}"
    own = [known for _, known in _places([room])]
    longer = sorted(known for known in own if name.lower() in known.lower())
    return f". There are {first_names(longer)}. {_OPTAX}" if longer else f". {_OPTAX}"


def _foreign(name: str) -> str | None:
    """The native form of a foreign name, in whatever case."""
    if name in NAMES:
        return NAMES[name]
    by_lower = {known.lower(): native for known, native in NAMES.items()}
    return LOSSES.get(_bare(name)) or by_lower.get(name.lower())


def _nearest(name: str, room: str, rooms: Collection[str]) -> Place | None:
    """The place of a name that is written alike.

    In another case it may be anywhere, else it is in the room.
    """
    alike = [
        place for place in _places([room, "", *sorted(rooms)]) if _bare(place[1]) == _bare(name)
    ]
    if alike:
        return alike[0]
    by_lower = {known.lower(): known for _, known in _places([room])}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return (room, by_lower[close[0]]) if close else None


def _places(rooms: Collection[str]) -> Iterator[Place]:
    """The names in rooms, without those of optax."""
    for room in dict.fromkeys(rooms):
        module = _module(room)
        if module is None or room == "as_optax":
            continue
        for known, x in vars(module).items():
            if not known.startswith("_") and not isinstance(x, ModuleType):
                yield room, known


def _module(room: str) -> Any:
    package = sys.modules["gradchain"]
    return vars(package).get(room) if room else package


def _in_full(place: Place, above: str) -> str:
    return ".".join(part for part in (above, *place) if part)


def _call(place: Place) -> str:
    """The call of a factory, or a full name."""
    room, name = place
    x = vars(_module(room))[name]
    return call_of(x) if is_uncalled(x) else _in_full(place, "gc")


def _bare(name: str) -> str:
    return name.lower().replace("_", "")
