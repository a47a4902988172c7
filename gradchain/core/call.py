"""A factory and the arguments of a call: one value.

A factory is a function of numbers. Calling it computes nothing: it makes a value that remembers the
factory and its arguments. The value prints as the call that made it, compares and hashes by it, is
a pytree whose leaves are its float hyperparameters, and is changed with ``replace``.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax

from gradchain.core.advice import hints
from gradchain.core.call_leaves import as_number, as_seen, identity
from gradchain.core.errors import quote
from gradchain.core.factory import FACTORIES, Factory
from gradchain.core.ranges import Hyper as Hyper

_CONTAINERS = (dict, list, tuple)  # which an argument may be, with hyperparameters in it


class Call:
    """The base of transformations, schedules and selections.

    Attributes:
        tag: the key under which a config has the name of the factory.
    """

    tag: str
    __slots__ = ("__weakref__", "_cache", "arguments", "factory", "name")
    factory: Factory
    arguments: dict[str, Any]
    name: str | None
    _cache: dict[Any, Any]

    @classmethod
    def of(cls, factory: Factory, arguments: dict[str, Any], name: str | None = None) -> Any:
        """The value that remembers ``factory(**arguments)``, arguments unexamined."""
        self = object.__new__(cls)
        kept = {"factory": factory, "arguments": arguments, "name": name, "_cache": {}}
        for slot, value in kept.items():
            object.__setattr__(self, slot, value)
        return self

    @classmethod
    def admit(cls, factory: Factory, name: str, value: Any) -> Any:
        """The form in which an argument is kept."""
        where, kind = f"{factory.name}: argument {name!r}", factory.kinds[name]
        if isinstance(value, _CONTAINERS):
            value = jax.tree.map(as_number, value, is_leaf=is_call)
            value = kind.admit_each(f"{factory.name}: {name}", value)
        else:
            value = as_number(value, is_float=kind.is_hyper and not kind.is_integer)
            value = kind.admit(f"{factory.name}: {name}", value)
        kind.check(where, value)
        for leaf in jax.tree.leaves(value, is_leaf=is_call):
            if not _is_dynamic(leaf) and getattr(type(leaf), "__hash__", None) is None:
                raise TypeError(
                    f"{where} holds {leaf!r}, which cannot be hashed; use a tuple or a function."
                )
        return value

    def __setattr__(self, name: str, value: Any):
        raise AttributeError(
            f"{type(self).__name__} is immutable; use replace({name}=...) to make another."
        )

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_with_keys(cls, _with_keys, _unflatten(cls), _flatten)

    def __repr__(self) -> str:
        return f"{self.factory.name}({', '.join(self._printed(_text))})" + self._suffix()

    def __str__(self) -> str:
        if len(line := repr(self)) <= 100:
            return line
        lines = ",\n".join(self._printed(lambda x: str(x) if is_call(x) else _text(x)))
        return f"{self.factory.name}(\n{textwrap.indent(lines, '    ')},\n)" + self._suffix()

    def _printed(self, text: Callable[[Any], str]) -> list[str]:
        """Each argument as it is written in the call."""
        parts = []
        for name, value in self.arguments.items():
            if self.factory.is_spread(name):
                parts += map(text, value)
            elif self.factory.is_open(name):
                parts += _by_name(value, text)
            else:
                parts.append(f"{name}={text(value)}")
        return parts

    def _suffix(self) -> str:
        return f".named({self.name!r})" if self.name else ""

    def _key(self) -> tuple:
        if "key" not in self._cache:
            leaves, treedef = jax.tree.flatten(self)
            self._cache["key"] = treedef, tuple(map(identity, leaves))
        return self._cache["key"]

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Call) and self._key() == other._key())

    def __hash__(self) -> int:
        if "hash" not in self._cache:
            self._cache["hash"] = hash(self._key())
        return self._cache["hash"]

    def __reduce__(self):
        return _remake, (self.factory.name, self.arguments, self.name)

    def _parts(self) -> tuple[tuple, tuple]:
        """Children (hyperparameters and their containers) and all the rest."""
        if "parts" not in self._cache:
            children, static = {}, {}
            for name, value in self.arguments.items():
                is_child = _is_dynamic(value) or (isinstance(value, _CONTAINERS) and value)
                (children if is_child else static)[name] = _wrap(value) if is_child else value
            order, dynamic = tuple(self.arguments), tuple(children)
            structure = (self.factory, self.name, order, dynamic, tuple(static.items()))
            self._cache["parts"] = tuple(children.values()), structure
        return self._cache["parts"]

    def replace(self, **changes: Any) -> Any:
        """The same call with some arguments changed.

        Raises:
            TypeError: if the factory has no such argument.
        """
        strange = changes.keys() - self.arguments.keys()
        if strange:
            native = hints({k: changes[k] for k in strange}, self.arguments)
            known = quote(self.arguments)
            raise TypeError(
                f"{self.factory.name} has no argument {quote(strange)}, only {known}.{native}"
            )
        new = self.factory.admitted(self.arguments | changes)
        return self.of(self.factory, new, self.name).checked()

    def checked(self) -> Any:
        """The value itself, if its arguments fit each other."""
        return self


def is_call(x: Any) -> bool:
    """Whether ``x`` is a remembered call."""
    return isinstance(x, Call)


def _is_dynamic(x: Any) -> bool:
    return isinstance(x, float | jax.Array | Call)


def _remake(factory: str, arguments: dict[str, Any], name: str | None) -> Any:
    return FACTORIES[factory].kind.of(FACTORIES[factory], arguments, name)


def _by_name(values: dict[str, Any], text: Callable[[Any], str]) -> list[str]:
    """Arguments by name; in a dict what Python cannot spell."""
    plain = [f"{k}={text(v)}" for k, v in values.items() if k.isidentifier()]
    others = ", ".join(f"{k!r}: {text(v)}" for k, v in values.items() if not k.isidentifier())
    return [*plain, *([f"**{{{others}}}"] if others else [])]


def _text(x: Any) -> str:
    if isinstance(x, float) and not math.isfinite(x):
        return f"float('{x}')"
    if type(x) is tuple:
        return f"({', '.join(map(_text, x))}{',' * (len(x) == 1)})"
    if type(x) is dict:
        return f"{{{', '.join(f'{k!r}: {_text(v)}' for k, v in x.items())}}}"
    return repr(x)


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Static:
    """A part of the structure, beside hyperparameters in a container."""

    value: Any


def _wrap(value: Any) -> Any:
    return jax.tree.map(lambda x: x if _is_dynamic(x) else _Static(x), value, is_leaf=is_call)


def _unwrap(value: Any) -> Any:
    if not isinstance(value, _CONTAINERS):
        return value
    is_leaf = lambda x: isinstance(x, _Static | Call)
    bare = lambda x: x.value if isinstance(x, _Static) else x
    return jax.tree.map(bare, value, is_leaf=is_leaf)


def _flatten(call: Call) -> tuple[tuple, tuple]:
    children, structure = call._parts()
    return as_seen(children, is_call), structure


def _with_keys(call: Call) -> tuple[list, tuple]:
    children, structure = _flatten(call)
    keys = map(jax.tree_util.GetAttrKey, structure[3])
    return list(zip(keys, children, strict=True)), structure


def _unflatten(cls: type[Call]) -> Callable[[tuple, Iterable[Any]], Any]:
    def unflatten(structure: tuple, children: Iterable[Any]) -> Any:
        children = tuple(children)
        factory, own_name, order, names, static = structure
        found = dict(zip(names, map(_unwrap, children), strict=True)) | dict(static)
        call = cls.of(factory, {name: found[name] for name in order}, own_name)
        # Whatever the leaves are now: a mask has bools there.
        call._cache["parts"] = children, structure
        return call

    return unflatten
