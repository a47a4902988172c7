"""Calls as they are written in code."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def written(call: Any, text_of: Callable[[Any], str]) -> list[str]:
    """Each argument of a call, as it is written there."""
    parts = []
    for name, value in call.arguments.items():
        if call.factory.is_spread(name):
            parts += map(text_of, value)
        elif call.factory.is_open(name):
            parts += _by_name(value, text_of)
        else:
            parts.append(f"{name}={text_of(value)}")
    return parts


def _by_name(values: dict[str, Any], text_of: Callable[[Any], str]) -> list[str]:
    """Arguments of any name, as Python can spell them."""
    plain = [f"{k}={text_of(v)}" for k, v in values.items() if k.isidentifier()]
    others = ", ".join(f"{k!r}: {text_of(v)}" for k, v in values.items() if not k.isidentifier())
    return [*plain, *([f"**{{{others}}}"] if others else [])]


def text(x: Any) -> str:
    """A value as it is written in code."""
    if isinstance(x, float) and not math.isfinite(x):
        return f"float('{x}')"
    if type(x) is tuple:
        return f"({', '.join(map(text, x))}{',' * (len(x) == 1)})"
    if type(x) is dict:
        return f"{{{', '.join(f'{k!r}: {text(v)}' for k, v in x.items())}}}"
    return repr(x)
