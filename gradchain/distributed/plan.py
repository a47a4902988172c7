"""Plan a step on several devices: memory, work, traffic."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Pair, Params, Tree
from gradchain.core.walk import walk
from gradchain.distributed.collectives import (
    Collective,
    collectives,
    collectives_table,
    wire_bytes,
)
from gradchain.distributed.exchange import Exchange
from gradchain.distributed.layouts import POLICIES, AnyMesh, Policy, axes_in
from gradchain.distributed.meetings import Apart
from gradchain.distributed.owners import Owners
from gradchain.distributed.planned_step import (
    Layout,
    compile_step,
    layout_of,
    mesh_to_compile_for,
)
from gradchain.distributed.zero import Zero
from gradchain.distributed.zero_flat import ZeroFlat
from gradchain.inspection.text import size_text, table
from gradchain.tree.kinds import trainable_part
from gradchain.tree.mapping import shapes_of


@dataclasses.dataclass(frozen=True)
class Plan:
    """The result of ``plan``, which prints as a table.

    All bytes are those of each device.

    Attributes:
        parameters: how many numbers the parameters hold, on all devices together.
        mesh: the lengths of the axes of the mesh.
        policy: where the state lies.
        parameter_bytes: the part of the parameters that a device keeps.
        gradient_bytes: its gradients, before they are summed.
        state_bytes: its part of the state.
        temporary_bytes: all that the step needs beside them while it runs; ``None`` by formula.
        operations: floating point operations of the step; ``None`` by formula. Those in a loop
            are counted once by some compilers.
        exchanges: the collectives of the step: the sum of gradients is one.
        formula: the collectives that it needs at least, by formula: a sum of gradients, and parts
            of parameters that are gathered again.
        compiled_for: the kind of devices that the step was compiled for; ``None`` by formula.
        refused: the words of a compiler that finds the step too large for its devices. Sizes and
            exchanges are by formula then.
        at_least: whether more is sent than the exchanges here: matrices, which are brought
            together.
    """

    parameters: int
    mesh: dict[str, int]
    policy: Policy
    parameter_bytes: int
    gradient_bytes: int
    state_bytes: int
    temporary_bytes: int | None
    operations: float | None
    exchanges: tuple[Collective, ...]
    formula: tuple[Collective, ...]
    compiled_for: str | None
    refused: str | None = None
    at_least: bool = False

    @property
    def devices(self) -> int:
        """How many devices there are."""
        return math.prod(self.mesh.values())

    @property
    def argument_bytes(self) -> int:
        """Parameters, gradients and state together."""
        return self.parameter_bytes + self.gradient_bytes + self.state_bytes

    @property
    def peak_bytes(self) -> int:
        """Arguments and temporaries; by formula the arguments alone."""
        return self.argument_bytes + (self.temporary_bytes or 0)

    @property
    def wire_bytes(self) -> int:
        """The bytes that a device sends in a step."""
        return wire_bytes(self.exchanges)

    @property
    def wire_text(self) -> str:
        """The same in words."""
        return ("above " if self.at_least else "") + size_text(self.wire_bytes)

    @property
    def formula_wire_bytes(self) -> int:
        """The bytes that it sends at least, by formula."""
        return wire_bytes(self.formula)

    @property
    def origin(self) -> str:
        """``compiled for ...``, ``by formula`` or ``does not fit``."""
        if self.refused:
            return "does not fit"
        return f"compiled for {self.compiled_for}" if self.compiled_for else "by formula"

    def __str__(self) -> str:
        axes = " x ".join(f"{name} {size}" for name, size in self.mesh.items())
        head = f"{self.parameters:,} parameters on {self.devices:,} devices ({axes})"
        rows = [
            ("parameters", size_text(self.parameter_bytes)),
            ("gradients", size_text(self.gradient_bytes)),
            ("state", size_text(self.state_bytes)),
            ("temporaries", _size_or_dash(self.temporary_bytes)),
            ("all together", size_text(self.peak_bytes)),
            ("operations", _count_or_dash(self.operations)),
            ("sent in a step", self.wire_text),
            ("by formula", size_text(self.formula_wire_bytes)),
        ]
        sizes = table(("on each device", ""), rows, right=(1,))
        parts = [f"{head}, {self.policy}, {self.origin}", sizes]
        parts += [self.refused] if self.refused else []
        return "\n\n".join([*parts, collectives_table(self.exchanges)])

    __repr__ = __str__


def plan(
    tx: GradientTransformation | Pair,
    params: Params,
    mesh: AnyMesh,
    param_specs: Tree = None,
    policy: Policy = "like_params",
    *,
    axis: str = "data",
    backend: str | None = None,
    **extra: Any,
) -> Plan:
    r"""Plan one step of an optimizer on several devices.

    Nothing is allocated. A step begins with the gradient that each device has of its part of the
    batch: it takes their mean, and updates state and parameters. It is compiled for the devices of
    the mesh, and the compiler is asked. The backward pass is not in it: neither activations, nor
    the parameters that FSDP gathers for them.

    Where there are fewer devices than the mesh has, or the compiler finds that the step does not
    fit into them, sizes are those of the layout, and the bytes on the wire follow by formula. For
    :math:`b` bytes of gradients and :math:`g` devices along ``axis`` a ring sends :math:`2 b (g -
    1) / g`: a sum; or parts of it, and parts of parameters that are gathered. Matrix methods send
    more than that.

    Args:
        tx: the transformation, or a foreign pair.
        params: the parameters, or a tree of ``jax.ShapeDtypeStruct``.
        mesh: the mesh, by its devices or as a ``jax.sharding.AbstractMesh``.
        param_specs: a ``PartitionSpec`` for each parameter, as ``fsdp_specs`` gives them; by
            default each device has all parameters.
        policy: where the state lies. ``like_params``: as its parameters. ``zero``: split over
            ``axis`` too, known as ZeRO-1; each device updates its part, and the parts of
            parameters are gathered. ``replicated``: all of it on each device.
        axis: the axis of the mesh that the batch is split over.
        backend: the platform to compile for, such as ``"cpu"``; by default that of the mesh.
        extra: further arguments of ``update``: functions, and arrays or shapes.

    Returns:
        Bytes, operations and exchanges of each device.

    Raises:
        ValueError: naming the path, if a spec does not fit its parameter; if the policy is not
            known, or the mesh has no such axis.

    Source: Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter
    models", 2020, https://arxiv.org/abs/1910.02054

    Example:
        >>> import gradchain as gc
        >>> shapes = {"w": jax.ShapeDtypeStruct((4096, 1024), "float32")}
        >>> mesh = jax.sharding.AbstractMesh((256,), ("data",))
        >>> found = plan(gc.adamw(1e-3), shapes, mesh, policy="zero")
        >>> found.origin, found.state_bytes  # two moments, and two clocks
        ('by formula', 131080)
    """
    tx = as_transformation(tx, "plan: tx")
    _check(tx, params)
    if policy not in POLICIES:
        raise ValueError(f"plan: policy must be one of {', '.join(POLICIES)}, not {policy!r}.")
    shapes = shapes_of(trainable_part(params))
    layout = layout_of(tx, shapes, mesh, param_specs, policy, axis)
    devices = mesh_to_compile_for(mesh, backend)
    found = _by_formula(layout, policy)
    is_split = any(axes_in(part) for spec in jax.tree.leaves(layout.own) for part in spec)
    found = dataclasses.replace(found, at_least=is_split and tx.locality == "matrix")
    if devices is None:
        return found
    try:
        compiled = compile_step(tx, layout, devices, extra)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return dataclasses.replace(found, refused=str(error).splitlines()[0])
    return dataclasses.replace(
        found,
        temporary_bytes=_temporary_bytes(compiled),
        operations=_operations(compiled),
        exchanges=collectives(compiled),
        compiled_for=devices.devices.flat[0].device_kind,
        at_least=False,
    )


def compare_plans(plans: Mapping[str, Plan]) -> str:
    """Plans in a table, a line for each.

    ``gradchain.plot.plans`` draws it.

    Args:
        plans: the plans by their names.

    Returns:
        The text of the table.

    Example:
        >>> import gradchain as gc
        >>> shapes = {"w": jax.ShapeDtypeStruct((4096, 1024), "float32")}
        >>> mesh = jax.sharding.AbstractMesh((256,), ("data",))
        >>> planned = lambda policy: plan(gc.adamw(1e-3), shapes, mesh, policy=policy)
        >>> print(compare_plans({name: planned(name) for name in ("like_params", "zero")}))
                         state  arguments  temporaries  operations      sent   formula  origin
        like_params   32.0 MiB   64.0 MiB            -           -  31.9 MiB  31.9 MiB  by formula
        zero         128.0 KiB   32.1 MiB            -           -  31.9 MiB  31.9 MiB  by formula
    """
    header = ("", "state", "arguments", "temporaries", "operations", "sent", "formula", "origin")
    rows = [(name, *_cells(one), one.origin) for name, one in plans.items()]
    return table(header, rows, right=(1, 2, 3, 4, 5, 6))


def _cells(one: Plan) -> tuple[str, ...]:
    return (
        size_text(one.state_bytes),
        size_text(one.argument_bytes),
        _size_or_dash(one.temporary_bytes),
        _count_or_dash(one.operations),
        one.wire_text,
        size_text(one.formula_wire_bytes),
    )


def _size_or_dash(count: int | None) -> str:
    return "-" if count is None else size_text(count)


def _count_or_dash(count: float | None) -> str:
    return "-" if count is None else f"{count:.2e}"


# -------------------------------------------------------------------------------------- the answers


def _temporary_bytes(compiled: jax.stages.Compiled) -> int | None:
    """The memory of a compiled step beside its arguments."""
    found = compiled.memory_analysis()
    if found is None:
        return None
    made_anew = found.output_size_in_bytes - found.alias_size_in_bytes
    return max(made_anew, 0) + found.temp_size_in_bytes


def _operations(compiled: jax.stages.Compiled) -> float | None:
    found = compiled.cost_analysis() or {}
    return found.get("flops")


def _check(tx: GradientTransformation, params: Params) -> None:
    """Refuse a number, and members that no layout describes."""
    if isinstance(params, int | float):
        raise TypeError(
            f"plan: params must be a tree of arrays or shapes, not the number {params:g}; for a"
            " transformer of so many parameters: gradchain plan --params 7B."
        )
    if not jax.tree.leaves(trainable_part(params)):
        raise ValueError(
            "plan: params has no leaf that a gradient moves. Give the trainable parameters, or"
            " their shapes."
        )
    for part in walk(tx):
        if isinstance(part.body, Zero | ZeroFlat):
            raise ValueError(
                f"plan: {part.name!r} is a layout: plan what is in it, policy='zero'."
            )
        if isinstance(part.body, Exchange | Apart | Owners):
            raise ValueError(
                f"plan: it is not known here what {part.name!r} sends. Compile a step of your own,"
                " and ask gc.distributed.collectives."
            )


def _by_formula(layout: Layout, policy: Policy) -> Plan:
    """All that the layout says by itself."""
    local = jax.tree.map(layout.local, layout.specs)
    formula = _exchanges(layout)
    return Plan(
        parameters=sum(x.size for x in jax.tree.leaves(layout.params)),
        mesh=layout.sizes,
        policy=policy,
        parameter_bytes=layout.bytes_of(layout.params, layout.specs),
        gradient_bytes=layout.bytes_of(layout.params, local),
        state_bytes=layout.bytes_of(layout.state, layout.state_specs),
        temporary_bytes=None,
        operations=None,
        exchanges=formula,
        formula=formula,
        compiled_for=None,
    )


def _exchanges(layout: Layout) -> tuple[Collective, ...]:
    """The exchanges that a step needs at least."""
    sent: dict[tuple[str, str], int] = {}
    group = layout.sizes[layout.axis]
    leaves = (jax.tree.leaves(t) for t in (layout.params, layout.specs, layout.own))
    for x, spec, own in zip(*leaves, strict=True):
        size = layout.bytes_of(x, layout.local(spec))
        for kind in _kinds(spec, own, layout.axis):
            key = (kind, str(x.dtype))
            sent[key] = sent.get(key, 0) + size
    return tuple(
        Collective(kind, dtype, size, group) for (kind, dtype), size in sent.items() if group > 1
    )


def _kinds(spec: PartitionSpec, own: PartitionSpec, axis: str) -> tuple[str, ...]:
    """How a gradient is summed, and its parameter gathered."""
    kept, updated = (axis in sum(map(axes_in, one), ()) for one in (spec, own))
    if not updated:
        return ("all-reduce",)
    return ("reduce-scatter",) if kept else ("reduce-scatter", "all-gather")
