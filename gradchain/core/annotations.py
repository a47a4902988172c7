"""Annotations read as text: their forms, and rows in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradchain.core.intervals import INTERVAL

ROWS = {"tuple", "list", "dict", "Sequence", "Mapping"}
_KEYS = re.compile(r"\b(dict|Mapping)\[\s*(int|str|Glob)\s*,")
_KEY_TYPES = {"int": "int", "str": "str", "Glob": "str"}
_GRAMMAR = {
    "Annotated",
    "Optional",
    "Union",
    "typing",
    "None",
    "NoneType",
}  # and no type of its own


@dataclass(frozen=True)
class Annotation:
    """The forms and types that an annotation says.

    Attributes:
        words: the types in it, but for those of keys.
        may_be_none: whether ``None`` is one of its forms.
        has_row: whether a tuple, a list or a dict is.
        keys: the type of the keys of its dict, ``"int"`` or ``"str"``; empty for any.
        parts: the annotations of the values of its row: of each, or the one of all.
        is_fixed: whether the row has as many values as parts.
    """

    words: frozenset[str]
    may_be_none: bool
    has_row: bool
    keys: str
    parts: tuple[str, ...]
    is_fixed: bool

    @classmethod
    def of(cls, text: str) -> Annotation:
        """The forms and types that a text says."""
        words = set(re.findall(r"[A-Za-z]\w*", _KEYS.sub("dict[", INTERVAL.sub("", text))))
        names = {_name(form): form for form in _forms(text)} or dict.fromkeys(words)
        row = next((form for name, form in names.items() if name in ROWS), None)
        keys, inside, is_fixed = (
            _values(row) if isinstance(row, ast.Subscript) else ("", [], False)
        )
        return cls(
            frozenset(words - _GRAMMAR),
            not names.keys().isdisjoint({"None", "NoneType", "Optional"}),
            not names.keys().isdisjoint(ROWS),
            keys,
            tuple(map(ast.unparse, inside)),
            is_fixed,
        )


def _forms(text: str) -> Iterator[ast.expr]:
    """The forms of a union, without what ``Annotated`` adds."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:  # of an object that prints in another way
        return
    yield from _forms_of(node)


def _forms_of(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp):
        yield from _forms_of(node.left)
        yield from _forms_of(node.right)
    elif isinstance(node, ast.Subscript) and _name(node) in ("Annotated", "Optional", "Union"):
        inside = _inside(node)
        for form in inside[:1] if _name(node) == "Annotated" else inside:
            yield from _forms_of(form)
        if _name(node) == "Optional":
            yield ast.Constant(None)
    else:
        yield node


def _name(node: ast.expr) -> str:
    """The last word of a type: ``Sequence`` of ``typing.Sequence[int]``."""
    node = node.value if isinstance(node, ast.Subscript) else node
    return ast.unparse(node).split(".")[-1]


def _inside(node: ast.Subscript) -> list[ast.expr]:
    """The types between the brackets."""
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _values(row: ast.Subscript) -> tuple[str, list[ast.expr], bool]:
    """The types of a row's keys and values.

    Whether it has no others comes third.
    """
    inside = _inside(row)
    if _name(row) in ("dict", "Mapping"):
        keys = _KEY_TYPES.get(_name(inside[0]), "")
        return keys, inside[1:], False
    if _name(row) != "tuple":
        return "", inside, False
    is_open = ast.unparse(inside[-1]) in ("...", "Ellipsis")
    return "", inside[:1] if is_open else inside, not is_open
