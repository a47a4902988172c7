"""Warnings for names that go away."""

import functools
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def deprecation_getattr(
    module: types.ModuleType | str, deprecations: Mapping[str, tuple[str, Any]]
) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that answers old names with a warning.

    Args:
        module: the module or its name.
        deprecations: by name the text of the warning, and the value; for ``None`` it is an error.
    """

    def answer(name: str) -> Any:
        if name not in deprecations:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        text, value = deprecations[name]
        if value is None:
            raise AttributeError(text)
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return value

    return answer


def warn_deprecated_function(
    fun: Callable[P, R], replacement: str | None = None, version_removed: str | None = None
) -> Callable[P, R]:
    """The function, with a warning at each call.

    Args:
        fun: the function.
        replacement: the name of the one to use.
        version_removed: the version that has it no longer.
    """
    named = f"{fun.__name__} " if hasattr(fun, "__name__") else ""
    text = f"The function {named}is deprecated."
    if replacement:
        text += f" Please use {replacement} instead."
    if version_removed:
        text += f" It is absent from version {version_removed} on."

    @functools.wraps(fun)
    def warned(*args: P.args, **kwargs: P.kwargs) -> R:
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return fun(*args, **kwargs)

    return warned
