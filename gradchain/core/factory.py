"""Factories: registered functions whose calls are remembered as values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradchain.core import advice
from gradchain.core.intervals import refuse_inverted
from gradchain.core.nests import check_members, check_nest
from gradchain.core.ranges import ArgumentKind, with_ranges
from gradchain.tree.selecting import check_asks_for_leaves

#: By name, which stands for a factory in configs.
FACTORIES: dict[str, Factory] = {}
#: What else refuses an argument, by a type in its annotation; rooms above the core add theirs.
REFUSALS: dict[str, Callable[[str, Any], None]] = {}


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
        choices: the arguments that choose leaves.
        takes_functions: the arguments that may be any function, for example a factory.
        rows: the arguments that are a tuple, a list or a dict, and nothing else.
        members: the arguments that are transformations, or hold some.
        bounds: the pairs of arguments of which the first is at most the second, by their names.
        refusals: what else refuses an argument, see ``REFUSALS``.
    """

    function: Callable[..., Any]
    kind: type[Any]
    coming: int = 0
    composite: bool = False
    roles: frozenset[str] = frozenset()
    name: str = field(init=False)
    signature: inspect.Signature = field(init=False)
    kinds: dict[str, ArgumentKind] = field(init=False)
    choices: frozenset[str] = field(init=False)
    takes_functions: frozenset[str] = field(init=False)
    rows: frozenset[str] = field(init=False)
    members: list[str] = field(init=False)
    bounds: list[tuple[str, str]] = field(init=False)
    refusals: dict[str, Callable[[str, Any], None]] = field(init=False)

    def __post_init__(self):
        signature = inspect.signature(self.function)
        parameters = list(signature.parameters.values())[self.coming :]
        object.__setattr__(self, "name", self.function.__name__)
        object.__setattr__(
            self,
            "signature",
            signature.replace(parameters=parameters),
        )
        kinds = {p.name: ArgumentKind.of(p.annotation) for p in parameters}
        object.__setattr__(self, "kinds", kinds)
        choices = frozenset(name for name in kinds if self.mentions(name, "Where"))
        object.__setattr__(self, "choices", choices)
        any_function = lambda p: p.annotation is p.empty or self.mentions(p.name, "Callable")
        is_ours = self.function.__module__.startswith(
            "gradchain."
        )  # none of which takes a factory
        found = frozenset(p.name for p in parameters if not is_ours and any_function(p))
        object.__setattr__(self, "takes_functions", found)
        is_row = lambda p: not self.is_spread(p.name) and _is_row(p.annotation)
        object.__setattr__(
            self,
            "rows",
            frozenset(p.name for p in parameters if is_row(p)),
        )
        object.__setattr__(self, "bounds", list(_bounds(kinds)) if is_ours else [])
        members = [name for name in kinds if self.mentions(name, "GradientTransformation")]
        object.__setattr__(self, "members", members)
        refusals = {k: f for word, f in REFUSALS.items() for k in kinds if self.mentions(k, word)}
        object.__setattr__(self, "refusals", refusals)
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

    def is_open(self, name: str) -> bool:
        """Whether argument ``name`` takes all other names."""
        return self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Remember a call by its arguments' names, with all defaults."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            first = next(iter(self.kinds), "")
            is_number = bool(args) and self.kinds[first].is_hyper
            misplaced = advice.misplaced(first, args[0]) if is_number else ""
            text = advice.wrong_call(
                self.name,
                self.signature,
                error,
                kwargs,
                misplaced,
            )
            raise TypeError(text) from None
        bound.apply_defaults()
        return self.kind.of(self, self.admitted(bound.arguments)).checked()

    def admitted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """All arguments in the forms in which they are kept.

        Raises:
            ValueError: if a lower bound is above the upper one, or transformations are nested too
                deep or too many; see also ``admit``.
        """
        found = {k: self.admit(k, v) for k, v in arguments.items()}
        for low, high in self.bounds:
            bounds = {low: found[low], high: found[high]}
            refuse_inverted(self.name, **bounds)
        for name, refuse in self.refusals.items():
            if found[name] is not None or not self.kinds[name].may_be_none:
                refuse(f"{self.name}: argument {name!r}", found[name])
        for name in self.members:
            check_nest(
                f"{self.name}: argument {name!r}",
                found[name],
                not self.composite,
            )
        if self.members:
            check_members(self.name, self.members, found)
        return found

    def admit(self, name: str, value: Any) -> Any:
        """The form in which an argument is kept; see ``Call.admit``.

        Raises:
            TypeError: naming the argument, if it is of another kind; with the way out.
        """
        if self.kinds[name].is_plain(value):
            return value
        where = f"{self.name}: argument {name!r}"
        if name == "refresh" and getattr(value, "tag", None) != "@refresh":
            raise TypeError(
                f"{where} must be a policy, for example gc.refresh.every(10), not"
                f" {advice.brief(value)}."
            )
        if name not in self.takes_functions:
            advice.refuse_uncalled(where, value)
        if name in self.choices:
            check_asks_for_leaves(where, value)
        if name == "where":
            advice.refuse_several_globs(where, value)
        try:
            if name in self.rows:
                value = self._as_row(name, value)
            return self.kind.admit(self, name, value)
        except TypeError as error:
            hint = advice.misplaced(name, value, self.name)
            raise TypeError(f"{error}{hint} {advice.usage(self.name, self.signature)}") from None

    def _as_row(self, name: str, value: Any) -> Any:
        """A row as a tuple, a list or a dict.

        Raises:
            TypeError: for anything else, but for ``None`` where the argument may be left out.
        """
        default = self.signature.parameters[name].default
        is_left_out = value is None and default is None
        if isinstance(value, tuple | list) or is_left_out:
            return value
        if isinstance(value, Mapping):
            kind = self.kinds[name]
            return kind.admit_keys(f"{self.name}: {name}", dict(value))
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return tuple(value)
        of = f"{self.name}: argument {name!r}"
        text = f"{of} must be a tuple, a list or a dict of values, not {advice.brief(value)}."
        raise TypeError(text)

    def call(self, arguments: dict[str, Any], *coming: Any) -> Any:
        """Call the function with arguments kept by name."""
        bound = inspect.BoundArguments(self.signature, arguments)  # pyright: ignore[reportArgumentType]
        return self.function(*coming, *bound.args, **bound.kwargs)


def _is_row(annotation: object) -> bool:
    """Whether an annotation says a row and no other form."""
    text = annotation if isinstance(annotation, str) else repr(annotation)
    text = re.sub(r"""(["']).*?\1""", "", text)  # intervals have brackets too
    for _ in range(text.count("[")):  # from the innermost brackets outwards
        text = re.sub(r"(Annotated)?\[([^\[\]]*)\]", _outside, text)
    forms = {form.strip() for form in text.split("|")}
    rows = {"tuple", "list", "dict", "Sequence", "Mapping"}
    return bool(forms - {"None"}) and forms <= rows | {"None"}


def _outside(brackets: re.Match[str]) -> str:
    """The form that brackets leave: of ``Annotated[dict, ...]`` the first."""
    return brackets[2].split(",")[0] if brackets[1] else ""


_UPPER = {
    "low": "high",
    "lower": "upper",
    "min": "max",
}


def _bounds(names: Collection[str]) -> Iterator[tuple[str, str]]:
    """The pairs like ``lower`` and ``upper``, ``min_scale`` and ``max_scale``."""
    for name in names:
        first, _, rest = name.partition("_")
        second = _UPPER.get(first, "")
        other = f"{second}_{rest}".removesuffix("_")
        if other in names:
            yield name, other


def _origin(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _not_called(make: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise advice.not_called("the optimizer", make)

    return refuse


def decorator(
    kind: type[Any],
    coming: int = 0,
    composite: bool = False,
    roles: frozenset[str] = frozenset(),
) -> Callable[[Callable[..., Any]], Any]:
    """Make a decorator from functions to factories of ``kind``."""

    def decorate(function: Callable[..., Any]) -> Any:
        own = roles | getattr(function, "roles", frozenset())
        factory = Factory(function, kind, coming, composite, own)
        make: Any = lambda *args, **kwargs: factory.bind(args, kwargs)
        for name in ("__module__", "__name__", "__qualname__"):
            setattr(make, name, getattr(function, name))
        make.__doc__ = with_ranges(function.__doc__, factory.kinds)
        make.__signature__ = factory.signature.replace(return_annotation=kind)
        make.of_factory = factory
        if hasattr(kind, "update"):  # others, optax and Flax for example, ask for these two
            make.init = make.update = _not_called(make)
        return make

    return decorate
