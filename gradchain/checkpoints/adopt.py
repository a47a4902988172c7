"""Carry a state over to another chain."""

from __future__ import annotations

import collections
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradchain.checkpoints.boxes import state_in, unboxed_leaves
from gradchain.checkpoints.foreign import join, read
from gradchain.checkpoints.matching import Matching, targets_of
from gradchain.checkpoints.names import leaf_path, neighbours, up_to
from gradchain.checkpoints.values import value_for
from gradchain.core.errors import quote, shape_dtype
from gradchain.core.messages import refuse_swapped
from gradchain.core.right_calls import called_as
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Params, State, Tree
from gradchain.core.walk import walk
from gradchain.precision.opened import closed_state, opened_state
from gradchain.tree.limits import check_size, children
from gradchain.tree.paths import flatten, named_leaves, path_name


@called_as("Call state, report = gc.adopt_state(tx, old_state, params).")
def adopt_state(
    tx: GradientTransformation, old_state: Tree, params: Params
) -> tuple[State, Report]:
    """Make a state for ``tx`` from an old state.

    It keeps every array that has a place in it, and comes with a report on each. It is for a run
    that goes on with another chain than it began with: members inserted, removed, in another order
    or under another name; leaves in other groups; a wrapper put around or taken away; a schedule in
    the place of a number. An array without a counterpart starts as ``init`` makes it. An array of
    the old state goes, in this order,

    1. where the same path is;
    2. where the same stage, slot and leaf are, whatever wrappers and groups are around them; among
       several to the one around which most names are the same;
    3. where the same slots are under another name, if only one place fits: a member that was
       renamed, but never one transformation in the place of another.

    A clock, or another number that a stage has once, goes with the slots of its stage. A stage that
    has no others, such as the learning rate, takes the clock of that of its name, and in a group
    the one from which the group's slots come.

    Args:
        tx: the transformation to go on with.
        old_state: a state of another transformation of this library; as a serializer returned it
            without a template; of optax, by the names of its classes; or ``torch_state(...)``. An
            ``nnx.Optimizer``, its ``nnx.State`` or a ``TrainState`` holds one, also as a serializer
            returned it.
        params: the parameters, as for ``init``; ``jax.ShapeDtypeStruct`` leaves ask for the report
            alone, and make a state of such leaves.

    Returns:
        The state, of the structure, dtypes and sharding of ``tx.init(params)``, and the report,
        which prints as a table and has the paths: ``kept``, ``new``, ``reshaped`` (new, because the
        shape is another; under another name, as from torch, such an array is ``new`` and the old
        one ``dropped``) and ``dropped``. Its notes say where the dtype was another, where numbers
        are beyond the new one, and where a counter was rounded or held in the range of int32.
        Arrays for slots that ``storage`` keeps are encoded.

    Raises:
        ValueError: naming both, if two parts of the old state fit one place, or one fits two, or
            two leaves have the same path; if the old state has codes of another storage policy,
            which ``gradchain.precision.opened_state`` reads; if a clock is negative or not finite;
            if a tree is nested deeper than 100 levels.

    Warns:
        UserWarning: if nothing of the old state has a place in the new one.

    Example:
        >>> import gradchain as gc
        >>> params = {"w": jnp.ones(2)}
        >>> old = gc.adam(1e-3).init(params)
        >>> tx = gc.accumulate(gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(1e-3)), every=4)
        >>> state, report = adopt_state(tx, old, params)
        >>> report.kept[:2], report.dropped
        (['accumulate/inner/scale_by_adam/count', 'accumulate/inner/scale_by_adam/mu/w'], [])
    """
    given = tx
    tx = as_transformation(tx, "adopt_state: tx, of adopt_state(tx, old_state, params),")
    # JAX leaves its counter of recursion wrong after a tree that was too deep for it.
    check_size("adopt_state: the old state", old_state, children, max_parts=None)
    check_size(
        "adopt_state: the tree of parameters",
        params,
        children,
        max_parts=None,
    )
    refuse_swapped("adopt_state(tx, old_state, params)", old_state, params)
    template = tx.init(params)
    is_kept = any(part.body.stores for part in walk(tx))
    has_codes = lambda: any(_is_code(leaf.path) for leaf in read(state_in(old_state)))
    is_opened = is_kept and not has_codes()
    if is_opened:  # arrays go where arrays are, and are encoded there
        template = _on_shapes(lambda x: opened_state(tx, x, params), template)
    targets = targets_of(tx, template, params)
    known = neighbours(target.name for target in targets)
    matching = Matching(targets, unboxed_leaves(read(state_in(old_state)), known))
    matching.run()
    rows, values = _carry(matching)
    leaves = [values.get(path, x) for path, x in named_leaves(template)]
    _, treedef = flatten(template)
    report = Report(rows)
    _check_codes(report, template)
    if report.dropped and report.new and not report.sources:
        warnings.warn(
            "adopt_state: nothing of the old state has a place in the new one, which begins anew:"
            f" {quote(report.dropped[:1])} ({len(report.dropped)} arrays) is dropped, and"
            f" {quote(report.new[:1])} ({len(report.new)}) is new. Is it the state of another"
            " optimizer, or part of a larger tree?",
            stacklevel=3,
        )
    state = treedef.unflatten(leaves)
    state = _on_shapes(lambda x: closed_state(tx, x), state) if is_opened else state
    in_its_shape = getattr(given, "shown", None)  # that of a dialect
    return (_on_shapes(in_its_shape, state) if in_its_shape else state), report


def _on_shapes(function: Callable[[State], State], state: State) -> State:
    """Call a function of a state or of its shapes."""
    is_shape = any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(state))
    return jax.eval_shape(function, state) if is_shape else function(state)


def _is_code(path: str) -> bool:
    """Whether an array of codes is there."""
    return path.endswith("/codes")


def _check_codes(report: Report, template: State) -> None:
    """Refuse codes of another codec, which say nothing by themselves."""
    paths = [path_name(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(template)]
    codes = set(filter(_is_code, paths))
    for row in report.rows:
        path = row.path if row.source is None else row.source
        is_same = row.status == "kept" and not row.note and row.path in codes
        if row.status != "new" and _is_code(path or "") and not is_same:
            raise ValueError(
                f"adopt_state: the old state has codes at {path!r}, and only the storage policy"
                " that they are of can read them. Open it first: old_state ="
                " gradchain.precision.opened_state(old_tx, old_state, params)."
            )


# --------------------------------------------------------------------------------------- the report


@dataclasses.dataclass(frozen=True)
class Row:
    """The fate of one array.

    Attributes:
        status: ``kept``, ``new``, ``reshaped`` or ``dropped``.
        path: where it stands in the new state; ``None`` if it was dropped.
        source: where it stood in the old one; ``None`` if it is new.
        slot: ``path``, or of a dropped array ``source``, without the part that names a leaf.
        note: a remark, such as a cast.
    """

    status: str
    path: str | None
    source: str | None
    slot: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """The fate of each array of both states.

    It prints as a table.

    Attributes:
        rows: one for each array.
    """

    rows: list[Row]

    def _paths(self, status: str) -> list[str]:
        rows = [row for row in self.rows if row.status == status]
        return [row.path or row.source or "" for row in rows]

    @property
    def kept(self) -> list[str]:
        """Paths in the new state of arrays that were kept."""
        return self._paths("kept")

    @property
    def new(self) -> list[str]:
        """Paths in the new state that the old one lacks."""
        return self._paths("new")

    @property
    def reshaped(self) -> list[str]:
        """Paths in the new state where the shape has changed.

        These arrays start new.
        """
        return self._paths("reshaped")

    @property
    def dropped(self) -> list[str]:
        """Paths in the old state of arrays without a place."""
        return self._paths("dropped")

    @property
    def sources(self) -> dict[str, str]:
        """From new to old paths, of arrays kept or reshaped."""
        return {row.path: row.source for row in self.rows if row.path and row.source}

    def __str__(self) -> str:
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        for row in self.rows:
            source = ""
            if row.path:
                leaf = row.path.removeprefix(row.slot)
                source = (row.source or "").removesuffix(leaf)
            if source == row.slot:
                source = ""
            counts[row.status, row.slot, source, row.note] += 1
        lines = [("status", "slot", "arrays", "was", "note")]
        for (status, slot, source, note), n in counts.items():
            lines.append((status, slot, str(n), source, note))
        columns = zip(*lines, strict=True)
        widths = [max(map(len, column)) for column in columns]

        def align(line: tuple[str, ...]) -> str:
            cells = zip(line, widths, strict=True)
            return "  ".join(x.ljust(width) for x, width in cells).rstrip()

        return "\n".join(map(align, lines))

    __repr__ = __str__


_ALONE = "starts anew beside slots that were kept"


def _carry(matching: Matching) -> tuple[list[Row], dict[str, Any]]:
    """The rows of the report, and kept values by path."""
    rows: list[Row] = []
    values: dict[str, Any] = {}
    sources: set[str] = set()
    went_on = {t.entry for t in matching.targets if t.per_leaf and t.source and t.fits}
    for target in matching.targets:
        slot = join(target.entry, target.slot)
        is_alone = not target.per_leaf and target.entry in went_on
        if target.source is None:
            note = _ALONE if is_alone else target.note
            rows.append(Row("new", target.path, None, slot, note))
            continue
        source, was = target.source.path, shape_dtype(target.source.value)
        if target.fits:
            is_clock = target.slot == "count"
            kept, remarks = value_for(target.like, target.source.value, source, is_clock)
            note = ", ".join(remarks)
            values[target.path] = _placed(
                kept,
                target.like,
                is_copy=source in sources,
            )
        else:
            note = f"was {was}, {_ALONE}" if is_alone else f"was {was}"
        sources.add(source)
        status = "kept" if target.fits else "reshaped"
        rows.append(Row(status, target.path, source, slot, note))
    leaves = {t.rest.partition("/")[2] for t in matching.targets if t.per_leaf}
    for path in dict.fromkeys(leaf.path for leaf in matching.old):
        if path not in sources:
            slot = up_to(path, leaf_path(path, leaves))
            rows.append(Row("dropped", None, path, slot))
    return rows, values


def _placed(
    value: ArrayLike, like: jax.Array | jax.ShapeDtypeStruct, is_copy: bool
) -> jax.Array | jax.ShapeDtypeStruct:
    """An old value with the dtype and devices of ``like``."""
    if isinstance(like, jax.ShapeDtypeStruct):
        return like
    # No buffer is twice in a state, which may be donated.
    value = jnp.array(value, like.dtype, copy=is_copy)
    if like.committed or value.sharding != like.sharding:
        return jax.device_put(value, like.sharding)
    return value
