"""The lifts: from a rule on one array to a transformation of trees.

A rule names what it wants among ``g`` (the update so far), ``s`` (its slots, a dict), ``p`` (the
parameter) and ``t`` (the step, 1-based); any further argument is an extra argument of ``update``.
It returns the new update, together with the new slots if it names ``s``. The lift that is chosen
says how far the rule looks:

===============  ============================================================================  ========
``elementwise``  one array; each output element depends on the same element of the inputs      element
``leafwise``     one array, whole                                                              leaf
``matrixwise``   a batch ``(k, m, n)`` of equal matrices, gathered from all leaves             matrix
``treewise``     the whole tree                                                                tree
===============  ============================================================================  ========

Rules compute in float32 at least: gradients, parameters and slots are cast on the way in, slots on
the way out.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core import errors
from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Stage
from gradchain.numerics.arithmetic import cast, compute_dtype, real_dtype
from gradchain.tree.mapping import map_rows, real_dtype_of
from gradchain.tree.paths import flatten, flatten_like, named_leaves
from gradchain.tree.selecting import keep_leaves, select

GIVEN = frozenset(
    {"g", "s", "p", "t", "dtypes"}
)  # what a rule is given by these names; others are extra arguments


def elementwise(rule: Callable, where: Any = None, **slots: Slot) -> Body:
    """Lift a rule on one array in which every output element depends on the same element of the
    inputs.

    Args:
        rule: ``rule(g, s, p, t)``, or any of these names; see ``gradchain.lift``.
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


def leafwise(rule: Callable, where: Any = None, *, whole: bool = False, **slots: Slot) -> Body:
    """Lift a rule that looks at one whole array, its norm or mean say; other arguments as for
    ``elementwise``.

    Inside ``shard_map`` it sees a shard: reduce with ``gradchain.numerics.total``, ``norm`` and
    ``mean``.

    Args:
        rule: see ``elementwise``.
        where: see ``elementwise``.
        whole: whether it also reduces along single dimensions (rows, columns), so that the matrices
            of a leaf, its last two dimensions, must not be split; its locality is then ``matrix``.
        slots: see ``elementwise``.
    """
    return PerLeaf("matrix" if whole else "leaf", rule, where, slots)


def matrixwise(rule: Callable, where: Any = None, **slots: Slot) -> Body:
    """Lift a rule on a batch ``(k, m, n)`` of matrices, the last two dimensions of all leaves of
    that shape.

    Arguments as for ``elementwise``; slots have the shape that they declare for one matrix.

    Raises:
        ValueError: naming the path of a leaf that has fewer than two dimensions; choose leaves with
            ``where``.
    """
    return PerMatrix("matrix", rule, where, slots)


def treewise(rule: Callable, where: Any = None, **slots: Slot) -> Body:
    """Lift a rule on whole trees: ``g`` and ``p`` are trees, and so are slots except a ``scalar``,
    which is one array.

    A rule that names ``dtypes`` is given the trees of gradients and parameters as they came, before
    they were cast up. Arguments as for ``elementwise``; leaves that are not chosen are holes in
    what the rule sees.
    """
    return PerTree("tree", rule, where, slots)


class Lift(Body):
    """A rule, its slots, and what its signature asks for."""

    def __init__(self, locality: str, rule: Callable, where: Any, slots: dict[str, Slot]):
        self.locality, self.rule, self.where, self.slots = locality, rule, where, slots
        parameters = inspect.signature(rule).parameters
        self.names = frozenset(parameters)
        self.required = frozenset(k for k, p in parameters.items() if p.default is p.empty)
        self.extras = self.names - GIVEN
        self.needs_step = "t" in self.names
        self.slot_names = frozenset(slots)
        self.keeps_clock = "count" in slots

    def init(self, params: Any) -> dict:
        """See ``Body``."""
        chosen = keep_leaves(select(self.where, params), params)
        return {name: jax.tree.map(slot.make, chosen) for name, slot in self.slots.items()}

    def call(self, stage: Stage, dtype: jnp.dtype, extra: dict, **given: Any) -> tuple[Any, dict]:
        """Run the rule, in ``dtype``, on what it names of ``given`` and of the extra arguments."""
        real = real_dtype(dtype)
        given |= {k: _at_least(extra[k], real) for k in self.extras if k in extra}
        if self.needs_step:
            given["t"] = (stage.count + 1).astype(real)
        for name in self.required - {"g"}:  # which may be a tree that is None
            if given.get(name) is None and (
                name not in ("p", "grad") or jax.tree.leaves(given["g"])
            ):
                what = "params" if name == "p" else f"the extra argument {name!r}"
                way_out = "params" if name == "p" else f"params, {name}=..."
                raise TypeError(
                    f"update: {stage.name!r} needs {what}: call update(grads, state, {way_out})."
                )
        # A real hyperparameter beside a complex array is meant: only there may dtypes meet.
        mixed = (
            jax.numpy_dtype_promotion("standard") if dtype.kind == "c" else contextlib.nullcontext()
        )
        with mixed:
            made = self.rule(**{k: v for k, v in given.items() if k in self.names})
        own = given["s"].keys()
        update, new = made if own or "s" in self.names else (made, {})
        if not isinstance(new, dict) or new.keys() != own:
            raise ValueError(
                f"{stage.name}: the rule must return its slots {errors.quote(own)}, not {new!r}."
            )
        return update, new


def _at_least(x: Any, real: jnp.dtype) -> Any:
    """An array in the kind that it has and in the precision of ``real``; anything else as it is."""
    if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.inexact):
        return x
    return cast(x, compute_dtype(real, x.dtype) if x.dtype.kind == "c" else real)


def _as_made(stage: Stage, what: str, new: Any, old: jax.Array, dtype: Any) -> jax.Array:
    """What a rule made in the place of ``old``, in ``dtype``; of another shape it is an error."""
    if jnp.shape(new) != old.shape:
        raise ValueError(
            f"{stage.name}: the rule made {what} of shape {jnp.shape(new)} from one of {old.shape}."
        )
    return cast(new if isinstance(new, jax.Array) else jnp.asarray(new), dtype)


class PerLeaf(Lift):
    """A rule on one array. Consecutive ones run together, each leaf passing through all of them."""

    fuses = True

    @classmethod
    def run(
        cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict
    ) -> tuple[Any, list]:
        """See ``Body``."""
        g, treedef = flatten(updates)
        p = flatten_like(treedef, params)
        flags = [_flags(stage, treedef, updates, params) for stage in stages]
        slots = [
            _columns(stage, treedef, updates, state)
            for stage, state in zip(stages, states, strict=True)
        ]
        live = [i for i, x in enumerate(g) if x is not None]
        kinds, rows = [], []
        for i in live:
            chosen = tuple(f[i] for f in flags)
            own = [s[k][i] for s, flag in zip(slots, chosen, strict=True) if flag for k in s]
            kinds.append((chosen, p[i] is not None, tuple(x is not None for x in own)))
            own = [x for x in own if x is not None]
            rows.append((g[i], *p[i : i + 1] * (p[i] is not None), *own))
            for stage, s in zip(
                itertools.compress(stages, chosen), itertools.compress(slots, chosen), strict=True
            ):
                _check_slots(stage, s, i, updates, g[i].shape)

        def through_all(kind: tuple, u: jax.Array, *rest: jax.Array) -> list:
            (chosen, has_p, exist), rest_iter, news = kind, iter(rest), []
            exist = iter(exist)
            dtype = compute_dtype(u.dtype, rest[0].dtype if has_p else u.dtype)
            u, p = u.astype(dtype), next(rest_iter).astype(dtype) if has_p else None
            for stage in itertools.compress(stages, chosen):
                body = stage.in_precision_of(dtype)
                old = {k: next(rest_iter) for k in body.slots if next(exist)}
                given = {
                    "g": u,
                    "s": {k: _at_least(v, real_dtype(dtype)) for k, v in old.items()},
                    "p": p,
                }
                made, new = body.call(stage, dtype, extra, **given)
                u = _as_made(stage, "an update", made, u, dtype)
                news += [_as_made(stage, f"slot {k!r}", new[k], v, v.dtype) for k, v in old.items()]
            return [u, *news]

        for i, (u, *news), kind in zip(
            live, map_rows(through_all, kinds, rows), kinds, strict=True
        ):
            g[i], news = u, iter(news)
            columns = [column for s in itertools.compress(slots, kind[0]) for column in s.values()]
            for column in itertools.compress(columns, kind[2]):
                column[i] = next(news)
        return treedef.unflatten(g), [
            {k: treedef.unflatten(v) for k, v in s.items()} for s in slots
        ]


def _columns(stage: Stage, treedef: Any, updates: Any, state: dict) -> dict[str, list]:
    """The leaves of each slot, in the order of declaration: a state that went through ``jit`` has
    its own.
    """
    return {
        k: errors.slot_leaves(stage.name, k, treedef, updates, state[k])
        for k in stage.body.slots
        if k in state
    }


def _check_slots(
    stage: Stage, slots: dict, i: int, updates: Any, shape: tuple, batch: int = 0
) -> None:
    for name, column in slots.items():
        own = stage.body.slots[name].shape(shape[batch:])
        expected = None if own is None else shape[:batch] + own
        if getattr(column[i], "shape", None) != expected:
            errors.refuse_slot(stage.name, name, named_leaves(updates)[i][0], column[i], expected)


class PerTree(Lift):
    """A rule on the whole tree."""

    def init(self, params: Any) -> dict:
        """See ``Body``."""
        chosen = keep_leaves(select(self.where, params), params)
        dtype = real_dtype_of(params)
        once = lambda s: s(size=s.size(chosen) if callable(s.size) else s.size).make(
            jnp.zeros((), dtype)
        )
        make = lambda s: once(s) if s.relation == "scalar" else jax.tree.map(s.make, chosen)
        return {name: make(slot) for name, slot in self.slots.items()}

    @classmethod
    def run(
        cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict
    ) -> tuple[Any, list]:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        leaves, treedef = flatten(updates)
        flags = _flags(stage, treedef, updates, params)
        keep = lambda column: treedef.unflatten(
            [x if flag else None for x, flag in zip(column, flags, strict=True)]
        )
        dtype = compute_dtype(*(x.dtype for x in jax.tree.leaves((updates, params))))
        body = stage.in_precision_of(dtype)
        inner = {k: state.get(k, {}) for k in body.members}
        state = {k: v for k, v in state.items() if k not in inner}
        per_leaf = {k: v for k, v in state.items() if body.slots[k].relation != "scalar"}
        columns = _columns(stage, treedef, updates, per_leaf)
        up = lambda tree: jax.tree.map(lambda x: _at_least(x, real_dtype(dtype)), tree)

        g, slots = keep(leaves), state | {k: keep(column) for k, column in columns.items()}
        p = None if params is None else up(keep(flatten_like(treedef, params)))
        made, new = body.call(
            stage, dtype, extra, g=up(g), s=up(slots) | inner, p=p, dtypes=(updates, params)
        )
        if jax.tree.structure(made) != jax.tree.structure(g):
            raise ValueError(
                f"{stage.name}: the rule must return updates of the structure that it was given."
            )
        u = jax.tree.map(
            lambda old, x: _as_made(stage, "an update", x, old, compute_dtype(old.dtype)), g, made
        )
        for k, old in slots.items():
            new[k] = jax.tree.map(
                lambda o, x, k=k: _as_made(stage, f"slot {k!r}", x, o, o.dtype), old, new[k]
            )
            if k in columns:
                new[k] = _fill_holes(treedef, new[k], columns[k])
        return _fill_holes(treedef, u, leaves), [{k: v for k, v in new.items() if k in slots or v}]


def _flags(stage: Stage, treedef: Any, updates: Any, params: Any) -> list[bool]:
    """Whether the stage is for each leaf of ``treedef``; holes are for none."""
    live = [x is not None for x in flatten(updates)[0]]
    if stage.body.where is None:
        return live
    chosen = flatten_like(treedef, select(stage.body.where, updates if params is None else params))
    return [alive and flag is True for alive, flag in zip(live, chosen, strict=True)]


def _fill_holes(treedef: Any, tree: Any, leaves: list) -> Any:
    return treedef.unflatten(
        [b if a is None else a for a, b in zip(flatten_like(treedef, tree), leaves, strict=True)]
    )


class PerMatrix(Lift):
    """A rule on a batch of equal matrices."""

    def init(self, params: Any) -> dict:
        """See ``Body``."""
        chosen = keep_leaves(select(self.where, params), params)
        for path, leaf in named_leaves(chosen):
            _check_is_matrix(path, leaf)
        make = lambda slot: lambda param: slot.make(param, batch=jnp.ndim(param) - 2)
        return {name: jax.tree.map(make(slot), chosen) for name, slot in self.slots.items()}

    @classmethod
    def run(
        cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict
    ) -> tuple[Any, list]:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        g, treedef = flatten(updates)
        p = flatten_like(treedef, params)
        flags = _flags(stage, treedef, updates, params)
        slots = _columns(stage, treedef, updates, state)
        buckets: dict[tuple, list[int]] = {}
        for i, x in enumerate(g):
            if flags[i]:
                if x.ndim < 2:
                    _check_is_matrix(named_leaves(updates)[i][0], x)
                _check_slots(stage, slots, i, updates, x.shape, batch=x.ndim - 2)
                dtype = compute_dtype(x.dtype, x.dtype if p[i] is None else p[i].dtype)
                buckets.setdefault((x.shape[-2:], dtype), []).append(i)
        for (_, dtype), indices in buckets.items():
            _run_bucket(stage, dtype, indices, g, p, slots, extra)
        return treedef.unflatten(g), [{k: treedef.unflatten(v) for k, v in slots.items()}]


def _run_bucket(
    stage: Stage, dtype: jnp.dtype, indices: list, g: list, p: list, slots: dict, extra: dict
) -> None:
    """One call of a matrix rule, in place: stack the leaves at ``indices``, run, and cut the
    results apart.
    """
    real, body = real_dtype(dtype), stage.in_precision_of(dtype)
    leads = [g[i].shape[:-2] for i in indices]
    cuts = list(itertools.accumulate(math.prod(lead) for lead in leads))[:-1]

    def stack(column: list) -> jax.Array:
        as_batch = lambda x, lead: _at_least(x, real).reshape(
            math.prod(lead), *x.shape[len(lead) :]
        )
        return jnp.concatenate(
            [as_batch(column[i], lead) for i, lead in zip(indices, leads, strict=True)]
        )

    def put_back(column: list, what: str, batch: Any, old: jax.Array, dtype: Any = None) -> None:
        parts = jnp.split(_as_made(stage, what, batch, old, old.dtype), cuts)
        for i, lead, part in zip(indices, leads, parts, strict=True):
            column[i] = part.reshape(*lead, *part.shape[1:]).astype(dtype or column[i].dtype)

    u = stack(g).astype(dtype)
    old = {k: stack(column) for k, column in slots.items()}
    has_p = p[indices[0]] is not None
    made, new = body.call(
        stage, dtype, extra, g=u, s=old, p=stack(p).astype(dtype) if has_p else None
    )
    put_back(g, "an update", made, u, dtype)
    for k, column in slots.items():
        put_back(column, f"slot {k!r}", new[k], old[k])


def _check_is_matrix(path: str, leaf: Any) -> None:
    if leaf is not None and jnp.ndim(leaf) < 2:
        raise ValueError(
            f"{path!r} has shape {list(jnp.shape(leaf))}: a matrix transformation needs two dimensions or more. Choose"
            " leaves with where=gc.ndim_at_least(2), or give the others a transformation of their own with partition."
        )
