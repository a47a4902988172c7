"""Instructions of compiled programs, and how often each runs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

#: When an instruction runs: always as often, perhaps not at all, or nobody knows how often.
When: TypeAlias = Literal["always", "in a branch", "in a loop"]

_CALLS = re.compile(
    r"(?:calls|to_apply|body|condition|(?:true|false)_computation)=%?([\w.\-]+)"
    r"|(?:branch_computations|called_computations)=\{([^}]*)\}"
)
_INSTRUCTION = re.compile(r"(?:ROOT )?%?([\w.\-]+) = (.*?[\])}]|\(\)) ([a-z][\w\-]*)\(")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a compiled program.

    Attributes:
        name: its name, which no other has.
        result: the type of its result, as text.
        kind: the operation, such as ``all-reduce-start``.
        inside: the name of the computation that it is part of.
        line: the whole line.
    """

    name: str
    result: str
    kind: str
    inside: str
    line: str


@dataclasses.dataclass(frozen=True)
class Run:
    """An instruction, where a program comes by it.

    Attributes:
        instruction: which one.
        times: how often it runs in a run of the program; in a branch at most, in a loop whose
            length nobody knows for each round.
        when: whether that is sure.
    """

    instruction: Instruction
    times: int
    when: When


def instructions(program: str) -> dict[str, list[Instruction]]:
    """The instructions of each computation, by its name.

    Args:
        program: the text of an optimized HLO module. The computation that is run is ``ENTRY``.
    """
    found: dict[str, list[Instruction]] = {}
    name = ""
    for line in program.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        if head:
            name = "ENTRY" if head[1] else head[2]
            found[name] = []
        elif name and (part := _INSTRUCTION.match(line.strip())):
            own, result, kind = part.groups()
            found[name].append(Instruction(own, result, kind, name, line.strip()))
    return found


def runs(program: str) -> Iterator[Run]:
    """All instructions that a program comes by, with how often.

    Args:
        program: the text of an optimized HLO module.

    Raises:
        ValueError: if it has no ``ENTRY``.
    """
    parts = instructions(program)
    if "ENTRY" not in parts:
        start = program[:60].replace("\n", " ")
        raise ValueError(
            "runs: program must be the text of a compiled program,"
            f" jax.jit(f).lower(...).compile().as_text(); it begins with {start!r}."
        )
    yield from _runs(parts, "ENTRY", 1, "always")


def _runs(
    parts: Mapping[str, list[Instruction]], name: str, times: int, when: When
) -> Iterator[Run]:
    for instruction in parts[name]:
        yield Run(instruction, times, when)
        below, inside = times, when
        if instruction.kind == "conditional":
            inside = "in a branch"
        if instruction.kind == "while":
            trips = _TRIPS.search(instruction.line)
            below *= int(trips[1]) if trips else 1
            inside = when if trips else "in a loop"
        is_end = instruction.kind in ("async-update", "async-done")  # of one that has begun
        for called in _called(instruction.line):
            if called in parts and not is_end:
                yield from _runs(parts, called, below, inside)


def _called(line: str) -> list[str]:
    """The computations that an instruction names."""
    groups = _CALLS.findall(line)
    return [name.strip().lstrip("%") for one, many in groups for name in (one or many).split(",")]
