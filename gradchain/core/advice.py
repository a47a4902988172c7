"""Advice for errors: the call that was meant."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any, TypeGuard

import jax

from gradchain.core.errors import first_names, quote, shape_dtype
from gradchain.core.foreign_names import (
    ARGUMENTS,
    ATTRIBUTES,
    ELSEWHERE,
    METHODS,
    NO_METHODS,
)
from gradchain.tree.selecting import as_expression, name_of

#: What stands in the calls that errors show, in the place of arguments that are needed.
_EXAMPLES = {
    "learning_rate": "1e-3",
    "init_value": "1e-3",
    "max_norm": "1.0",
    "weight_decay": "0.01",
    "ndim": "2",
    "line_search": "strong_wolfe()",
    "tx": "bfgs()",
    "alpha": "end / init_value",
    "min_scale": "min_lr / learning_rate",
    "boundaries_and_scales": "{1000: 0.1, 2000: 0.1}",
    "boundaries": "[1000]",
    "where": "weight_matrices()",
}
#: Arguments that take another form than the foreign ones of the same meaning.
_OF_ANOTHER_FORM = {
    "boundaries_and_scales",
    "boundaries",
    "where",
    "line_search",
    "min_scale",
    "tx",
}

#: Arguments that are several of ours in one.
_ROWS = ("betas", "etas", "step_sizes")

# ------------------------------------------------------------------------------------------ values


def brief(value: object) -> str:
    """A value for a message, arrays by their shapes."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return shape_dtype(value)
    if isinstance(value, FunctionType):
        return value.__name__ if is_uncalled(value) else name_of(value)
    if holds_arrays(value):
        return f"a {type(value).__name__} of arrays"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def holds_arrays(value: object) -> bool:
    """Whether it is a container of arrays."""
    is_array = lambda x: hasattr(x, "shape") and hasattr(x, "dtype")
    try:
        return not is_array(value) and any(map(is_array, jax.tree.leaves(value)))
    except (TypeError, ValueError):  # keys that cannot be sorted
        return False


def _looks_like_parameters(value: object) -> bool:
    is_module = hasattr(value, "apply") or hasattr(value, "parameters")
    return is_module or isinstance(value, Iterator) or holds_arrays(value)


# --------------------------------------------------------------------------------------- factories


def is_uncalled(x: object) -> TypeGuard[FunctionType]:
    """Whether it is a factory that was not called."""
    return isinstance(x, FunctionType) and hasattr(x, "of_factory")


def call_of(make: Callable[..., Any]) -> str:
    """The call of a factory, for a message: ``gc.adam(1e-3)``."""
    parameters = inspect.signature(make).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return f"{_public_name(make)}(...)"
    needed = [p.name for p in parameters if p.default is p.empty]
    return f"{_public_name(make)}({', '.join(map(_placeholder, needed))})"


def _placeholder(name: str) -> str:
    return _EXAMPLES.get(name, f"{name}=...")


def _public_name(make: Callable[..., Any]) -> str:
    """The name under which a user finds it: ``gc.adam``, ``gc.constraints.box``."""
    name, package = make.__name__, sys.modules["gradchain"]
    for room in ("", *make.__module__.split(".")[1:]):
        home = vars(package).get(room) if room else package
        if getattr(home, name, None) is make:
            return f"gc.{room}.{name}" if room else f"gc.{name}"
    return name


def _flat(name: str) -> Callable[..., Any] | None:
    """The flat factory of this name, in whatever case."""
    found = vars(sys.modules["gradchain"]).get(name.lower())
    return found if is_uncalled(found) else None


def not_called(where: str, make: Callable[..., Any]) -> TypeError:
    """The error for a factory that was not called."""
    return TypeError(
        f"{where} is the function {make.__name__} itself, not what it makes. Call it:"
        f" {call_of(make)}."
    )


def refuse_uncalled(where: str, value: object) -> None:
    """Refuse a factory that has not been called.

    It is looked for in containers too.
    """
    if is_uncalled(value):
        raise not_called(where, value)
    if isinstance(value, list | tuple):
        for x in value:
            refuse_uncalled(where, x)
    elif isinstance(value, dict):
        for x in value.values():
            refuse_uncalled(where, x)


# --------------------------------------------------------------------------------------- arguments


def refuse_several_globs(where: str, value: object) -> None:
    """Refuse a list of globs, where one is given."""
    if isinstance(value, list | tuple | set) and any(isinstance(x, str) for x in value):
        raise TypeError(
            f"{where} takes one glob on paths, not {brief(value)}. For one of several:"
            f" path_matches({as_expression(map(str, value))!r}), a regular expression."
        )


def strange_arguments(given: Mapping[str, object], known: Iterable[str]) -> str:
    """The fault of unknown arguments, and their native names."""
    named = ", ".join(f"{name!r} ({name}={brief(value)})" for name, value in given.items())
    return f"there is no argument {named}.{hints(given, known)}"


def wrong_call(
    name: str,
    signature: inspect.Signature,
    error: TypeError,
    given: Mapping[str, object],
    misplaced: str = "",
) -> str:
    """The message for a call that fits no signature.

    Args:
        name: the name of the function.
        signature: its arguments.
        error: the error of Python.
        given: the arguments that were given by name.
        misplaced: a sentence on the first argument.
    """
    known = signature.parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
    strange = {} if takes_any else {k: v for k, v in given.items() if k not in known}
    fault = strange_arguments(strange, known) if strange else f"{error}."
    return f"{name}: {fault}{misplaced} {usage(name, signature)}"


def not_in_one_member(
    name: str,
    value: object,
    times: int,
    members: Iterable[str],
    known: Iterable[str],
) -> TypeError:
    """The error for a change that fits not one member."""
    found = f"{times} members have" if times else "no member has"
    hint = "" if times else hints({name: value}, known)
    return TypeError(
        f"replace: {found} an argument {name!r}. The members are {quote(members)}; change one with"
        f" tx.replace(member=tx['member'].replace({name}=...)).{hint}"
    )


def usage(name: str, signature: inspect.Signature) -> str:
    """The sentence that shows how a function is called."""
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    bare = signature.replace(parameters=parameters, return_annotation=signature.empty)
    return f"It is called as {name}{bare}."


def hints(given: Mapping[str, object], known: Iterable[str]) -> str:
    """Sentences from strange arguments to known ones."""
    known = list(known)
    found = [_native(name, value, known) for name, value in given.items()]
    return "".join(f" {hint}" for hint in dict.fromkeys(found) if hint)


def _native(name: str, value: Any, known: list[str]) -> str:
    """The sentence from a foreign argument to a native one."""
    row = native_names({name: value}, known)
    if name not in row:
        return _renamed(name, value, row)
    if name in ELSEWHERE:
        return f"{name!r}: {ELSEWHERE[name].format(value=brief(value))}"
    if close := difflib.get_close_matches(str(name), known, n=1):
        return f"Did you mean {close[0]!r}?"
    make = _flat(str(name))
    return "" if make is None else f"That is a transformation of its own: {call_of(make)}."


def _renamed(name: str, value: Any, row: Mapping[str, Any]) -> str:
    """The sentence from a foreign argument to the native ones."""
    if name == "method" and _lower(value) in NO_METHODS:
        way_out = NO_METHODS[_lower(value)]
        return f"There is no {value!r} here. {way_out}"
    calls = []
    for native, x in row.items():
        is_alpha = native == "alpha" and name != "alpha"
        text = brief(x)
        if native in _OF_ANOTHER_FORM or is_alpha:
            text = METHODS.get(_lower(x), _EXAMPLES[native])
        calls.append(f"{native}={text}")
    natives = " and ".join(map(repr, row))
    sentence = f"{name!r} is {natives} here: {', '.join(calls)}"
    if "where" not in row:
        return f"{sentence}."
    return f"{sentence}, a glob on paths, f(path, leaf) -> bool or a tree of bools."


def native_names(given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Arguments under the names that they have here."""
    known = list(known)
    found: dict[str, Any] = {}
    for name, value in given.items():
        natives = [n for n in ARGUMENTS.get(name, "").split() if n in known]
        if name in known or not natives:
            found[name] = value
        elif name in _ROWS and isinstance(value, tuple | list):
            found |= zip(natives, value, strict=False)
        else:
            found[natives[0]] = value
    return found


def misplaced(name: str, value: object, factory: str = "") -> str:
    """A sentence on a value in the place of another."""
    if name == "b1" and isinstance(value, tuple | list):
        betas = ", ".join(f"b{i}={brief(beta)}" for i, beta in enumerate(value, 1))
        return f" Betas are arguments of their own: {betas}."
    if hasattr(value, "init") and hasattr(value, "update"):
        return " Transformations follow each other in a chain: chain(first, second)."
    if name != "where" and _looks_like_parameters(value):
        return " Parameters are given to tx.init(params), gradients to tx.update(grads, state)."
    if name == "learning_rate" and isinstance(value, dict | list | tuple):
        return (
            " Rates of groups: groups([('head/*', {'learning_rate': 0.1})], default=sgd(0.01))."
        )
    if name == "learning_rate" and value is None:
        return _without_a_rate(factory)
    if isinstance(value, str) and _is_number(value):
        own = value.lower().replace("e", ".0e")
        in_yaml = f", in YAML {own}" if "e" in value.lower() and "." not in value else ""
        return f" Write it without quotes: {float(value)!r}{in_yaml}."
    return ""


def _without_a_rate(factory: str) -> str:
    """A sentence on the direction of an optimizer alone."""
    own = factory.removesuffix("w")
    direction = _flat(f"scale_by_{own}") or _flat(f"scale_by_{factory}")
    if direction:
        call = call_of(direction)
        return f" For no rate, take the member that makes the direction: {call}."
    return f" For the whole of its direction give the rate 1.0: {factory}(1.0)."


def _lower(x: object) -> str:
    return x.lower() if isinstance(x, str) else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def no_transformation(where: str, x: object) -> TypeError:
    """The error for what should be a transformation."""
    if is_uncalled(x):
        return not_called(where, x)
    text = f"{where} must be a transformation, adam(1e-3) for example, or an (init, update) pair"
    text = f"{text}, not {brief(x)}."
    if getattr(x, "tag", None) == "@schedule":
        return TypeError(
            f"{text} A schedule of the learning rate is scale_by_learning_rate(schedule), or the"
            " rate of an optimizer: adam(schedule)."
        )
    if isinstance(x, list | tuple | set | Iterator) and x:
        row = "They are given one by one, chain(first, second); those of a list: chain(*members)."
        return TypeError(f"{text} {row}")
    if isinstance(x, dict) and any(hasattr(v, "init") for v in x.values()):
        return TypeError(
            f"{text} Names are given with named: chain(first.named('name'), second)."
        )
    if holds_arrays(x):
        return TypeError(f"{text} The transformation stands first, before parameters and states.")
    if isinstance(x, FunctionType) and x.__name__.isidentifier():
        return TypeError(f"{text} If it makes one, call it: {call_of(x)}.")
    if _lower(x) in NO_METHODS:
        return TypeError(f"{text} {NO_METHODS[_lower(x)]}")
    make = _flat(x if isinstance(x, str) else type(x).__name__)
    native = f"gc.{METHODS[_lower(x)]}" if _lower(x) in METHODS else make and call_of(make)
    return TypeError(f"{text} The native one is {native}." if native else text)


def meant(name: str, known: Iterable[str]) -> str:
    """A question after the name that was meant."""
    known = list(known)
    natives = [n for n in ARGUMENTS.get(name, "").split() if n in known]
    close = natives or difflib.get_close_matches(name, known, n=1)
    return f" Is {close[0]!r} meant?" if close else ""


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Eight names for a message, those like ``name`` first."""
    natives = ARGUMENTS.get(name, "").split()

    def likeness(full: str) -> float:
        end = full.rpartition("/")[2]
        ratios = (difflib.SequenceMatcher(None, x, name).ratio() for x in (full, end))
        return 1.0 if end in natives else max(ratios)

    return first_names(sorted(known, key=likeness, reverse=True), 8)


def parts_of(name: str, known: Iterable[str]) -> str:
    """A sentence with the numbers of a schedule."""
    names = list(known)
    for own in (name, *ARGUMENTS.get(name, "").split()):
        if parts := [full for full in names if f"/{own}/" in f"/{full}"]:
            return f" {own!r} is a schedule, of which there are {quote(parts)}."
    return ""


def pair_of_a_group(group: object) -> str:
    """The pair that says what one of torch's groups does."""
    if not isinstance(group, Mapping):
        return ""
    native = native_names(group, ["learning_rate", "weight_decay", "b1", "b2", "eps"])
    where = native.pop("params", None)
    where = where if isinstance(where, str) else "*bias"
    changes = ", ".join(f"{k!r}: {brief(v)}" for k, v in native.items())
    return f" Here it is ({where!r}, {{{changes}}}): a glob on paths, and changes of default=."


def no_attribute(of: str, name: str) -> str:
    """The error for an attribute that optimizers have elsewhere."""
    return (
        f"the transformation {of} has no attribute {name!r}. {ATTRIBUTES.get(name, '')}".rstrip()
    )
