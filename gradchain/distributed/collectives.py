"""Collectives of compiled programs, and their bytes."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable

import jax

from gradchain.distributed.programs import Instruction, Run, When, instructions, runs
from gradchain.inspection.text import size_text, table

#: The bytes that a device sends by a ring for each byte of the whole, among ``g`` devices.
_SENT = {
    "all-reduce": lambda g: 2 * (g - 1) / g,
    "all-gather": lambda g: (g - 1) / g,
    "reduce-scatter": lambda g: (g - 1) / g,
    "all-to-all": lambda g: (g - 1) / g,
    "ragged-all-to-all": lambda g: (g - 1) / g,
    "collective-permute": lambda g: 1.0,
    "collective-broadcast": lambda g: 1.0,
}
_END = 'custom_call_target="AsyncCollectiveDone"'
_SHAPE = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
#: A mesh with the lengths of its axes, at times the order of its devices, and the axes of a group.
_MESHED = re.compile(r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\([^{]*\))? \{([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Collective:
    r"""Exchanges of one kind and size between devices.

    Attributes:
        kind: ``all-reduce``, ``all-gather``, ``reduce-scatter``, ``all-to-all``,
            ``collective-permute`` or ``collective-broadcast``.
        dtype: of the numbers that travel, in the words of the compiler: ``f32``, ``bf16``, ``s8``.
        bytes: the size :math:`b` of the whole: each device's array of an ``all-reduce``, an
            ``all-to-all`` or a ``collective-permute``, the result of an ``all-gather``, the array
            that a ``reduce-scatter`` takes.
        group: how many devices :math:`g` take part.
        count: how often, in a run of the program.
        when: ``always``; ``in a branch`` of a condition, so that ``count`` is the most; or ``in a
            loop`` whose length the compiler does not know, so that ``count`` is for each round.
    """

    kind: str
    dtype: str
    bytes: int
    group: int
    count: int = 1
    when: When = "always"

    @property
    def wire_bytes(self) -> int:
        r"""The bytes that each device sends, all ``count`` together.

        By a ring these are :math:`2 b (g - 1) / g` of an all-reduce, and :math:`b (g - 1) / g` of
        an all-gather, a reduce-scatter and an all-to-all. A permute and a broadcast send
        :math:`b`.
        """
        return round(self.count * self.bytes * _SENT[self.kind](self.group))


def collectives(compiled: jax.stages.Compiled | str) -> tuple[Collective, ...]:
    r"""Find the collectives of a compiled program.

    Equal ones are counted together. Those in a loop count as often as it runs, where the compiler
    knows. The parts of one that runs while others do (``-start`` and ``-done``, or TPU's fusions)
    count once, and TPU's ``all-reduce-scatter`` is the reduce-scatter that it does.

    Args:
        compiled: ``jax.jit(f).lower(...).compile()``, or its text.

    Returns:
        The collectives, those that send most first.

    Raises:
        ValueError: if the text is that of no compiled program, or names a group of devices in a
            form that is not known.

    Source: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
    workstations", 2009, https://doi.org/10.1016/j.jpdc.2008.09.002

    Example:
        >>> import jax.numpy as jnp
        >>> mesh = jax.make_mesh((jax.device_count(),), ("data",))
        >>> mean = jax.shard_map(
        ...     lambda x: jax.lax.pmean(x, "data"),
        ...     mesh=mesh,
        ...     in_specs=jax.P("data"),
        ...     out_specs=jax.P(),
        ... )
        >>> x = jax.device_put(jnp.ones(8 * 64), jax.NamedSharding(mesh, jax.P("data")))
        >>> found = collectives(jax.jit(mean).lower(x).compile())
        >>> all(c.kind == "all-reduce" and c.bytes == 8 * 256 // c.group for c in found)
        True
    """
    program = compiled if isinstance(compiled, str) else compiled.as_text() or ""
    devices, later = _devices_of(program), _later_parts(program)
    return _merged(
        _collective(run, kind, devices)
        for run in runs(program)
        if (kind := _kind_of(run.instruction)) and run.instruction.inside not in later
    )


def wire_bytes(found: Iterable[Collective]) -> int:
    """The bytes that each device sends in all of them together."""
    return sum(one.wire_bytes for one in found)


def collectives_table(found: Iterable[Collective]) -> str:
    """Collectives as a table."""
    header = ("collective", "count", "dtype", "bytes", "devices", "on the wire", "when")
    return table(
        header,
        map(_row, found),
        right=(1, 3, 4, 5),
    )


def _row(one: Collective) -> tuple[str, ...]:
    return (
        one.kind,
        f"{one.count:,}",
        one.dtype,
        size_text(one.bytes),
        f"{one.group:,}",
        size_text(one.wire_bytes),
        "" if one.when == "always" else one.when,
    )


# ------------------------------------------------------------------------------------------ reading


def _kind_of(instruction: Instruction) -> str | None:
    """The kind of an exchange; ``None`` of anything else."""
    kind = instruction.kind.removesuffix("-start")
    if kind not in _SENT:
        return None
    # A fusion of TPU keeps in its own part all that it has made of a reduce-scatter.
    is_scattered = instruction.inside.startswith("all-reduce-scatter")
    return "reduce-scatter" if kind == "all-reduce" and is_scattered else kind


def _later_parts(program: str) -> frozenset[str]:
    """Fusions of TPU that go on with an exchange."""
    found: set[str] = set()
    for name, lines in instructions(program).items():
        ends = any(_END in one.line for one in lines)
        if ends or name.startswith("async_collective_fusion"):
            found.add(name)
    return frozenset(found)


def _collective(run: Run, kind: str, devices: int) -> Collective:
    group = _group(run.instruction.line, devices)
    dtype, size = _size(run.instruction)
    if run.instruction.kind == "reduce-scatter":
        size *= group  # its result is one part
    return Collective(kind, dtype, size, group, run.times, run.when)


def _size(instruction: Instruction) -> tuple[str, int]:
    """The dtypes and the bytes of a result."""
    shapes = _SHAPE.findall(instruction.result)
    if instruction.kind == "collective-permute-start":
        shapes = shapes[:1]  # then the result, and what the hardware counts with
    elif instruction.kind == "all-gather-start":
        half = len(shapes) // 2
        shapes = shapes[half:]  # the operands come first
    dtypes: set[str] = set()
    size = 0
    for dtype, dims in shapes:
        dtypes.add(dtype)
        size += _bytes(dtype, dims)
    return "+".join(sorted(dtypes)), size


def _bytes(dtype: str, dims: str) -> int:
    digits = re.search(r"\d+", dtype)
    bits = int(digits[0]) if digits else 8  # pred
    sizes = dims.split(",") if dims else []
    return math.ceil(math.prod(map(int, sizes)) * bits / 8)


def _group(line: str, devices: int) -> int:
    """How many devices take part in an exchange."""
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", line)
    if listed:
        return listed[1].count(",") + 1
    counted = re.search(r"replica_groups=\[(?:\d+,)*(\d+)\]<=", line)
    if counted:
        return int(counted[1])
    meshed = _MESHED.search(line)
    if meshed:
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", meshed[1]))
        axes = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", meshed[2])
        found = 1
        for axis, part in axes:
            found *= int(part or sizes[axis])
        return found
    if "replica_groups={}" in line or "source_target_pairs=" in line:
        return devices
    text = line[:200]
    raise ValueError(f"collectives: the groups of devices are in no form that is known: {text}")


def _devices_of(program: str) -> int:
    counts = re.findall(r"(?:num_partitions|replica_count)=(\d+)", program.split("\n", 1)[0])
    return math.prod(map(int, counts))


def _merged(found: Iterable[Collective]) -> tuple[Collective, ...]:
    """Equal ones counted together, those that send most first."""
    times: dict[Collective, list[int]] = {}
    for one in found:
        times.setdefault(dataclasses.replace(one, count=1), []).append(one.count)
    merged = [dataclasses.replace(one, count=sum(n)) for one, n in times.items()]
    merged.sort(key=lambda one: -one.wire_bytes)
    return tuple(merged)
