"""Input of commands: configs, and the shapes of parameters."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
import warnings
from collections.abc import Iterator
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp

from gradchain.config import from_config
from gradchain.config.reading import BadInput, Config, read, title
from gradchain.core.advice import brief
from gradchain.core.call import Call
from gradchain.core.idle import IdlePatternWarning
from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Tree
from gradchain.inspection.transformer import transformer_shapes

FLOATS = ("float16", "bfloat16", "float32")

T = TypeVar("T")
Arguments: TypeAlias = argparse.Namespace


def load(name: str, kind: type[T]) -> T:
    """The value that the config in a file describes."""
    config = read(name)
    try:
        value = from_config(config)
        if isinstance(value, GradientTransformation):
            _ = value.locality  # its rules are made, so that a wrong argument is seen now
    except Exception as error:  # factories may raise what they like
        raise BadInput(f"{title(name)}: {error}") from error
    if isinstance(value, kind):
        return value
    if isinstance(value, Call):
        found = f"{value.factory.name!r} is a {type(value).__name__}"
        text = f"{found}, but this command takes a {kind.__name__}"
        raise BadInput(f"{title(name)}: {text}")
    example = '{"@transform": "adam", ...}'
    if isinstance(value, list | tuple) and any(isinstance(x, Call) for x in value):
        example = '{"@transform": "chain", "members": [...]} for one that has a list of members'
    if kind is Schedule:
        example = '{"@schedule": "constant_schedule", ...}'
    raise BadInput(f"{title(name)}: this is no config, which is a mapping such as {example}")


def transformation_and_shapes(arguments: Arguments) -> tuple[GradientTransformation, Tree]:
    """The two that a command is about."""
    if arguments.config == arguments.params == "-":
        raise BadInput("the config and the shapes cannot both come from stdin")
    tx = load(arguments.config, GradientTransformation)
    count = re.fullmatch(r"([\d.]+(?:e\d+)?)([KMBT]?)", arguments.params, re.I)
    if count and "dtype" in arguments:
        power = "KMBT".find(count[2].upper() or "-") + 1
        try:
            number = float(count[1]) * 1000**power
            return tx, transformer_shapes(number, arguments.dtype or "float32")
        except ValueError as error:
            raise BadInput(f"--params {arguments.params}: {error}") from error
    if getattr(arguments, "dtype", None):
        text = "is that of a transformer of N parameters; shapes in a file have their own"
        raise BadInput(f"--dtype {arguments.dtype} {text}")
    shapes = _shapes(arguments.params, read(arguments.params), "")
    if not jax.tree.leaves(shapes):
        raise BadInput(f"{title(arguments.params)}: there is no shape in it")
    return tx, shapes


@contextlib.contextmanager
def looking_at(shapes: Tree, arguments: Arguments) -> Iterator[None]:
    """In the precision of shapes; errors name both files."""
    is_wide = max(x.dtype.itemsize for x in jax.tree.leaves(shapes)) >= 8
    with jax.enable_x64(is_wide), warnings.catch_warnings():
        warnings.simplefilter("ignore", IdlePatternWarning)  # check finds them too
        try:
            yield
        except (ValueError, TypeError) as error:
            names = f"{title(arguments.config)} does not fit {title(arguments.params)}"
            raise BadInput(f"{names}: {error}") from error


_DTYPES = (*FLOATS, "float64", "complex64")


def _shapes(name: str, node: Config, path: str) -> Tree:
    """The tree of shapes that a file describes."""
    is_leaf = (
        isinstance(node, dict)
        and isinstance(node.get("shape"), list)
        and node.keys() <= {"shape", "dtype"}
    )
    if isinstance(node, dict) and not is_leaf:
        path_to = lambda k: f"{path}/{k}" if path else str(k)
        return {str(k): _shapes(name, v, path_to(k)) for k, v in node.items()}
    if node is None:
        return None
    shape, dtype = node, "float32"
    if is_leaf:
        shape, dtype = node["shape"], node.get("dtype", dtype)
    is_size = lambda x: type(x) is int and x >= 0
    if not (isinstance(shape, list) and all(map(is_size, shape))):
        place = repr(path) if path else "the whole"
        raise BadInput(
            f"{title(name)}: {place} must be a shape, a list of sizes such as [2, 3],"
            f" not {brief(shape)}"
        )
    try:
        with jax.enable_x64(True):
            found = jnp.dtype(str(dtype))
            jnp.result_type(found)  # which refuses those of NumPy that JAX lacks
        return jax.ShapeDtypeStruct(tuple(shape), found)
    except (TypeError, ValueError) as error:
        close = difflib.get_close_matches(str(dtype), _DTYPES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        text = f"{path!r} has no dtype {dtype!r}{hint}"
        raise BadInput(f"{title(name)}: {text}") from error
