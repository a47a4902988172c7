"""The fourth lift: a rule on batches of matrices, gathered from all leaves of a shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.columns import Columns
from gradchain.core.lift import Lift, as_made, at_least, check_slots, chosen, slot_columns
from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Stage
from gradchain.core.types import Params, State, Where
from gradchain.numerics.arithmetic import compute_dtype, real_dtype
from gradchain.tree.paths import named_leaves
from gradchain.tree.selecting import keep_leaves, select


def matrixwise(rule: Callable[..., Any], where: Where | None = None, **slots: Slot) -> Body:
    """Lift a rule on a batch ``(k, m, n)`` of matrices.

    They are the last two dimensions of all leaves of that shape. Arguments as for ``elementwise``;
    slots have the shape that they declare for one matrix.

    Raises:
        ValueError: naming the path of a leaf that has fewer than two dimensions; choose leaves with
            ``where``.
    """
    return PerMatrix("matrix", rule, where, slots)


class PerMatrix(Lift):
    """A rule on a batch of equal matrices."""

    def init(self, params: Params) -> State:
        """See ``Body``."""
        own = keep_leaves(select(self.where, params), params)
        for path, leaf in named_leaves(own):
            _check_is_matrix(path, leaf)
        make = lambda slot: lambda param: slot.make(param, batch=jnp.ndim(param) - 2)
        return {name: jax.tree.map(make(slot), own) for name, slot in self.slots.items()}

    @classmethod
    def run(
        cls, stages: list[Stage], columns: Columns, states: list[Any], extra: dict[str, Any]
    ) -> tuple[Columns, list[Any]]:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        flags, slots = chosen(stage, columns), slot_columns(stage, columns, state)
        buckets: dict[tuple, list[int]] = {}
        for i in (i for i, flag in enumerate(flags) if flag):
            g, p = columns.g[i], columns.p[i]
            if g.ndim < 2:
                _check_is_matrix(columns.path(i), g)
            dtype = compute_dtype(g.dtype, g.dtype if p is None else p.dtype)
            buckets.setdefault((g.shape[-2:], dtype), []).append(i)
        check_slots(stage, slots, flags, columns, of_matrix=True)
        columns = columns.with_g(list(columns.g))
        for (_, dtype), indices in buckets.items():
            _run_bucket(stage, dtype, indices, columns, slots, extra)
        return columns, [{k: columns.tree(v) for k, v in slots.items()}]


def _run_bucket(
    stage: Stage,
    dtype: jnp.dtype,
    indices: list[int],
    columns: Columns,
    slots: dict[str, list[Any]],
    extra: dict[str, Any],
) -> None:
    """Stack the leaves at ``indices``, run the rule, and put its results back in their places."""
    g, p = columns.g, columns.p
    real, body = real_dtype(dtype), stage.in_precision_of(dtype)
    leads = [g[i].shape[:-2] for i in indices]
    cuts = list(itertools.accumulate(math.prod(lead) for lead in leads))[:-1]

    def stack(column: list[Any]) -> jax.Array:
        parts = [(at_least(column[i], real), lead) for i, lead in zip(indices, leads, strict=True)]
        batches = [x.reshape(math.prod(lead), *x.shape[len(lead) :]) for x, lead in parts]
        return jnp.concatenate(batches)

    def put_back(column: list[Any], name: str, batch: Any, old: jax.Array, dtype: Any) -> None:
        parts = jnp.split(as_made(stage, name, batch, old, old.dtype), cuts)
        for i, lead, part in zip(indices, leads, parts, strict=True):
            whole = part.reshape(*lead, *part.shape[1:])
            column[i] = whole.astype(column[i].dtype if dtype is None else dtype)

    u = stack(g).astype(dtype)
    old = {k: stack(column) for k, column in slots.items()}
    stacked_p = None if p[indices[0]] is None else stack(p).astype(dtype)
    made, new = body.call(stage, dtype, extra, g=u, s=old, p=stacked_p)
    put_back(g, "an update", made, u, dtype)
    for k, column in slots.items():
        put_back(column, f"slot {k!r}", new[k], old[k], None)


def _check_is_matrix(path: str, leaf: Any) -> None:
    if leaf is not None and jnp.ndim(leaf) < 2:
        raise ValueError(
            f"{path!r} has shape {list(jnp.shape(leaf))}: a matrix transformation needs two"
            " dimensions or more. Choose leaves with where=gc.ndim_at_least(2), or give the others a"
            " transformation of their own with partition."
        )
