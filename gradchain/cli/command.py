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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import jax
from jax.sharding import AbstractMesh

import gradchain
from gradchain import plot
from gradchain.cli.input_files import (
    FLOATS,
    Arguments,
    load,
    looking_at,
    transformation_and_shapes,
)
from gradchain.config import to_config
from gradchain.config.reading import BadInput
from gradchain.core.call import Call
from gradchain.core.factory import FACTORIES
from gradchain.core.schedule import Schedule
from gradchain.distributed.layouts import POLICIES, fsdp_specs
from gradchain.distributed.plan import compare_plans, plan
from gradchain.inspection.check import check
from gradchain.inspection.describe import describe
from gradchain.inspection.estimate import estimate
from gradchain.inspection.listing import KINDS, kind_of, names_of
from gradchain.inspection.text import table

_MOST_DEVICES = 64  # that are simulated, to compile for them; plans beyond are by formula
_CONFIG = "a JSON or YAML file, or - for stdin"

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
    _add_plan(commands)
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
    _add_sizes(_add(commands, "estimate", _estimate, text))


def _add_plan(commands: Commands) -> None:
    text = "print what a step takes and sends on several devices"
    added = _add(commands, "plan", _plan, text)
    _add_sizes(added)
    text = (
        "the axes of the mesh, such as data=8, or data=8,model=2; the batch is split by the first"
    )
    added.add_argument("--mesh", type=_axes, metavar="AXES", required=True, help=text)
    text = "where the state lies, by default like_params; several are compared"
    added.add_argument(
        "--policy",
        nargs="+",
        choices=POLICIES,
        default=["like_params"],
        help=text,
    )
    text = "split each parameter as the batch is split"
    added.add_argument("--fsdp", action="store_true", help=text)


def _add_sizes(added: argparse.ArgumentParser) -> None:
    added.add_argument("config", metavar="CONFIG", help=_CONFIG)
    text = "how many there are, such as 124M or 7B, in a transformer; or a file with their shapes"
    added.add_argument("--params", metavar="N|SHAPES", required=True, help=text)
    text = "the dtype of a transformer of N parameters, by default float32"
    added.add_argument("--dtype", choices=FLOATS, help=text)
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
    value = load(arguments.config, Call)
    return f"{value}\n\n{json.dumps(to_config(value), indent=2)}"


def _describe(arguments: Arguments) -> str:
    tx, shapes = transformation_and_shapes(arguments)
    with looking_at(shapes, arguments):
        description = describe(tx, shapes)
        findings = check(tx, shapes, arguments.steps, tuple(arguments.passes))
    if not arguments.json:
        return f"{description}\n\n{findings}"
    names = ("bytes", "total_bytes", "needs", "takes")
    summary = {name: getattr(description, name) for name in names}
    found = {"findings": [dataclasses.asdict(finding) for finding in findings]}
    return json.dumps(dataclasses.asdict(description) | summary | found, indent=2)


def _estimate(arguments: Arguments) -> str:
    tx, shapes = transformation_and_shapes(arguments)
    with looking_at(shapes, arguments):
        found = estimate(tx, shapes)
    if not arguments.json:
        return str(found)
    return json.dumps(dataclasses.asdict(found) | {"peak_bytes": found.peak_bytes}, indent=2)


def _plan(arguments: Arguments) -> str:
    sizes = arguments.mesh
    mesh = AbstractMesh(tuple(sizes.values()), tuple(sizes))
    if mesh.size <= _MOST_DEVICES:
        with contextlib.suppress(RuntimeError):  # those that there are already stay
            jax.config.update("jax_num_cpu_devices", mesh.size)
    tx, shapes = transformation_and_shapes(arguments)
    with looking_at(shapes, arguments):
        axis = next(iter(sizes))
        specs = fsdp_specs(shapes, mesh, axis=axis) if arguments.fsdp else None
        found = {p: plan(tx, shapes, mesh, specs, p, axis=axis) for p in arguments.policy}
    if not arguments.json:
        return compare_plans(found) if len(found) > 1 else str(*found.values())
    totals = ("argument_bytes", "peak_bytes", "wire_bytes", "formula_wire_bytes")
    whole = lambda one: dataclasses.asdict(one) | {name: getattr(one, name) for name in totals}
    return json.dumps([whole(one) for one in found.values()], indent=2)


def _plot(arguments: Arguments) -> str:
    schedule = load(arguments.config, Schedule)
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


def _positive(text: str) -> int:
    if not (text.isdecimal() and len(text) < 11 and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(
            f"must be a whole number above 0, and below 2 ** 31, not {text[:20]!r}"
        )
    return int(text)


def _axes(text: str) -> dict[str, int]:
    found = re.findall(r"(?:^|,)([a-zA-Z_]\w*)=([1-9]\d{0,6})(?=,|$)", text)
    sizes = {name: int(size) for name, size in found}
    if len(sizes) != text.count(",") + 1:
        raise argparse.ArgumentTypeError(
            f"must be names with lengths, such as data=8,model=2, not {text[:40]!r}"
        )
    return sizes


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
