"""The third lift: a rule on whole trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.columns import Columns
from gradchain.core.first_values import first_value
from gradchain.core.lift import Lift, as_made, at_least, chosen
from gradchain.core.meshes import laid_as
from gradchain.core.restored import check_numbers
from gradchain.core.slot_columns import slot_columns
from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Extra, Ran, Stage
from gradchain.core.types import Params, Shape, State, Tree, Where
from gradchain.numerics.arithmetic import compute_dtype, real_dtype
from gradchain.numerics.branches import varying_as
from gradchain.tree.mapping import real_dtype_of
from gradchain.tree.selecting import keep_leaves, select


def treewise(rule: Callable[..., Any], where: Where | None = None, **slots: Slot) -> Body:
    """Lift a rule on whole trees.

    ``g`` and ``p`` are trees, and so are slots except a ``scalar``, which is one array. A rule that
    names ``dtypes`` is given the trees of gradients and parameters as they came, before they were
    cast up, here or by wrappers around it. Arguments as for ``elementwise``; leaves that are not
    chosen are holes for the rule.
    """
    return PerTree("tree", rule, where, slots)


class PerTree(Lift):
    """A rule on the whole tree."""

    def init(self, params: Params) -> State:
        """See ``Body``."""
        own = keep_leaves(select(self.where, params), params)
        number = jnp.zeros((), real_dtype_of(params))

        def make(slot: Slot) -> Any:
            if slot.relation != "scalar":
                return jax.tree.map(partial(first_value, slot), own)
            return first_value(_of_tree(slot, own), number)

        return {name: make(slot) for name, slot in self.slots.items()}

    def shapes_in(self, columns: Columns) -> Callable[[Slot, int], Shape | None] | None:
        """The shapes of slots by place, or ``None``.

        With ``None`` a leaf's own shape says them.
        """
        return None

    @classmethod
    def run(cls, stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        flags = chosen(stage, columns)
        keep = lambda column: [x if flag else None for x, flag in zip(column, flags, strict=True)]
        dtype = compute_dtype(*(x.dtype for x in (*columns.g, *columns.p) if hasattr(x, "dtype")))
        body, real = stage.in_precision_of(dtype), real_dtype(dtype)
        up = lambda column: columns.tree([at_least(x, real) for x in column])

        inner = {k: state.get(k, {}) for k in body.members}
        numbers = {k for k, slot in body.slots.items() if slot.relation == "scalar"}
        own = {k: v for k, v in state.items() if k not in inner}
        declared = body.slots
        if columns.params is not None and any(map(_is_open, declared.values())):
            seen = keep_leaves(select(body.where, columns.params), columns.params)
            declared = {k: _of_tree(slot, seen) for k, slot in declared.items()}
        check_numbers(stage.name, {k: own[k] for k in own.keys() & numbers}, declared)
        trees = {k: v for k, v in own.items() if k not in numbers}
        before = slot_columns(stage, columns, trees, flags, body.shapes_in(columns))
        g, old = keep(columns.g), {k: keep(column) for k, column in before.items()}
        s = {k: up(old[k]) if k in old else at_least(v, real) for k, v in own.items()}
        p = None if columns.params is None else up(keep(columns.p))
        with _as_they_came(columns) as came:
            dtypes = came if "dtypes" in body.names else None
            made, new = body.call(stage, dtype, extra, g=up(g), s=s | inner, p=p, dtypes=dtypes)

        u = _column_made(stage, columns, "an update", made, g, lambda x: compute_dtype(x.dtype))
        for k, v in own.items():
            what = f"slot {k!r}"
            if k in old:
                column = _column_made(stage, columns, what, new[k], old[k], lambda x: x.dtype)
                new[k] = columns.tree(_filled(column, before[k]))
            else:
                number = as_made(stage, what, new[k], v, v.dtype)
                new[k] = varying_as(laid_as(number, v), v)  # a constant, too, in each replica
        news = {k: v for k, v in new.items() if k in own or v}
        return columns.with_g(_filled(u, columns.g)), [news]


#: The columns that came into the outermost wrapper.
_came: ContextVar[Columns | None] = ContextVar("came", default=None)


@contextmanager
def _as_they_came(columns: Columns) -> Iterator[tuple[Tree, Tree]]:
    """Updates and parameters before the outermost wrapper cast them."""
    outer = _came.get()
    if outer is None or outer.treedef != columns.treedef:
        outer = columns
    token = _came.set(outer)
    here = lambda own, came: columns.tree(
        [y if x is not None else None for x, y in zip(own, came, strict=True)]
    )
    try:
        params = None if columns.params is None else here(columns.p, outer.p)
        yield here(columns.g, outer.g), params
    finally:
        _came.reset(token)


def _is_open(slot: Slot) -> bool:
    """Whether its size follows from the tree."""
    return slot.relation == "scalar" and callable(slot.size)


def _of_tree(slot: Slot, params: Params) -> Slot:
    """A slot per tree with its size, or another unchanged."""
    return slot(size=slot.size(params)) if _is_open(slot) else slot


def _column_made(
    stage: Stage, columns: Columns, name: str, made: Any, old: list[Any], dtype_of: Callable
) -> list[Any]:
    """The leaves of a rule's tree, checked against old ones."""
    try:
        new = columns.column(made)
    except (ValueError, TypeError, KeyError):
        new = None
    if new is None or any((a is None) != (b is None) for a, b in zip(new, old, strict=True)):
        kind = "updates" if name == "an update" else name
        raise ValueError(
            f"{stage.name}: the rule must return {kind} of the structure that it was given."
        )
    pairs = zip(new, old, strict=True)
    fit = lambda a, b: laid_as(as_made(stage, name, a, b, dtype_of(b)), b)
    return [None if b is None else fit(a, b) for a, b in pairs]


def _filled(column: list[Any], others: list[Any]) -> list[Any]:
    """A column, with ``others`` in its holes."""
    return [b if a is None else a for a, b in zip(column, others, strict=True)]
