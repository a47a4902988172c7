"""Factories: registered functions whose calls are remembered as values."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gradchain.core.errors import quote
from gradchain.core.ranges import ArgumentKind

#: By name, which stands for a factory in configs.
FACTORIES: dict[str, Factory] = {}


@dataclass(frozen=True, eq=False)
class Factory:
    """A registered function, and the signature of its calls.

    Attributes:
        function: the function.
        kind: the class of the values that it makes, a ``Call``.
        coming: how many leading arguments are given only when the value is used.
        composite: whether it is a recipe, whose function returns members instead of a rule.
        roles: the roles of its transformations (``gradchain.core.roles``).
        kinds: by argument, all that its annotation says of numbers.
    """

    function: Callable[..., Any]
    kind: type[Any]
    coming: int = 0
    composite: bool = False
    roles: frozenset[str] = frozenset()
    name: str = field(init=False)
    signature: inspect.Signature = field(init=False)
    kinds: dict[str, ArgumentKind] = field(init=False)

    def __post_init__(self):
        signature = inspect.signature(self.function)
        parameters = list(signature.parameters.values())[self.coming :]
        object.__setattr__(self, "name", self.function.__name__)
        object.__setattr__(self, "signature", signature.replace(parameters=parameters))
        kinds = {p.name: ArgumentKind.of(p.annotation) for p in parameters}
        object.__setattr__(self, "kinds", kinds)
        known = FACTORIES.setdefault(self.name, self)
        if _origin(known.function) != _origin(self.function):
            owner = ".".join(_origin(known.function))
            raise ValueError(
                f"A factory named {self.name!r} is registered already, by {owner}."
                " Names identify a factory in configs: choose another."
            )
        # The same function defined again, in a notebook for example, replaces itself.
        FACTORIES[self.name] = self

    def mentions(self, name: str, annotation: str) -> bool:
        """Whether the annotation of argument ``name`` mentions ``annotation``."""
        found = self.signature.parameters[name].annotation
        return annotation in (found if isinstance(found, str) else repr(found))

    def is_spread(self, name: str) -> bool:
        """Whether argument ``name`` takes all that is given by place."""
        return self.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Remember a call by its arguments' names, with all defaults."""
        parameters = self.signature.parameters
        strange = [k for k in kwargs if k not in parameters]
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            fault = f"there is no argument {quote(strange)}" if strange else error
            bare = ", ".join(str(p.replace(annotation=p.empty)) for p in parameters.values())
            message = f"{self.name}: {fault}. It is called as {self.name}({bare})."
            raise TypeError(message) from None
        bound.apply_defaults()
        admitted = {k: self.kind.admit(self, k, v) for k, v in bound.arguments.items()}
        return self.kind.of(self, admitted).checked()

    def call(self, arguments: dict[str, Any], *coming: Any) -> Any:
        """Call the function with arguments kept by name."""
        bound = inspect.BoundArguments(self.signature, arguments)  # pyright: ignore[reportArgumentType]
        return self.function(*coming, *bound.args, **bound.kwargs)


def _origin(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def decorator(
    kind: type[Any],
    coming: int = 0,
    composite: bool = False,
    roles: frozenset[str] = frozenset(),
) -> Callable[[Callable[..., Any]], Any]:
    """Make a decorator from functions to factories of ``kind``."""

    def decorate(function: Callable[..., Any]) -> Any:
        factory = Factory(function, kind, coming, composite, roles)
        make: Any = lambda *args, **kwargs: factory.bind(args, kwargs)
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(make, name, getattr(function, name))
        make.__signature__ = factory.signature.replace(return_annotation=kind)
        return make

    return decorate
