"""Read JSON and YAML, with errors that name the place."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from gradchain.core.factory import FACTORIES
from gradchain.tree.limits import MAX_DEPTH, check_size, contents, short

MAX_PARTS = 1_000_000  # of a file; a config may have fewer
MAX_MERGED = 10_000  # keys that one mapping of YAML takes over with <<


Config: TypeAlias = Any
"""Plain data: dicts, lists, strings, numbers, bools and ``None``."""


class BadInput(ValueError):
    """The input cannot be used; the message says why."""


def title(name: str) -> str:
    """The name of a file for a message."""
    return "stdin" if name == "-" else name or "''"


def read(name: str) -> Config:
    """The data of a file, or of stdin as ``-``."""
    if name == "-":
        return _data(name, _stdin)
    try:
        return read_file(name)
    except BadInput as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise BadInput(f"{error}{_instead_of_file(name)}") from error


def read_file(name: str) -> Config:
    """The data of a JSON or YAML file.

    Numbers and words of YAML are read as in JSON: ``1e-3`` is a number, and ``no`` is text.
    """
    return _data(name, lambda: Path(name).read_text(encoding="utf-8-sig"))


def _stdin() -> str:
    if sys.stdin is None:
        raise BadInput("stdin: it is closed")
    return sys.stdin.read()


def _data(name: str, text_of: Callable[[], str]) -> Config:
    """The data of a text, which errors name."""
    try:
        text = text_of()
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"{title(name)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        fault = f"not a text file: {error.reason} at byte {error.start}"
        raise BadInput(f"{title(name)}: {fault}") from error
    except ValueError as error:  # a NUL, for example
        raise BadInput(f"{name!r} is no name of a file: {error}") from error
    try:
        data = _parse(name, text)
    except RecursionError as error:
        raise BadInput(f"{title(name)}: nested too deep") from error
    try:
        check_size(f"{title(name)}: it", data, max_parts=MAX_PARTS)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return data


def _parse(name: str, text: str) -> Config:
    is_json = name.endswith(".json") or (
        not name.endswith((".yaml", ".yml")) and text.lstrip()[:1] in ("{", "[")
    )
    if not is_json:
        return _read_yaml(title(name), text)
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        place = f"{title(name)}, line {error.lineno}, column {error.colno}"
        raise BadInput(f"{place}: {error.msg}") from error
    except ValueError as error:
        raise BadInput(f"{title(name)}: {error}") from error


def _without_repeats(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    names = set()
    for name, _ in pairs:
        if not isinstance(name, str | int) or isinstance(name, bool):
            shown = f"of type {type(name).__name__}" if contents(name) else repr(name)
            raise ValueError(f"the key {shown} is not text; put quotes around it")
        if str(name) in names:
            raise ValueError(f"the key {name!r} is given twice")
        names.add(str(name))
    return dict(pairs)


_MERGE = "tag:yaml.org,2002:merge"

#: Values that are no text in YAML, with the characters that they may begin with.
_PLAIN_YAML = {
    "null": (r"(~|null|)$", ["~", "n", ""]),
    "bool": (r"(true|false)$", list("tf")),
    "int": (r"[-+]?(0|[1-9][\d_]*)$", list("-+0123456789")),
    "float": (
        r"([-+]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.inf|\.nan)$",
        list("-+.0123456789"),
    ),
    "merge": (r"<<$", ["<"]),
}


def _loader(yaml: Any) -> Any:
    """The loader of files, from the module of PyYAML."""

    class Loader(yaml.SafeLoader):
        """A safe loader with the values of JSON alone."""

        # To YAML 1.1, 1e-3 is text, no is false, and 010 is eight.

        def flatten_mapping(self, node: Any) -> None:
            """Take merged keys over, unless they are multiplied."""
            own = len(node.value)
            super().flatten_mapping(node)
            if len(node.value) > own + MAX_MERGED:
                raise ValueError(f"a mapping takes over more than {MAX_MERGED:,} keys with <<")

        # Deep ones are refused where their brackets are read: PyYAML looks back at all open ones
        # for each that follows.

        def fetch_flow_collection_start(self, TokenClass: Any) -> None:
            """Open a bracket."""
            self.check_depth()
            super().fetch_flow_collection_start(TokenClass)

        def add_indent(self, column: int) -> bool:
            """Open a block, if it is indented more."""
            self.check_depth()
            return super().add_indent(column)

        def check_depth(self) -> None:
            """Refuse collections that are nested too deep."""
            if self.flow_level + len(self.indents) > MAX_DEPTH + 1:
                raise ValueError(f"it is nested too deep: more than {MAX_DEPTH} levels.")

    Loader.yaml_implicit_resolvers, Loader.yaml_constructors = {}, {}
    for kind, (pattern, first) in _PLAIN_YAML.items():
        tag = f"tag:yaml.org,2002:{kind}"
        Loader.add_implicit_resolver(tag, re.compile(pattern), first)
        Loader.add_constructor(tag, _scalar(yaml, kind, pattern))
    Loader.add_constructor("tag:yaml.org,2002:str", yaml.SafeLoader.construct_yaml_str)
    Loader.add_constructor("tag:yaml.org,2002:seq", yaml.SafeLoader.construct_yaml_seq)
    Loader.add_constructor("tag:yaml.org,2002:map", _mapping(yaml))
    undefined: Any = None  # of PyYAML: a tag that has no constructor
    Loader.add_constructor(undefined, yaml.SafeLoader.construct_undefined)
    return Loader


def _read_yaml(title: str, text: str) -> Config:
    try:
        import yaml
    except ImportError as error:
        text = 'YAML needs PyYAML: pip install "gradchain[cli]", or write JSON'
        raise BadInput(f"{title}: {text}") from error

    try:
        return yaml.load(text, _loader(yaml))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        begins_so = "'@'" in str(error.problem)
        hint = "; put quotes around what begins with @" if begins_so else ""
        raise BadInput(f"{title}{line}: {error.problem}{hint}") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise BadInput(f"{title}: {error}") from error


def _scalar(yaml: Any, kind: str, pattern: str) -> Callable[[Any, Any], Any]:
    """The constructor of a value, whose tag may be written."""
    usual = yaml.SafeLoader.yaml_constructors.get(f"tag:yaml.org,2002:{kind}")

    def construct(loader: Any, node: Any) -> Any:
        text = loader.construct_scalar(node)
        if usual is None or not re.match(pattern, text):
            problem = f"{short(text)} is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return usual(loader, node)

    return construct


def _mapping(yaml: Any) -> Callable[[Any, Any], dict[Any, Any]]:
    """The constructor of a dict, whose keys are text."""

    def construct(loader: Any, node: Any) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            own = [k for k, _ in node.value if k.tag != _MERGE]
            _without_repeats([(loader.construct_object(k, deep=True), None) for k in own])
            loader.flatten_mapping(node)  # the keys of <<: *anchor, which its own override
        return dict(loader.construct_pairs(node, deep=True))

    return construct


def _instead_of_file(name: str) -> str:
    """The way out for a name in a file's place."""
    factory = FACTORIES.get(name)
    if factory is None:
        return (
            ". A config is read from a file, or from stdin as -; gradchain list shows the names"
        )
    parameters = factory.signature.parameters.values()
    needed = [
        p.name for p in parameters if p.default is p.empty and not factory.is_spread(p.name)
    ]
    numbers = {"learning_rate": "0.001", "init_value": "0.001", "max_norm": "1.0"}
    parts = [
        f'"{factory.kind.tag}": "{name}"',
        *(f'"{k}": {numbers.get(k, "...")}' for k in needed),
    ]
    return (
        f", but {name} can be called. Write a config to a file, or pass it on stdin:"
        f" echo '{{{', '.join(parts)}}}' | gradchain show -"
    )
