"""States of this library in the shapes of optax.

A transformation of the dialect runs as one of this library, whose state is a dict by names. What
its ``init`` and ``update`` give and take is a view of that dict: named tuples in tuples. A view
covers one member of a chain or several, each with its entry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.as_optax.base import EmptyState, MaskedNode
from gradchain.checkpoints.optax_states import Translation
from gradchain.numerics.counting import increment

Entries: TypeAlias = Sequence[Any]  # the states of some members, in their order


class View:
    """How states of some members are shown and read.

    Attributes:
        size: how many members.
    """

    size = 1

    def show(self, entries: Entries, old: Any) -> Any:
        """The state that is shown; ``old`` is the last one, or ``None`` at the start."""
        raise NotImplementedError

    def read(self, shown: Any, path: str) -> list[Any]:
        """The states of the members.

        Raises:
            ValueError: naming the path, if it has another form.
        """
        raise NotImplementedError


class AsItIs(View):
    """The entry of one member as it is."""

    def show(self, entries: Entries, old: Any) -> Any:
        """See ``View``."""
        return entries[0]

    def read(self, shown: Any, path: str) -> list[Any]:
        """See ``View``."""
        return [shown]


class Empty(View):
    """Members whose states, at most clocks, are not shown."""

    def __init__(self, has_clock: Sequence[bool] = (False,)):
        self.has_clock, self.size = has_clock, len(has_clock)

    def show(self, entries: Entries, old: Any) -> Any:
        """See ``View``."""
        return EmptyState()

    def read(self, shown: Any, path: str) -> list[Any]:
        """See ``View``."""
        if jax.tree.leaves(shown):
            raise _other(path, shown, "EmptyState()")
        return [{"count": start()} if has_clock else {} for has_clock in self.has_clock]


class Several(View):
    """A chain: a tuple, or a dict by names."""

    def __init__(self, parts: Sequence[View], names: Sequence[str] | None = None):
        self.parts, self.names = parts, names
        self.size = sum(part.size for part in parts)

    def show(self, entries: Entries, old: Any) -> Any:
        """See ``View``."""
        before = [None] * len(self.parts) if old is None else self._items(old, "")
        made, end = [], 0
        for part, was in zip(self.parts, before, strict=True):
            begin, end = end, end + part.size
            made.append(part.show(entries[begin:end], was))
        named = zip(self.names or (), made, strict=self.names is not None)
        return tuple(made) if self.names is None else OrderedDict(named)

    def read(self, shown: Any, path: str) -> list[Any]:
        """See ``View``."""
        keys = range(len(self.parts)) if self.names is None else self.names
        rows = zip(self.parts, keys, self._items(shown, path), strict=True)
        return [entry for part, key, x in rows for entry in part.read(x, f"{path}[{key!r}]")]

    def _items(self, shown: Any, path: str) -> list[Any]:
        if self.names is not None:
            if not isinstance(shown, Mapping) or set(shown) != set(self.names):
                raise _other(path, shown, f"a dict with the keys {', '.join(self.names)}")
            return [shown[name] for name in self.names]
        is_row = isinstance(shown, tuple | list) and not hasattr(shown, "_fields")
        if not is_row or len(shown) != len(self.parts):
            raise _other(path, shown, f"a tuple of {len(self.parts)}")
        return list(shown)


class Only(View):
    """One of several members, whose state is shown alone."""

    def __init__(self, parts: Sequence[View], index: int):
        self.parts, self.index = parts, index
        self.size = sum(part.size for part in parts)

    def show(self, entries: Entries, old: Any) -> Any:
        """See ``View``."""
        begin = sum(part.size for part in self.parts[: self.index])
        part = self.parts[self.index]
        return part.show(entries[begin : begin + part.size], old)

    def read(self, shown: Any, path: str) -> list[Any]:
        """See ``View``."""
        given = [EmptyState()] * len(self.parts)
        given[self.index] = shown
        rows = zip(self.parts, given, strict=True)
        return [entry for part, x in rows for entry in part.read(x, path)]


class Record(View):
    """One member as a named tuple.

    A counter that the member lacks is counted here.

    Args:
        kind: the class.
        translation: from its fields to the slots of the member.
        slots: the slots of the member.
        inner: the views of its own members, by name.
        constants: fields that stay as they are.
    """

    def __init__(
        self,
        kind: type[Any],
        translation: Translation,
        slots: Iterable[str],
        inner: Mapping[str, View] | None = None,
        constants: Mapping[str, Any] | None = None,
    ):
        self.kind, self.translation = kind, translation
        self.slots, self.inner = frozenset(slots), inner or {}
        plain = {f: slot for slot, f in translation.slots.items() if isinstance(f, str)}
        self.plain = {field: slot for field, slot in plain.items() if slot in self.slots}
        self.constants = constants or {}

    def show(self, entries: Entries, old: Any) -> Any:
        """See ``View``."""
        (entry,) = entries
        made = {field: entry[slot] for field, slot in self.plain.items()}
        made |= {field: make(entry) for field, make in self.translation.fields.items()}
        for name, field in self.translation.members.items():
            was = None if old is None else getattr(old, field)
            made[field] = self.inner[name].show([entry.get(name, {})], was)
        for field in self.kind._fields:
            if field not in made and field in self.constants:
                made[field] = self.constants[field]
            elif field not in made:
                made[field] = start() if old is None else increment(getattr(old, field))
        return self.kind(**made)

    def read(self, shown: Any, path: str) -> list[Any]:
        """See ``View``."""
        if not all(hasattr(shown, field) for field in self.kind._fields):
            raise _other(path, shown, f"{self.kind.__name__}({', '.join(self.kind._fields)})")
        entry: dict[str, Any] = {}
        for slot, source in self.translation.slots.items():
            if slot in self.slots:
                is_field = isinstance(source, str)
                entry[slot] = getattr(shown, source) if is_field else source[1](shown)
        for name, field in self.translation.members.items():
            entry[name] = self.inner[name].read(getattr(shown, field), f"{path}.{field}")[0]
        missing = self.slots - entry.keys()
        return [entry | {slot: start() for slot in missing}]


class Inside(View):
    """The members of a transformation whose states are one entry."""

    def __init__(self, view: View, names: Sequence[str], path: Sequence[str] = ()):
        self.view, self.names, self.path = view, names, path

    def show(self, entries: Entries, old: Any) -> Any:
        """See ``View``."""
        (state,) = entries
        for key in self.path:
            state = state.get(key, {})
        return self.view.show([state.get(name, {}) for name in self.names], old)

    def read(self, shown: Any, path: str) -> list[Any]:
        """See ``View``."""
        entries = self.view.read(shown, path)
        state = {k: x for k, x in zip(self.names, entries, strict=True) if not is_nothing(x)}
        for key in reversed(self.path):
            state = {key: state} if state else {}
        return [state]


class Masked(View):
    """A member that sees some leaves only."""

    def __init__(self, kind: type[Any], view: View):
        self.kind, self.view = kind, view
        self.size = view.size

    def show(self, entries: Entries, old: Any) -> Any:
        """See ``View``."""
        was = None if old is None else old[0]
        inner = self.view.show(entries, was)
        if inner is None:  # the state of a pair
            return self.kind(None)
        hole = lambda x: MaskedNode() if x is None else x
        return self.kind(jax.tree.map(hole, inner, is_leaf=is_none))

    def read(self, shown: Any, path: str) -> list[Any]:
        """See ``View``."""
        (field,) = self.kind._fields
        if not hasattr(shown, field):
            raise _other(path, shown, f"{self.kind.__name__}({field})")
        inner = getattr(shown, field)
        hole = lambda x: None if is_masked(x) else x
        return self.view.read(jax.tree.map(hole, inner, is_leaf=is_masked), f"{path}.{field}")


class ByLabel(View):
    """A member for each label, in a dict."""

    def __init__(self, kind: type[Any], views: Mapping[str, View], keys: Mapping[str, Any]):
        self.kind, self.views, self.keys = kind, views, keys

    def show(self, entries: Entries, old: Any) -> Any:
        """See ``View``."""
        (entry,) = entries
        made = {}
        for name, view in self.views.items():
            was = None if old is None else old[0][self.keys[name]]
            made[self.keys[name]] = view.show([entry.get(name, {})], was)
        return self.kind(made)

    def read(self, shown: Any, path: str) -> list[Any]:
        """See ``View``."""
        (field,) = self.kind._fields
        states = getattr(shown, field, None)
        if not isinstance(states, Mapping) or set(states) != set(self.keys.values()):
            labels = ", ".join(map(repr, self.keys.values()))
            raise _other(path, shown, f"{self.kind.__name__}({field}) with the labels {labels}")
        entry = {}
        for name, view in self.views.items():
            key = self.keys[name]
            (entry[name],) = view.read(states[key], f"{path}.{field}[{key!r}]")
        return [{name: x for name, x in entry.items() if not is_nothing(x)}]


def is_none(x: Any) -> bool:
    """Whether ``x`` is a hole."""
    return x is None


def is_masked(x: Any) -> bool:
    """Whether ``x`` stands for a masked leaf."""
    return type(x).__name__ == "MaskedNode"


def start() -> jax.Array:
    """A counter at its start."""
    return jnp.zeros([], jnp.int32)


def is_nothing(entry: Any) -> bool:
    """Whether a member has no state."""
    return isinstance(entry, dict) and not entry  # that of a pair may be an array


def _other(path: str, shown: Any, due: str) -> ValueError:
    kind = type(shown).__name__
    return ValueError(
        f"update: state{path} is of type {kind}, where {due} is due. It is the state of another"
        " transformation, or was changed; init makes one that fits, and gradchain.adopt_state"
        " carries an old one over."
    )
