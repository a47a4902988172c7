"""Guards: a step that would let anything non-finite in is not made, but counted."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.around import Around, run_if
from gradchain.core.entries import entries, is_meter, is_watch, unboxed
from gradchain.core.slots import Slot, counter
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.numerics.arithmetic import abs2, increment
from gradchain.tree.mapping import map_leaves, map_rows, upcast
from gradchain.tree.paths import flatten, flatten_like, named_leaves
from gradchain.tree.reductions import all_finite, sum_over_shards


@transform
def skip_nonfinite(inner: GradientTransformation) -> Any:
    """Leave out each step that has anything non-finite in it, and count it.

    If a gradient, or ``value``, is not finite, the update is zero, and the state of ``inner`` stays
    as it is, its clock included. So it does where the gradient is finite but the step is not: where
    a number of the update, of the state, or of the parameters after it would cease to be finite, as
    when the square of a gradient overflows.

    It never gives up by itself. To stop a run that is beyond hope, look at the slot
    ``skipped_in_a_row``; the slot ``skipped`` counts all steps left out so far, and ``bad_leaf``
    says where the last of them was bad.

    Args:
        inner: the transformation, most often a whole optimizer: what comes after it is not guarded.

    Example:
        >>> import gradchain as gc
        >>> tx, params = skip_nonfinite(gc.sgd(1.0)), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for gradient in (-1.0, jnp.nan, -1.0):
        ...     params, state = tx.step(jnp.array([gradient]), state, params)
        >>> print(params, state["skip_nonfinite"]["skipped"])
        [2.] 1
    """

    def rule(g, s, inner, dtypes, p=None, value=None):
        u, new, _ = guarded_step(inner, g, s, p, dtypes, value)
        return u, new

    return Guard(rule, inner)


def bad_leaf(state: Any, params: Any) -> str | None:
    """Where the last step that a guard left out was bad first; ``None`` if no step was.

    It is the path of a parameter, the first whose gradient was not finite; if all were, the first
    that would not have been so itself, or whose update would not. Else it is the place in the inner
    state that would not have been, such as ``scale_by_adam/nu/layers_3/kernel``, or ``value`` if
    all else was well.

    Args:
        state: what ``init`` or ``update`` returned, outside ``jit``. Of several guards the
            outermost one that found something answers.
        params: the parameters.

    Raises:
        ValueError: if there is no guard in the state.

    Example:
        >>> import gradchain as gc
        >>> params = {"bias": jnp.ones(1), "kernel": jnp.ones(2)}
        >>> tx = skip_nonfinite(gc.adam(0.1))
        >>> updates, state = tx.update({"bias": jnp.ones(1), "kernel": jnp.full(2, jnp.inf)}, tx.init(params), params)
        >>> bad_leaf(state, params)
        'kernel'
    """
    found = entries_with("bad_leaf", state)
    if not found:
        raise ValueError(
            "bad_leaf: there is no guard in this state; put one around the optimizer: skip_nonfinite(tx)."
        )
    for entry in found:
        places = [*named_leaves(params), *named_leaves(entry.get("inner", {})), ("value", None)]
        number = int(unboxed(entry["bad_leaf"]))
        if number >= 0:
            return places[number][0]
    return None


# -------------------------------------------------------------------------------- what guards share


class Guard(Around):
    """A rule around one transformation that makes a ``guarded_step``.

    It names ``dtypes``: what is finite in float32 may not be so in the dtype that it is kept in.
    """

    def __init__(self, rule: Any, inner: GradientTransformation, **slots: Slot):
        counts = {"skipped": counter, "skipped_in_a_row": counter, "bad_leaf": counter(fill=-1)}
        super().__init__(rule, "tree", {"inner": inner}, counts | slots)


def guarded_step(
    inner: Any, g: Any, s: dict, p: Any, dtypes: tuple, value: Any = None, allowed: Any = True
) -> tuple[Any, dict, jax.Array]:
    """One step of ``inner``, or none at all if anything in it is not finite.

    Args:
        inner: the transformation, as a rule is given it.
        g: the gradients.
        s: the slots of the ``Guard``, and the state of ``inner``.
        p: the parameters, or ``None``.
        dtypes: gradients and parameters as they came, as a rule is given them.
        value: the loss that was passed to ``update``, or ``None``.
        allowed: a traced bool: whether the step may be made at all.

    Returns:
        The update, the new slots, those of the caller's own aside, and whether the step was made.
    """
    # Only what is finite reaches ``inner``, and its result is looked at before anything takes it
    # in.
    starts = all_finite((g, value)) & allowed
    u, new = run_if(starts, lambda: inner(g, s["inner"], p), g, s["inner"])
    is_well = lambda: (jnp.array(True), jnp.array(-1, jnp.int32))
    states = _without_metrics(new), _without_metrics(s["inner"])
    look_closer = lambda: _examine(g, value, (u, p), states, dtypes)
    sound, first = lax.cond(
        starts & _is_surely_finite((u, p), states[0], dtypes), is_well, look_closer
    )
    made = starts & sound
    keep = lambda new, old: jnp.where(made, new, old)
    return (
        map_leaves(lambda u: keep(u, jnp.zeros_like(u)), u),
        {
            "skipped": keep(s["skipped"], increment(s["skipped"])),
            "skipped_in_a_row": keep(0, increment(s["skipped_in_a_row"])),
            "bad_leaf": jnp.where(first < 0, s["bad_leaf"], first),
            "inner": jax.tree.map(keep, new, s["inner"]),
        },
        made,
    )


def _without_metrics(state: Any) -> Any:
    """The state without what a ``watch`` shows, in it or around it: a norm may overflow where
    nothing else does.
    """
    if not isinstance(state, dict):
        return state
    metrics = {"metrics": jax.tree.map(lambda _: None, state["metrics"])} if is_watch(state) else {}
    rest = {name: below for name, below in (state | metrics).items() if not is_meter(name, below)}
    return {name: _without_metrics(below) for name, below in rest.items()}


def _is_surely_finite(moved: tuple, state: Any, dtypes: tuple) -> jax.Array:
    """A test that costs least: a sum that is finite has no number that is not; large numbers may
    fail it.
    """

    def size(kinds: tuple, u: jax.Array, *p: jax.Array) -> list:
        if all(float(jnp.finfo(kind).max) > 1e38 for kind in kinds):
            return [
                jnp.sum(abs2(u))
            ]  # if that is finite, u is too small to make any finite parameter overflow
        return [sum(jnp.sum(upcast(x)) for x in _as_stored(kinds, u, *p))]

    kinds, rows = _rows(moved, dtypes)
    numbers = [(x,) for x in jax.tree.leaves(state) if _is_number(x)]
    sums = map_rows(size, kinds, rows) + map_rows(
        lambda _, x: [jnp.sum(upcast(x))], [None] * len(numbers), numbers
    )
    return jnp.isfinite(sum_over_shards([row[0] for row in sums])) if sums else jnp.array(True)


def _examine(
    g: Any, value: Any, moved: tuple, states: tuple, dtypes: tuple
) -> tuple[jax.Array, jax.Array]:
    """Whether all is finite, and the number of the first leaf that is not.

    Leaves are counted with the holes, first those of the gradients, then those of the state; the
    loss comes last. What held an infinity before may hold one again, such as a best value so far.
    """

    def spoiled(kinds: tuple, g: jax.Array, u: jax.Array, *p: jax.Array) -> list:
        pairs = zip(_as_stored(kinds, u, *p), (g, *p), strict=True)
        return [_any(~jnp.isfinite(g)) + sum(_ceased(new, old) for new, old in pairs)]

    leaves, live = flatten(g)[0], [x for x in flatten(g)[0] if x is not None]
    kinds, rows = _rows(moved, dtypes)
    of_live = iter(map_rows(spoiled, kinds, [(x, *row) for x, row in zip(live, rows, strict=True)]))
    pairs = list(zip(*(flatten(state)[0] for state in states), strict=True))
    numbers = [pair for pair in pairs if _is_number(pair[0])]
    of_state = iter(
        map_rows(lambda _, new, old: [_ceased(new, old)], [None] * len(numbers), numbers)
    )
    bad = [jnp.zeros(()) if x is None else sum_over_shards(next(of_live)) for x in leaves]
    bad += [
        sum_over_shards(next(of_state)) if _is_number(new) else jnp.zeros(()) for new, _ in pairs
    ]
    flags = jnp.stack([*(x > 0 for x in bad), ~all_finite(value)])
    return ~flags.any(), jnp.where(flags.any(), jnp.argmax(flags).astype(jnp.int32), -1)


def _rows(moved: tuple, dtypes: tuple) -> tuple[list, list]:
    """For each leaf that has an update: the dtypes in which update and parameter are kept, and
    both; or one of each.
    """
    leaves, treedef = flatten(moved[0])
    columns = [flatten_like(treedef, tree) for tree in (*dtypes, *moved)]
    live = [[column[i] for column in columns] for i, x in enumerate(leaves) if x is not None]
    pair = lambda first, second: (first,) if second is None else (first, second)
    return [pair(g.dtype, None if p is None else p.dtype) for g, p, _, _ in live], [
        pair(u, p) for _, _, u, p in live
    ]


def _as_stored(kinds: tuple, u: jax.Array, *p: jax.Array) -> list[jax.Array]:
    """The update, and the parameter after it, each in the dtype that it is kept in."""
    return [x.astype(kind) for x, kind in zip((u, *(x + u for x in p)), kinds, strict=True)]


def _is_number(x: Any) -> bool:
    return x is not None and jnp.issubdtype(x.dtype, jnp.inexact)


def _ceased(new: jax.Array, old: jax.Array) -> jax.Array:
    """1 if some number is not finite any more."""
    return _any(jnp.isfinite(old) & ~jnp.isfinite(new))


def _any(flags: jax.Array) -> jax.Array:
    return jnp.any(flags).astype(jnp.float32)  # as a number, which can be summed over shards


def entries_with(slot: str, state: Any) -> list[dict]:
    """The entries of guards in a state that have a slot, however deep, the outermost first."""
    below, found = [state], []
    while below:
        nodes = [entries(node) for node in below]
        found += [node for node in nodes if {slot, "skipped_in_a_row"} <= node.keys()]
        below = [x for node in nodes for x in node.values()]
    return found
