"""The fourth lift: a rule on batches of equal matrices."""

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
from gradchain.core.stage import Body, Extra, Ran, Stage
from gradchain.core.types import Dtype, Params, State, Tree, Where
from gradchain.numerics.arithmetic import compute_dtype, real_dtype
from gradchain.tree.paths import Leaf, named_leaves
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

        def make(slot: Slot) -> Tree:
            return jax.tree.map(lambda x: slot.make(x, batch=jnp.ndim(x) - 2), own)

        return {name: make(slot) for name, slot in self.slots.items()}

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: Extra,
    ) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        flags, slots = chosen(stage, columns), slot_columns(stage, columns, state)
        buckets: dict[tuple, list[int]] = {}
        for i, (g, p) in enumerate(zip(columns.g, columns.p, strict=True)):
            if not flags[i]:
                continue
            if g.ndim < 2:
                _check_is_matrix(columns.path(i), g)
            dtype = compute_dtype(g.dtype, g.dtype if p is None else p.dtype)
            bucket = buckets.setdefault((g.shape[-2:], dtype), [])
            bucket.append(i)
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
    """Run the rule on the leaves at ``indices``.

    Their matrices are stacked, and the results are put back in their places.
    """
    g, p = columns.g, columns.p
    real, body = real_dtype(dtype), stage.in_precision_of(dtype)
    leads = [g[i].shape[:-2] for i in indices]
    counts = [math.prod(lead) for lead in leads]
    cuts = list(itertools.accumulate(counts))[:-1]

    def stack(column: list[Leaf]) -> jax.Array:
        batches = []
        for i, lead, count in zip(indices, leads, counts, strict=True):
            x = at_least(column[i], real)
            batches.append(x.reshape(count, *x.shape[len(lead) :]))
        return jnp.concatenate(batches)

    def put_back(
        column: list[Leaf], name: str, batch: jax.Array, old: jax.Array, dtype: Dtype | None
    ) -> None:
        made = as_made(stage, name, batch, old, old.dtype)
        parts = jnp.split(made, cuts)
        for i, lead, part in zip(indices, leads, parts, strict=True):
            whole = part.reshape(*lead, *part.shape[1:])
            own_dtype = column[i].dtype if dtype is None else dtype
            column[i] = whole.astype(own_dtype)

    u = stack(g).astype(dtype)
    old = {k: stack(column) for k, column in slots.items()}
    stacked_p = None if p[indices[0]] is None else stack(p).astype(dtype)
    made, new = body.call(stage, dtype, extra, g=u, s=old, p=stacked_p)
    put_back(g, "an update", made, u, dtype)
    for k, column in slots.items():
        put_back(column, f"slot {k!r}", new[k], old[k], None)


def _check_is_matrix(path: str, leaf: Leaf) -> None:
    if leaf is not None and jnp.ndim(leaf) < 2:
        raise ValueError(
            f"{path!r} has shape {list(jnp.shape(leaf))}: a matrix transformation needs"
            " two dimensions or more. Choose leaves with where=gc.ndim_at_least(2), or"
            " give the others a transformation of their own with partition."
        )
