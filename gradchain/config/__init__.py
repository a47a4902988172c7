"""Values to and from plain data in JSON and YAML.

A config names registered factories and their arguments; reading one never runs code that it brings
along.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping
from typing import Any

from gradchain.config.reading import Config, read_file
from gradchain.core.advice import native_names, refuse_uncalled
from gradchain.core.call import Call
from gradchain.core.call_leaves import as_static
from gradchain.core.errors import quote
from gradchain.core.factory import FACTORIES, Factory
from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation
from gradchain.tree.limits import check_size, contents, short


def to_config(value: object) -> Config:
    """A transformation, schedule or selection as plain data.

    That is dicts, lists, strings and numbers. A call becomes ``{"@transform": "adam",
    "learning_rate": 0.001, ...}`` with all its arguments. A concrete array of shape ``()`` becomes
    the number that it holds.

    Args:
        value: the value, or a container of values.

    Raises:
        TypeError: naming the argument, if something has no name to be found by (a lambda, a foreign
            pair) or is a larger array or a traced number.

    Example:
        >>> import gradchain as gc
        >>> gc.to_config(gc.clip(1.0))
        {'@transform': 'clip', 'max_delta': 1.0}
    """
    parts_of = lambda x: x.arguments.values() if isinstance(x, Call) else contents(x)
    check_size("to_config: the value", value, parts_of)
    return _encode(value, "the value")


def _encode(x: object, place: str) -> Config:
    if isinstance(x, Call):
        return _encode_call(x, place)
    x = as_static(x)
    if isinstance(x, float) and not math.isfinite(x):
        return {"@float": str(x)}
    if x is None or isinstance(x, bool | int | float | str):
        return x
    if isinstance(x, re.Pattern):
        return {"@regex": [x.pattern, x.flags]}
    if type(x) is list:
        return [_encode(v, place) for v in x]
    if type(x) is tuple:
        return {"@tuple": [_encode(v, place) for v in x]}
    if type(x) is dict:
        return _encode_dict(x, place)
    refuse_uncalled(f"to_config: {place}", x)
    raise TypeError(
        f"to_config: {place} is {x!r}, which has no name to be found by. Give a"
        " function one by decorating its factory with @gc.schedule or @gc.selection;"
        " make a traced number concrete."
    )


def _encode_call(x: Call, place: str) -> Config:
    if isinstance(x, GradientTransformation) and x.is_pair:
        raise TypeError(
            f"to_config: {place} is a pair of functions, {x!r}; make it a factory with @transform."
        )
    named = {"@named": x.name} if x.name else {}
    place_of = lambda k: f"argument {k!r} of {x.factory.name}"
    arguments = {k: _encode(v, place_of(k)) for k, v in x.arguments.items()}
    for k in [k for k in arguments if x.factory.is_open(k)]:
        arguments |= arguments.pop(k)
    return {x.tag: x.factory.name, **named, **arguments}


def _encode_dict(x: dict[Any, Any], place: str) -> Config:
    values = {k: _encode(v, f"{place} at {k!r}") for k, v in x.items()}
    is_plain = lambda k: isinstance(k, str) and not k.startswith("@")
    if all(map(is_plain, x)):
        return values
    return {"@dict": [[_encode(k, place), v] for k, v in values.items()]}


def from_config(config: Config) -> Any:
    """The value that ``to_config`` was given.

    Args:
        config: the data that ``to_config`` returned, perhaps after a round through JSON or YAML;
            or the path of such a file, a ``pathlib.Path``. Arguments that are left out take their
            defaults.

    Raises:
        ValueError: if it names a factory that is not registered, is no config, such as the bare
            name of a factory, is nested deeper than 100 levels, has more than 32 wrappers in each
            other, or more than 100,000 parts; if a file cannot be read.
        TypeError: if an argument does not fit its factory.

    Example:
        >>> import gradchain as gc
        >>> gc.from_config({"@transform": "sgd", "learning_rate": 0.1})
        sgd(learning_rate=0.1, momentum=None, nesterov=False, dampening=None)
    """
    if isinstance(config, os.PathLike):
        config = read_file(os.fspath(config))
    parts_of = lambda x: x.values() if isinstance(x, Mapping) else contents(x)
    check_size("from_config: the config", config, parts_of)
    config = _as_dicts(config, {})
    _refuse_names(config)
    _refuse_names_below(config)
    return _decode(config, {})


def _as_dicts(config: Config, seen: dict[int, Config]) -> Config:
    """The config with each mapping as a dict.

    What stands in several places is one object there too.
    """
    if not isinstance(config, Mapping | list | tuple):
        return config
    if id(config) not in seen:
        if isinstance(config, Mapping):
            made: Config = {k: _as_dicts(v, seen) for k, v in config.items()}
        else:
            made = [_as_dicts(v, seen) for v in config]
            made = tuple(made) if isinstance(config, tuple) else made
        seen[id(config)] = made
    return seen[id(config)]


#: Keys under which other libraries name a class.
_NAME_KEYS = ("name", "type", "class", "class_name", "_target_")

#: Keys under which they hold its arguments.
_ARGUMENT_KEYS = (
    "config",
    "params",
    "args",
    "kwargs",
    "arguments",
    "init_args",
    "registered_name",
)


def _refuse_names(config: Config, kind: type[Call] | None = None) -> None:
    """Refuse names of factories in another form than a config's.

    ``kind`` is the class that is wanted there; ``None`` for any.
    """
    for part in config if isinstance(config, list | tuple) else [config]:
        name, arguments = _named(part)
        if name is None:
            continue
        if name.endswith((".json", ".yaml", ".yml")):
            raise ValueError(
                f"from_config: {name!r} is the name of a file; a file is given as a path:"
                f" from_config(pathlib.Path({name!r}))."
            )
        factory = _meant(name, kind)
        right = {factory.kind.tag: factory.name, **native_names(arguments, factory.kinds)}
        beside = "" if isinstance(part, dict) else ", with its arguments beside it"
        raise ValueError(
            f"from_config: {short(part)} is no config. A config names its factory under"
            f" {factory.kind.tag!r}: {short(right)}{beside}; to_config makes one."
        )


def _named(config: Config) -> tuple[str | None, dict[str, Config]]:
    """A factory's name in the wrong place, and its neighbours."""
    if isinstance(config, str):
        return config, {}
    if not isinstance(config, dict) or any(map(_is_tag, config)):
        return None, {}
    for key, value in config.items():
        others = {k: v for k, v in config.items() if k != key and isinstance(k, str)}
        if isinstance(value, str) and (key in _NAME_KEYS or value in FACTORIES):
            below = next(
                (others[k] for k in _ARGUMENT_KEYS if isinstance(others.get(k), dict)), {}
            )
            flat = {k: v for k, v in (others | below).items() if k not in _ARGUMENT_KEYS}
            return value, {k: v for k, v in flat.items() if k not in _NAME_KEYS}
        if key in FACTORIES and isinstance(value, dict) and not any(map(_is_tag, value)):
            return key, value
        if key in FACTORIES and value is None and not others:  # of YAML: a name and a colon
            return key, {}
    return None, {}


def _refuse_names_below(config: Config) -> None:
    """Refuse the names of factories in plain data around configs."""
    if isinstance(config, dict) and any(map(_is_tag, config)):
        return
    for part in contents(config):
        names = [part.get(key) for key in _NAME_KEYS] if isinstance(part, dict) else []
        if any(isinstance(name, str) and _own(name) in FACTORIES for name in names):
            _refuse_names(part)
        _refuse_names_below(part)


def _meant(name: str, kind: type[Call] | None) -> Factory:
    """The factory that a name means, or a usual one."""
    own = _own(name)
    known = [n for n, factory in FACTORIES.items() if kind in (None, factory.kind)]
    near = [n for n in known if own in n] if kind is Schedule else []
    close = difflib.get_close_matches(own, near or known, n=1, cutoff=0.4 if near else 0.6)
    usual = "constant_schedule" if kind is Schedule else "adam"
    return FACTORIES[own if own in known else close[0] if close else usual]


def _own(name: str) -> str:
    """A name without its modules."""
    return name.split(".")[-1].lower()


def _decode(config: Config, seen: dict[int, Any]) -> Any:
    """The value of a config whose size is known.

    ``seen`` holds the calls that have been made, by the ids of their configs.
    """
    if isinstance(config, list | tuple):
        made = [_decode(v, seen) for v in config]
        return tuple(made) if isinstance(config, tuple) else made
    if not isinstance(config, dict):
        return config
    tags = [k for k in config if _is_tag(k)]
    if not tags:
        return {k: _decode(v, seen) for k, v in config.items()}
    kinds = {factory.kind.tag: factory.kind for factory in FACTORIES.values()}
    known = (*kinds, *_PLAIN)
    if len(tags) > 1 or tags[0] not in known:
        raise ValueError(
            f"from_config: unknown or mixed tags {quote(tags)}; known: {quote(known)}."
        )
    (tag,) = tags
    if tag in _PLAIN:
        return _plain(tag, _decode(config[tag], seen))
    if id(config) not in seen:
        others = {k: v for k, v in config.items() if k != tag}
        seen[id(config)] = _call(kinds[tag], config[tag], others, seen)
    return seen[id(config)]


def _is_tag(key: object) -> bool:
    return isinstance(key, str) and key.startswith("@") and key != "@named"


def _plain(tag: str, value: object) -> object:
    make, example = _PLAIN[tag]
    try:
        return make(value)
    except (TypeError, ValueError, OverflowError, RecursionError, re.error) as error:
        text = f"from_config: {tag!r} must be like {example}, not {short(value)}: {error}."
        raise ValueError(text) from error


def _call(kind: type[Call], name: str, config: dict[str, Config], seen: dict[int, Any]) -> Call:
    label = config.pop("@named", None)
    factory = FACTORIES.get(name) if isinstance(name, str) else None
    if factory is None or factory.kind is not kind:
        known = sorted(n for n, f in FACTORIES.items() if f.kind is kind)
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = "Import the module that registers it first."
        hint = f"Did you mean {close[0]!r}?" if close else hint
        if factory is not None and factory.kind.tag != kind.tag:
            hint = f"That is a {factory.kind.__name__}: {{{factory.kind.tag!r}: {name!r}, ...}}."
        raise ValueError(f"from_config: no {kind.__name__} named {name!r} is registered. {hint}")
    if kind is GradientTransformation and "update" in config:
        raise ValueError(f"from_config: {name!r} wraps functions, which no config can hold.")
    for k, v in config.items():
        if k in factory.kinds and factory.mentions(k, "Transformation"):
            _refuse_names(v)
        elif k in factory.kinds and factory.kinds[k].is_hyper and isinstance(v, dict):
            _refuse_names(v, Schedule)
    arguments = {k: _decode(v, seen) for k, v in config.items()}
    members = ()
    parameters = factory.signature.parameters.values()
    for k in [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]:
        members = arguments.pop(k, ())
        if not isinstance(members, list | tuple):
            raise TypeError(
                f"from_config: argument {k!r} of {name!r} must be a list, not {short(members)}."
            )
    value = factory.bind(tuple(members), arguments)
    return value.named(label) if label else value


_PLAIN = {
    "@float": (float, '"inf"'),
    "@regex": (lambda parts: re.compile(*parts), '["layer_[0-3]", 0]'),
    "@tuple": (tuple, "[1, 2]"),
    "@dict": (dict, '[["a", 1], ["b", 2]]'),
}
