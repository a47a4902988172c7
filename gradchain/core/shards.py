"""Members that look along dimensions, run on shards inside ``shard_map``.

A shard has a part of a row, a column or a matrix. Where the extra argument ``specs`` says how
leaves are split, they are gathered for such a member, with the slots that belong to them; it runs
on whole leaves, and each device keeps its part of what was made.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import jax
from jax import lax
from jax.sharding import PartitionSpec

from gradchain.core.columns import Columns
from gradchain.core.facts import slots_in
from gradchain.core.holes import FUNCTIONS
from gradchain.core.messages import place, quote
from gradchain.core.slot_specs import Sizes, spec_of_slot
from gradchain.core.slots import Slot
from gradchain.core.stage import Extra, Ran, Stage
from gradchain.core.stored import is_stored, stored_like, values_of
from gradchain.core.types import Shape, State, Tree
from gradchain.numerics.reductions import (
    check_shards_are_known,
    manual_axes,
    split_axes,
)
from gradchain.tree.paths import Leaf
from gradchain.tree.selecting import select

#: Of each dimension the mesh axes that split it.
Parts: TypeAlias = tuple[tuple[str, ...], ...]


_are_whole: ContextVar[bool] = ContextVar("are_whole", default=False)


@contextmanager
def taking_leaves_as_whole() -> Iterator[None]:
    """Take leaves, as members see them, as whole."""
    token = _are_whole.set(True)
    try:
        yield
    finally:
        _are_whole.reset(token)


def run_on_shards(stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
    """Run members, on whole leaves those that look along dimensions.

    Outside ``shard_map`` all leaves are whole.
    """
    body = stages[0].body
    is_cut = manual_axes() and not _are_whole.get()
    if not (is_cut and any(stage.body.needs_whole for stage in stages)):
        return body.run(
            stages,
            columns,
            states,
            extra,
        )
    columns, news = dataclasses.replace(columns, adds=False), []
    for stage, state in zip(stages, states, strict=True):
        run = _run_whole if stage.body.needs_whole else body.run
        columns, new = run([stage], columns, [state], extra)
        news += new
    return columns, news


def _run_whole(stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
    """Run one member on whole leaves."""
    (stage,), (state,) = stages, states
    check_shards_are_known()
    split = split_leaves(stage, columns, extra.get("specs"))
    if not any(split):
        return stage.body.run(
            stages,
            columns,
            states,
            extra,
        )
    functions = sorted(FUNCTIONS & extra.keys() & stage.body.extras)
    if functions:
        raise ValueError(
            f"{stage.name}: {functions[0]} is a function of parameters, and inside shard_map"
            f" {place(columns.path(_first(split)))} is split over several devices. Update outside"
            " of it, under jit."
        )
    whole = _gathered_columns(columns, split)
    slots = _Slots(
        stage,
        whole,
        split,
        state,
    )
    if extra.get("grad") is not None:
        g = _gathered(columns.column(extra["grad"]), split)
        extra = extra | {"grad": columns.tree(g)}
    made, (new,) = stage.body.run(stages, whole, [slots.gathered()], extra)
    g = [x if x is None else own_part(x, s) for x, s in zip(made.g, split, strict=True)]
    return columns.with_g(g), [slots.own_parts(new)]


def _gathered_columns(columns: Columns, split: list[Parts]) -> Columns:
    p = _gathered(columns.p, split)
    params = None if columns.params is None else columns.tree(p)
    return Columns(columns.treedef, _gathered(columns.g, split), p, params)


def _gathered(column: list[Leaf], split: list[Parts]) -> list[Leaf]:
    return [x if x is None else gather(x, parts) for x, parts in zip(column, split, strict=True)]


# ------------------------------------------------------------------------- how leaves are split


def split_leaves(
    stage: Stage,
    columns: Columns,
    specs: Tree,
) -> list[Parts]:
    """The axes over which each leaf has to be gathered.

    Raises:
        ValueError: naming the path, if a leaf is split and ``specs`` do not say how.
    """
    seen = columns.updates if columns.params is None else columns.params
    flags = columns.column(select(stage.body.where, seen))
    known = [None] * len(flags) if specs is None else _column_of(columns, specs)
    found: list[Parts] = []
    for i, (x, flag, spec) in enumerate(zip(columns.g, flags, known, strict=True)):
        found.append(())
        if x is not None and flag is True:
            axes = split_axes(x)
            found[-1] = _parts(stage, columns, i, axes, spec) if axes else ()
    shapes = [
        x if x is None else jax.ShapeDtypeStruct(whole_shape(x.shape, parts), x.dtype)
        for x, parts in zip(columns.g, found, strict=True)
    ]
    apart = stage.body.dims_apart(columns.tree(shapes), shapes, [bool(parts) for parts in found])
    return [
        (*((),) * n, *parts[n:]) if parts else () for n, parts in zip(apart, found, strict=True)
    ]


def _column_of(
    columns: Columns,
    specs: Tree,
) -> list[PartitionSpec | None]:
    try:
        return columns.column(specs)
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            "update: specs needs the structure of the parameters, a PartitionSpec for each, not"
            f" {specs!r}."
        ) from None


def _parts(
    stage: Stage, columns: Columns, i: int, axes: frozenset[str], spec: PartitionSpec | None
) -> Parts:
    """The axes that split each dimension of a leaf."""
    x, path = columns.g[i], place(columns.path(i))
    over = f"{path} is split over the mesh axes {quote(sorted(axes))}"
    if spec is None:
        raise ValueError(
            f"{stage.name}: inside shard_map {over}, and this member looks along its dimensions,"
            " of which a device has a part. Call update(grads, state, params, specs=specs) with"
            " the PartitionSpec of each parameter, so that the leaf is gathered for it; or update"
            " outside of shard_map, under jit."
        )
    names = [(part,) if isinstance(part, str) else tuple(part or ()) for part in spec]
    parts = tuple(tuple(a for a in own if a in axes) for own in names)
    if sum(map(len, parts)) != len(axes) or len(parts) > x.ndim:
        raise ValueError(
            f"{stage.name}: inside shard_map {over}, but by specs as {spec}. Reduce gradients over"
            f" the other axes first, for example with jax.lax.pmean, or mend specs."
        )
    return (*parts, *((),) * (x.ndim - len(parts)))


def _first(split: list[Parts]) -> int:
    return next(i for i, parts in enumerate(split) if parts)


# ------------------------------------------------------------------------------- whole and parts


def whole_shape(
    shape: Shape,
    parts: Parts,
) -> Shape:
    """The shape of the whole of a part."""
    if not parts:
        return shape
    return tuple(n * _ways(axes) for n, axes in zip(shape, parts, strict=True))


def part_shape(
    shape: Shape,
    parts: Parts,
) -> Shape:
    """The shape of the part of a whole array."""
    if not parts:
        return shape
    return tuple(n // _ways(axes) for n, axes in zip(shape, parts, strict=True))


def _ways(axes: tuple[str, ...]) -> int:
    return math.prod(lax.axis_size(axis) for axis in axes)


def gather(
    x: jax.Array,
    parts: Parts,
) -> jax.Array:
    """A whole array, the same on all devices."""
    for dim, axes in enumerate(parts):
        if axes:
            x = lax.all_gather(x, axes, axis=dim, tiled=True, to="invarying")
    return x


def own_part(
    x: jax.Array,
    parts: Parts,
) -> jax.Array:
    """The part of a whole array that this device has."""
    for dim, axes in enumerate(parts):
        if axes:
            length = x.shape[dim] // _ways(axes)
            start = lax.axis_index(axes) * length
            x = lax.dynamic_slice_in_dim(
                x,
                start,
                length,
                dim,
            )
    return x


class _Slots:
    """A member's part of a state, whole and in parts."""

    def __init__(self, stage: Stage, whole: Columns, split: list[Parts], state: State):
        self.state = state
        self.leaves, self.treedef = jax.tree.flatten(state, is_leaf=is_stored)
        like = _first_state(stage, whole)
        known = _parts_of_slots(
            stage,
            whole,
            split,
            like,
        )
        likes = jax.tree.leaves(like)
        self.parts = [known.get(id(x), ()) for x in likes]
        pairs = zip(likes, self.parts, strict=True)
        if [x.shape for x in self.leaves] != [part_shape(x.shape, parts) for x, parts in pairs]:
            raise ValueError(
                f"update: the state of {stage.name!r} is not that of whole parameters, split as"
                " they are. Inside shard_map tx.init sees shards: call it outside, under jit, and"
                " give shard_map the state, each slot split as its parameter is."
            )

    def gathered(self) -> State:
        """The state of whole leaves."""
        made = []
        for x, parts in zip(self.leaves, self.parts, strict=True):
            is_split = any(parts)
            of = values_of(x) if is_split else x
            made.append(gather(of, parts) if is_split else x)
        return self.treedef.unflatten(made)

    def own_parts(
        self,
        new: State,
    ) -> State:
        """The own part, kept as the old state."""
        made, treedef = jax.tree.flatten(new, is_leaf=is_stored)
        pairs = zip(made, self.parts, strict=True)
        own = [own_part(x, parts) if any(parts) else x for x, parts in pairs]
        return stored_like(self.state, treedef.unflatten(own))


def _first_state(
    stage: Stage,
    whole: Columns,
) -> State:
    """The shapes of a state for whole parameters."""
    seen = [g if p is None else p for g, p in zip(whole.g, whole.p, strict=True)]
    like = [x if x is None else jax.ShapeDtypeStruct(x.shape, x.dtype) for x in seen]
    return jax.eval_shape(stage.body.init, whole.tree(like))


def _parts_of_slots(
    stage: Stage, whole: Columns, split: list[Parts], like: State
) -> dict[int, Parts]:
    """How slots are split, by the identity of their shapes."""
    sizes: Sizes = {axis: lax.axis_size(axis) for axis in manual_axes()}
    found: dict[int, Parts] = {}
    for (_, *path), slot in slots_in(stage.call.facts):
        column = _column_at(
            whole,
            path,
            like,
        )
        for x, g, parts in zip(column, whole.g, split, strict=True):
            if x is not None and any(parts):
                found[id(x)] = _parts_of_slot(slot, x.shape, g.shape, parts, sizes)
    return found


def _parts_of_slot(
    slot: Slot | None, own: Shape, param: Shape, parts: Parts, sizes: Sizes
) -> Parts:
    spec = spec_of_slot(slot, own, param, PartitionSpec(*(p or None for p in parts)), sizes)
    names = [(p,) if isinstance(p, str) else tuple(p or ()) for p in spec]
    return (*names, *((),) * (len(own) - len(names)))


def _column_at(whole: Columns, path: list[str], like: State) -> list[Leaf]:
    """The leaves of a slot; holes if it has none."""
    none: list[Leaf] = [None] * len(whole.g)
    for name in path:
        if not isinstance(like, dict) or name not in like:
            return none
        like = like[name]
    try:
        column = whole.column(like)
    except (ValueError, TypeError, KeyError):
        return none
    return [x if hasattr(x, "shape") else None for x in column]
