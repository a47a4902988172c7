"""Lifts: from rules on one array to transformations of trees.

A rule names what it wants among ``g`` (the update so far), ``s`` (its slots, a dict), ``p`` (the
parameter), ``t`` (the step, 1-based, a float) and ``count`` (the updates before this one, an
integer, of which remainders are exact); any further argument is an extra argument of ``update``. It
returns the new update, together with the new slots if it names ``s``. The lift says how far the
rule looks:

===============  ===================================================================  ========
``elementwise``  an array; each output element depends on the same element of inputs  element
``leafwise``     an array, whole                                                      leaf
``matrixwise``   a batch ``(k, m, n)`` of equal matrices, gathered from all leaves    matrix
``treewise``     the whole tree                                                       tree
===============  ===================================================================  ========

Rules compute in float32 at least: gradients, parameters and slots are cast on the way in, slots on
the way out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.core import errors, meshes
from gradchain.core.apply import added
from gradchain.core.columns import Columns
from gradchain.core.first_values import first_value
from gradchain.core.slot_columns import slot_columns
from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Extra, Ran, Stage
from gradchain.core.stored import AN_ARRAY, Stored, one_by_one
from gradchain.core.types import Params, State, Where
from gradchain.numerics.arithmetic import cast, compute_dtype, real_dtype
from gradchain.numerics.counting import step_of
from gradchain.tree.mapping import map_rows
from gradchain.tree.selecting import keep_leaves, select

#: A rule is given these by name; other names are extra arguments.
GIVEN = frozenset({"g", "s", "p", "t", "count", "dtypes", "place", "sides", "beside"})


def elementwise(rule: Callable[..., Any], where: Where | None = None, **slots: Slot) -> Body:
    """Lift a rule that treats each element by itself.

    Every output element depends on the same element of the inputs, and on numbers.

    Args:
        rule: ``rule(g, s, p, t)``, or any of these names; see ``gradchain.core.lift``.
        where: which leaves it is for (see ``gradchain.select``); the others pass unchanged and have
            no slots.
        slots: the named parts of its state.

    Example:
        >>> import gradchain as gc
        >>> @gc.transform
        ... def cube():
        ...     return gc.elementwise(lambda g: g**3)
    """
    return PerLeaf("element", rule, where, slots)


def leafwise(
    rule: Callable[..., Any], where: Where | None = None, *, whole: bool = False, **slots: Slot
) -> Body:
    """Lift a rule that looks at one whole array.

    For example at its norm or its mean. Inside ``shard_map`` it sees a shard: reduce with
    ``gradchain.numerics.total``, ``norm`` and ``mean``. Other arguments as for ``elementwise``.

    Args:
        whole: whether it also looks along single dimensions (rows, columns), so that inside
            ``shard_map`` leaves are gathered for it; its locality is then ``matrix``.
    """
    return PerLeaf("matrix" if whole else "leaf", rule, where, slots)


class Lift(Body):
    """A rule, its slots, and the names in its signature."""

    def __init__(
        self, locality: str, rule: Callable[..., Any], where: Where | None, slots: dict[str, Slot]
    ):
        self.locality, self.rule, self.where, self.slots = locality, rule, where, slots
        parameters = inspect.signature(rule).parameters
        self.names = frozenset(parameters)
        self.required = frozenset(k for k, p in parameters.items() if p.default is p.empty)
        self.needs_whole, self.by_matrix = locality == "matrix", locality == "element"
        self.extras = (self.names - GIVEN) | ({"specs"} if self.needs_whole else set())
        self.needs_step = not self.names.isdisjoint({"t", "count"})
        self.slot_names = frozenset(slots)
        self.keeps_clock = "count" in slots

    def init(self, params: Params) -> State:
        """See ``Body``."""
        chosen = keep_leaves(select(self.where, params), params)
        make = lambda slot: jax.tree.map(functools.partial(first_value, slot), chosen)
        return {name: make(slot) for name, slot in self.slots.items()}

    def call(
        self, stage: Stage, dtype: jnp.dtype, extra: Extra, **given: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Run the rule, in ``dtype``, on arguments that it names."""
        real = real_dtype(dtype)
        given |= {k: at_least(extra[k], real) for k in self.extras if k in extra}
        given["count"] = stage.count
        if "t" in self.names:
            given["t"] = step_of(stage.count, real)
        for name in self.required - {"g"}:  # which may be a tree that is None
            if given.get(name) is None:
                self._check_given(stage.name, name, given["g"])
        # A real hyperparameter beside a complex array is meant: only there may dtypes meet.
        is_complex = dtype.kind == "c"
        mixed = jax.numpy_dtype_promotion("standard") if is_complex else contextlib.nullcontext()
        with mixed:
            made = self.rule(**{k: v for k, v in given.items() if k in self.names})
        own = given["s"].keys()
        update, new = made if own or "s" in self.names else (made, {})
        if not isinstance(new, dict) or new.keys() != own:
            raise ValueError(
                f"{stage.name}: the rule must return its slots {errors.quote(own)}, not {new!r}."
            )
        return update, new

    def _check_given(self, stage: str, name: str, g: Any) -> None:
        """Refuse a missing argument, unless there is nothing to update."""
        if name in ("p", "grad") and not jax.tree.leaves(g):
            return
        missing = "params" if name == "p" else f"the extra argument {name!r}"
        way = "params" if name == "p" else f"params, {name}=..."
        call = f"call update(grads, state, {way})."
        raise errors.MissingArgument(f"update: {stage!r} needs {missing}: {call}")


def at_least(x: Any, real: jnp.dtype) -> Any:
    """An array in the precision of ``real``, anything else unchanged."""
    if isinstance(x, Stored):
        x = x.value
    if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    if x.dtype == real and not x.weak_type:
        return x
    return cast(x, compute_dtype(real, x.dtype) if x.dtype.kind == "c" else real)


def as_made(stage: Stage, name: str, new: Any, old: Any, dtype: Any) -> Any:
    """A rule's result in ``dtype``, kept as the old."""
    if jnp.shape(new) != old.shape:
        raise ValueError(
            f"{stage.name}: the rule made {name} of shape {jnp.shape(new)} from one of {old.shape}."
        )
    new = new if isinstance(new, jax.Array) else jnp.asarray(new)
    new = new if new.dtype == dtype and not new.weak_type else cast(new, dtype)
    return old.of(new) if isinstance(old, Stored) else new


class Leaf(NamedTuple):
    """A leaf: update, parameter, and its slots in each member."""

    g: jax.Array
    p: jax.Array | None
    slots: list[dict[str, Any]]


class Kind(NamedTuple):
    """How leaves of equal types differ: one trace for each."""

    members: tuple[int, ...]  # the places of the members that are for it
    has_param: bool
    slots: tuple[tuple[tuple[str, Any], ...], ...]  # of each the name, and how it is kept

    @classmethod
    def of(cls, members: tuple[int, ...], leaf: Leaf) -> Kind:
        """The kind of a leaf."""
        way = lambda x: jax.tree.structure(x) if isinstance(x, Stored) else AN_ARRAY
        slots = tuple(tuple((k, way(x)) for k, x in own.items()) for own in leaf.slots)
        return cls(members, leaf.p is not None, slots)

    def pack(self, leaf: Leaf) -> tuple[jax.Array, ...]:
        """The arrays of a leaf in one row."""
        own = []
        for s, slots in zip(leaf.slots, self.slots, strict=True):
            for name, way in slots:
                own += [s[name]] if way == AN_ARRAY else jax.tree.leaves(s[name])
        return (leaf.g, leaf.p, *own) if leaf.p is not None else (leaf.g, *own)

    def unpack(self, row: tuple[jax.Array, ...], *, with_param: bool) -> Leaf:
        """The leaf whose arrays stand in a row."""
        arrays = iter(row)
        g, p = next(arrays), next(arrays) if with_param else None
        some = lambda way: way.unflatten(itertools.islice(arrays, way.num_leaves))
        one = lambda way: next(arrays) if way == AN_ARRAY else some(way)
        return Leaf(g, p, [{name: one(way) for name, way in slots} for slots in self.slots])


class PerLeaf(Lift):
    """A rule on one array; consecutive ones run together."""

    fuses = True

    @classmethod
    def run(cls, stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        flags = [chosen(stage, columns) for stage in stages]
        given = zip(stages, states, flags, strict=True)
        slots = [slot_columns(stage, columns, s, flag) for stage, s, flag in given]
        live = [i for i, g in enumerate(columns.g) if g is not None]
        kinds, rows = [], []
        for i in live:
            members = tuple(m for m, flag in enumerate(flags) if flag[i])
            own = [
                {k: column[i] for k, column in slots[m].items() if column[i] is not None}
                for m in members
            ]
            leaf = Leaf(columns.g[i], columns.p[i], own)
            kinds.append(Kind.of(members, leaf))
            rows.append(kinds[-1].pack(leaf))

        is_kept = any(way != AN_ARRAY for kind in kinds for own in kind.slots for _, way in own)
        # In the same breath, so that updates of all leaves never stand beside each other.
        adds = columns.adds and is_kept and all(columns.p[i] is not None for i in live)

        def through_all(kind: Kind, *row: jax.Array) -> list[jax.Array]:
            leaf = kind.unpack(row, with_param=kind.has_param)
            new = through([stages[m] for m in kind.members], leaf, extra)
            if adds and leaf.p is not None:
                new = new._replace(g=added(leaf.p, new.g))
            return meshes.row_laid_as(kind.pack(new), row, kind.has_param)

        run = functools.partial(one_by_one, adds=adds) if is_kept else map_rows
        made = run(through_all, kinds, rows)
        g = list(columns.g)
        for i, kind, row in zip(live, kinds, made, strict=True):
            leaf = kind.unpack(row, with_param=False)
            g[i] = leaf.g
            for m, own in zip(kind.members, leaf.slots, strict=True):
                for name, new in own.items():
                    slots[m][name][i] = new
        columns = dataclasses.replace(columns, g=g, is_sum=adds)
        return columns, [{k: columns.tree(v) for k, v in s.items()} for s in slots]


def through(stages: list[Stage], leaf: Leaf, extra: Extra) -> Leaf:
    """A leaf after all ``stages``, its new slots beside it."""
    g, p, _ = leaf
    dtype = compute_dtype(g.dtype, g.dtype if p is None else p.dtype)
    real, slots = real_dtype(dtype), []
    g, p = g.astype(dtype), None if p is None else p.astype(dtype)
    for stage, old in zip(stages, leaf.slots, strict=True):
        body = stage.in_precision_of(dtype) if stage.arrays else stage.body
        s = {k: at_least(v, real) for k, v in old.items()}
        made, new = body.call(stage, dtype, extra, g=g, s=s, p=p)
        g = as_made(stage, "an update", made, g, dtype)
        slots += [{k: as_made(stage, f"slot {k!r}", new[k], v, v.dtype) for k, v in old.items()}]
    return Leaf(g, None, slots)


def chosen(stage: Stage, columns: Columns) -> list[bool]:
    """Whether a member is for each leaf; never for holes."""
    live = [g is not None for g in columns.g]
    if stage.body.where is None:
        return live
    tree = columns.updates if columns.params is None else columns.params
    flags = columns.column(select(stage.body.where, tree))
    return [alive and flag is True for alive, flag in zip(live, flags, strict=True)]
