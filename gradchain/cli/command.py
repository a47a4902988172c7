"""The command line: list factories, show and describe configs.

``gradchain --help`` says how it is called.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import importlib
import inspect
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar

import jax
import jax.numpy as jnp

import gradchain
from gradchain import plot
from gradchain.config import from_config, to_config
from gradchain.config.reading import BadInput, Config, read, title
from gradchain.core.advice import brief
from gradchain.core.call import Call
from gradchain.core.factory import FACTORIES
from gradchain.core.idle import IdlePatternWarning
from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Tree
from gradchain.inspection.check import check
from gradchain.inspection.describe import describe
from gradchain.inspection.estimate import estimate
from gradchain.inspection.listing import KINDS, kind_of, names_of
from gradchain.inspection.text import table
from gradchain.inspection.transformer import transformer_shapes

_FLOATS = ("float16", "bfloat16", "float32")
_CONFIG = "a JSON or YAML file, or - for stdin"

T = TypeVar("T")
Arguments: TypeAlias = argparse.Namespace
Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: its words, by default those of the process.

    Returns:
        The exit code: 0, or 2 where the input is bad, after one line on stderr.
    """
    if "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")  # nothing here needs more
    try:
        arguments = _parser().parse_args(argv)
        for module in arguments.imports:
            _import(module)
        _write(arguments.run(arguments))
    except (BadInput, RecursionError) as error:
        text = "nested too deep" if isinstance(error, RecursionError) else _one_line(error)
        print(f"gradchain: {text}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _write(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)  # noqa: T201
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # or Python tries again at its end
        if not isinstance(error, BrokenPipeError):  # who reads has seen enough
            raise BadInput(f"the output cannot be written: {error.strerror}") from error


class _Parser(argparse.ArgumentParser):
    """A parser with errors like those of the commands."""

    def error(self, message: str) -> NoReturn:
        """See ``ArgumentParser``."""
        raise BadInput(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "gradchain", description="Look at optimizers, their parts and their configs."
    )
    version = f"gradchain {gradchain.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    added = _add(commands, "list", _list, "list the names that a config may use")
    text = f"one kind of them ({', '.join(KINDS)}), or a pattern, such as 'adam*'"
    added.add_argument("which", nargs="?", default="*", metavar="KIND|PATTERN", help=text)
    added.add_argument("--json", action="store_true", help="print JSON")
    text = "print a config as a Python expression, and with all its arguments"
    added = _add(commands, "show", _show, text)
    added.add_argument("config", metavar="CONFIG", help=_CONFIG)
    _add_describe(commands)
    _add_estimate(commands)
    added = _add(commands, "plot", _plot, "draw a schedule")
    added.add_argument("config", metavar="SCHEDULE", help=_CONFIG)
    added.add_argument(
        "--steps",
        type=_positive,
        metavar="N",
        required=True,
        help="how many steps",
    )
    added.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="where to, such as rate.png",
    )
    return parser


def _add(
    commands: Commands, name: str, run: Callable[[Arguments], str], text: str
) -> argparse.ArgumentParser:
    added = commands.add_parser(name, help=text, description=text)
    text = "a module that registers more names, imported first; may be repeated"
    added.add_argument(
        "--import", dest="imports", metavar="MODULE", action="append", default=[], help=text
    )
    added.set_defaults(run=run)
    return added


def _add_describe(commands: Commands) -> None:
    text = "print what the state of a transformation takes, and what looks wrong"
    added = _add(commands, "describe", _describe, text)
    added.add_argument("config", metavar="CONFIG", help=_CONFIG)
    text = 'a file with the tree of shapes: [2, 3], or {"shape": [2, 3], "dtype": "bfloat16"}'
    added.add_argument("--params", metavar="SHAPES", required=True, help=text)
    text = "the length of the run in calls of update, to check schedules"
    added.add_argument("--steps", type=_positive, metavar="N", help=text)
    text = "what update is given, by default: params"
    added.add_argument(
        "--passes",
        nargs="+",
        metavar="NAME",
        default=["params"],
        help=text,
    )
    added.add_argument("--json", action="store_true", help="print JSON")


def _add_estimate(commands: Commands) -> None:
    text = "print the memory that a step takes, as the compiler says"
    added = _add(commands, "estimate", _estimate, text)
    added.add_argument("config", metavar="CONFIG", help=_CONFIG)
    text = "how many there are, such as 124M or 7B, in a transformer; or a file with their shapes"
    added.add_argument("--params", metavar="N|SHAPES", required=True, help=text)
    text = "the dtype of a transformer of N parameters, by default float32"
    added.add_argument("--dtype", choices=_FLOATS, help=text)
    added.add_argument("--json", action="store_true", help="print JSON")


# ----------------------------------------------------------------------------------------- commands


def _list(arguments: Arguments) -> str:
    kinds = [kind for kind in KINDS if kind == arguments.which] or KINDS
    pattern = "*" if arguments.which in KINDS else arguments.which
    names = {kind: names_of(kind, pattern) for kind in kinds}
    if not any(names.values()):
        raise BadInput(_no_name_fits(pattern))
    if arguments.json:
        return json.dumps([_facts(x) for kind in kinds for x in names[kind]], indent=2)
    rows_of = lambda kind: [(f"  {x}", _facts(x)["summary"]) for x in names[kind]]
    return "\n\n".join(table((kind, ""), rows_of(kind)) for kind in kinds if names[kind])


def _no_name_fits(pattern: str) -> str:
    names = [*KINDS, *(x for kind in KINDS for x in names_of(kind))]
    near = difflib.get_close_matches(pattern, names, 1)
    hint = f". Did you mean {near[0]!r}?" if near else ""
    return f"list: no name fits {pattern!r}{hint}"


def _facts(name: str) -> dict[str, Any]:
    factory = FACTORIES[name]
    text = " ".join((inspect.getdoc(factory.function) or "").split("\n\n")[0].split())
    text = re.split(r"(?<=\.) ", text)[0]
    text = re.sub(r": :math:.*", ".", text)  # without a formula at the end
    text = re.sub(r":\w+:`([^`]*)`", r"\1", text).replace("``", "")
    text = re.sub(r"\\[lr]Vert ?", "|", text).replace("\\", "")
    parameters = factory.signature.parameters.values()
    bare = [str(p.replace(annotation=p.empty)) for p in parameters]
    return {"name": name, "kind": kind_of(factory), "summary": text, "arguments": bare}


def _show(arguments: Arguments) -> str:
    value = _load(arguments.config, Call)
    return f"{value}\n\n{json.dumps(to_config(value), indent=2)}"


def _describe(arguments: Arguments) -> str:
    tx, shapes = _transformation_and_shapes(arguments)
    with _looking_at(shapes, arguments):
        description = describe(tx, shapes)
        findings = check(tx, shapes, arguments.steps, tuple(arguments.passes))
    if not arguments.json:
        return f"{description}\n\n{findings}"
    names = ("bytes", "total_bytes", "needs", "takes")
    summary = {name: getattr(description, name) for name in names}
    found = {"findings": [dataclasses.asdict(finding) for finding in findings]}
    return json.dumps(dataclasses.asdict(description) | summary | found, indent=2)


def _estimate(arguments: Arguments) -> str:
    tx, shapes = _transformation_and_shapes(arguments)
    with _looking_at(shapes, arguments):
        found = estimate(tx, shapes)
    if not arguments.json:
        return str(found)
    return json.dumps(dataclasses.asdict(found) | {"peak_bytes": found.peak_bytes}, indent=2)


def _plot(arguments: Arguments) -> str:
    schedule = _load(arguments.config, Schedule)
    if not Path(arguments.out).suffix:
        raise BadInput(
            f"--out {arguments.out!r} must end in the name of a format, as rate.png does"
        )
    try:
        from matplotlib.figure import Figure  # without a window
    except ImportError as error:
        raise BadInput('plot needs matplotlib: pip install "gradchain[plot]"') from error
    figure = Figure(layout="constrained")
    steps = range(
        0,
        arguments.steps,
        1 + arguments.steps // 10_000,
    )  # no picture shows more
    plot.schedule(schedule, steps, figure.subplots())
    try:
        figure.savefig(arguments.out)
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or error
        raise BadInput(f"{arguments.out} cannot be written: {text}") from error
    return arguments.out


# -------------------------------------------------------------------------------------------- input


def _import(module: str) -> None:
    sys.path.insert(0, os.getcwd())  # as `python -m` has it
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise BadInput(f"--import {module}: {error or type(error).__name__}") from error
    finally:
        sys.path.remove(os.getcwd())


def _load(name: str, kind: type[T]) -> T:
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


def _transformation_and_shapes(arguments: Arguments) -> tuple[GradientTransformation, Tree]:
    """The two that a command is about."""
    if arguments.config == arguments.params == "-":
        raise BadInput("the config and the shapes cannot both come from stdin")
    tx = _load(arguments.config, GradientTransformation)
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
def _looking_at(shapes: Tree, arguments: Arguments) -> Iterator[None]:
    """In the precision of shapes; errors name both files."""
    is_wide = max(x.dtype.itemsize for x in jax.tree.leaves(shapes)) >= 8
    with jax.enable_x64(is_wide), warnings.catch_warnings():
        warnings.simplefilter("ignore", IdlePatternWarning)  # check finds them too
        try:
            yield
        except (ValueError, TypeError) as error:
            names = f"{title(arguments.config)} does not fit {title(arguments.params)}"
            raise BadInput(f"{names}: {error}") from error


_DTYPES = (*_FLOATS, "float64", "complex64")


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


def _positive(text: str) -> int:
    if not (text.isdecimal() and len(text) < 11 and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(
            f"must be a whole number above 0, and below 2 ** 31, not {text[:20]!r}"
        )
    return int(text)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
