"""Skip steps with NaN or infinity, and count them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.around import Around, run_if
from gradchain.core.entries import entries, unboxed
from gradchain.core.slots import Slot, counter
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair, Params, State, Tree, Updates
from gradchain.core.walk import without_observations
from gradchain.numerics.arithmetic import abs2
from gradchain.numerics.branches import cond
from gradchain.numerics.counting import increment
from gradchain.numerics.reductions import everywhere, together
from gradchain.tree.mapping import map_leaves, map_rows, upcast
from gradchain.tree.norms import all_finite, sum_over_shards
from gradchain.tree.paths import flatten, flatten_like, named_leaves

Kinds: TypeAlias = tuple[jnp.dtype, ...]
"""The dtypes in which the update of a leaf and its parameter, if it is given, are kept."""

Moved: TypeAlias = tuple[Updates, Params | None]
"""Updates and parameters, or gradients and parameters as they came."""


@transform
def skip_nonfinite(inner: GradientTransformation | Pair) -> Body:
    """Skip each step that is not finite, and count it.

    If a gradient, or ``value``, is not finite, the update is zero, and the state of ``inner`` stays
    as it is, its clock included. The same holds where the gradient is finite but the step is
    not: where a number of the update, of the state, or of the parameters after it would cease to be
    finite, as when the square of a gradient overflows.

    It never gives up by itself. To stop a run that is beyond hope, look at the slot
    ``skipped_in_a_row``; the slot ``skipped`` counts all steps skipped so far, and ``bad_leaf``
    finds the place where the last of them was not finite. An ``accumulate`` around it leaves out
    what is not finite before it gets here, and counts it as ``dropped_in_a_row``.

    Args:
        inner: the transformation, most often a whole optimizer: members after it are not guarded.

    Example:
        >>> import gradchain as gc
        >>> tx, params = skip_nonfinite(gc.sgd(1.0)), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for gradient in (-1.0, jnp.nan, -1.0):
        ...     params, state = tx.step(jnp.array([gradient]), state, params)
        >>> print(params, state["skip_nonfinite"]["skipped"])
        [2.] 1
    """
    guarded = inner  # the rule calls by this name what runs it

    def rule(g, s, inner, dtypes, p=None, value=None):
        u, new, _ = guarded_step(guarded, inner, g, s, p, dtypes, value)
        return u, new

    return Guard(rule, inner)


def bad_leaf(state: Tree, params: Params) -> str | None:
    """The first non-finite leaf of the last skipped step.

    It is the path of the first parameter whose gradient was not finite; if all gradients were
    finite, the path of the first that would not have been finite itself, or whose update would not.
    Else it is a place in the inner state, such as ``scale_by_adam/nu/layers_3/kernel``, or
    ``value`` if all else was finite. If no step was skipped it is ``None``. A micro-batch that
    ``accumulate`` dropped is a skipped step too.

    Args:
        state: the state that ``init`` or ``update`` returned, outside ``jit``. Of several guards
            the outermost one that skips now answers, else the outermost one that found something.
        params: the parameters.

    Raises:
        ValueError: if there is no guard, and no ``accumulate``, in the state.

    Example:
        >>> import gradchain as gc
        >>> params = {"bias": jnp.ones(1), "kernel": jnp.ones(2)}
        >>> tx = skip_nonfinite(gc.adam(0.1))
        >>> grads = {"bias": jnp.ones(1), "kernel": jnp.full(2, jnp.inf)}
        >>> updates, state = tx.update(grads, tx.init(params), params)
        >>> bad_leaf(state, params)
        'kernel'
    """
    found = entries_with("bad_leaf", state)
    if not found:
        raise ValueError(
            "bad_leaf: there is no guard in this state; put one around the optimizer:"
            " skip_nonfinite(tx)."
        )
    of_params = named_leaves(params)
    for entry in sorted(found, key=_is_at_rest):
        places = [*of_params, *named_leaves(entry.get("inner", {})), ("value", None)]
        number = int(unboxed(entry["bad_leaf"]))
        if number >= 0:
            return places[min(number, len(places) - 1)][0]
    return None


def _is_at_rest(entry: State) -> bool:
    """Whether the last step of a guard was made."""
    return not any(unboxed(entry[slot]) for slot in _IN_A_ROW & entry.keys())


# ------------------------------------------------------------------------- the parts of all guards

#: The loss, for whoever does not count the leaves before it.
LOSS = np.iinfo(np.int32).max

_IN_A_ROW = {"skipped_in_a_row", "dropped_in_a_row"}


class Guard(Around):
    """A rule around one transformation that makes a ``guarded_step``.

    It names ``dtypes``: a number that is finite in float32 may overflow in the dtype that it is
    kept in.
    """

    def __init__(
        self,
        rule: Callable[..., tuple[Updates, State]],
        inner: GradientTransformation,
        **slots: Slot,
    ):
        counts = {"skipped": counter, "skipped_in_a_row": counter}
        counts |= {"bad_leaf": counter(fill=-1)} | slots
        super().__init__(rule, "tree", {"inner": inner}, counts)


def guarded_step(
    tx: GradientTransformation,
    inner: Callable[..., tuple[Updates, State]],
    g: Updates,
    s: State,
    p: Params | None,
    dtypes: Moved,
    value: Numeric | None = None,
    allowed: jax.Array | bool = True,
) -> tuple[Updates, State, jax.Array]:
    """Make one step of ``inner`` only if all is finite.

    Args:
        tx: the transformation.
        inner: the same, as a rule is given it.
        g: the gradients.
        s: the slots of the ``Guard``, and the state of ``inner``.
        p: the parameters, or ``None``.
        dtypes: gradients and parameters as they came, as a rule is given them.
        value: the loss that was passed to ``update``, or ``None``.
        allowed: a traced bool: whether the step may be made at all.

    Returns:
        The update, the new slots, those of the caller's own aside, and whether the step was made.
    """
    # Only finite gradients reach ``inner``, and its result is tested before anything uses it.
    axes = tx.facts.meets_along  # a replica that skips alone would leave others waiting for it
    with together(axes):
        starts = all_finite((g, value)) & everywhere(jnp.asarray(allowed))
    u, new = run_if(starts, lambda: inner(g, s["inner"], p), g, s["inner"])
    is_well = lambda: (jnp.array(True), jnp.array(-1, jnp.int32))
    # What an observer shows may overflow where nothing else does: a norm, for example.
    states = without_observations(tx, new), without_observations(tx, s["inner"])
    look_closer = lambda: _examine(g, value, (u, p), states, dtypes)
    with together(axes):
        passes = starts & _is_surely_finite((u, p), states[0], dtypes)
        sound, first = cond(passes, is_well, look_closer)
    made = starts & sound
    keep = lambda new, old: jnp.where(made, new, old)
    made_or_zero = map_leaves(lambda u: keep(u, jnp.zeros_like(u)), u)
    slots = {
        "skipped": keep(s["skipped"], increment(s["skipped"])),
        "skipped_in_a_row": keep(0, increment(s["skipped_in_a_row"])),
        "bad_leaf": jnp.where(first < 0, s["bad_leaf"], first),
        "inner": jax.tree.map(keep, new, s["inner"]),
    }
    return made_or_zero, slots, made


def _is_surely_finite(moved: Moved, state: State, dtypes: Moved) -> jax.Array:
    """A cheap test whether all numbers are finite.

    A sum that is finite has only finite numbers in it; sums of large numbers may fail the test.
    """

    def size(kinds, u, *p):
        if all(float(jnp.finfo(kind).max) > 1e38 for kind in kinds):
            # If this is finite, u is too small to make any finite parameter overflow.
            return [jnp.sum(abs2(u))]
        return [sum(jnp.sum(upcast(x)) for x in _as_stored(kinds, u, *p))]

    kinds, rows = _rows(moved, dtypes)
    numbers = [(x,) for x in jax.tree.leaves(state) if _is_number(x)]
    add_up = lambda _, x: [jnp.sum(upcast(x))]
    sums = map_rows(size, kinds, rows)
    sums += map_rows(add_up, [None] * len(numbers), numbers)
    if not sums:
        return jnp.array(True)
    return jnp.isfinite(sum_over_shards([row[0] for row in sums]))


def _examine(
    g: Updates,
    value: Numeric | None,
    moved: Moved,
    states: tuple[State, State],
    dtypes: Moved,
) -> tuple[jax.Array, jax.Array]:
    """Whether all is finite, else the first bad leaf.

    The leaf is given by its number. Leaves are counted with the holes, first those of the
    gradients, then those of the state; the loss comes last. A slot that held an infinity before may
    hold one again, such as a best value so far.
    """

    def spoiled(kinds, g, u, *p):
        pairs = zip(_as_stored(kinds, u, *p), (g, *p), strict=True)
        return [_any(~jnp.isfinite(g)) + sum(_ceased(new, old) for new, old in pairs)]

    leaves, _ = flatten(g)
    live = [x for x in leaves if x is not None]
    kinds, rows = _rows(moved, dtypes)
    rows = [(x, *row) for x, row in zip(live, rows, strict=True)]
    of_live = iter(map_rows(spoiled, kinds, rows))
    pairs = list(zip(*(flatten(state)[0] for state in states), strict=True))
    numbers = [pair for pair in pairs if _is_number(pair[0])]
    compare = lambda _, new, old: [_ceased(new, old)]
    of_state = iter(map_rows(compare, [None] * len(numbers), numbers))
    count = lambda found: sum_over_shards(next(found))
    none = jnp.zeros(())
    bad = [none if x is None else count(of_live) for x in leaves]
    bad += [count(of_state) if _is_number(new) else none for new, _ in pairs]
    flags = jnp.stack([*(x > 0 for x in bad), ~all_finite(value)])
    first = jnp.argmax(flags).astype(jnp.int32)
    return ~flags.any(), jnp.where(flags.any(), first, -1)


def _rows(
    moved: Moved,
    dtypes: Moved,
) -> tuple[list[Kinds], list[tuple[jax.Array, ...]]]:
    """Update and parameter of each leaf, and their dtypes.

    The dtypes are those in which they are kept. Leaves without an update are left out; without a
    parameter there is one of each.
    """
    updates, params = moved
    leaves, treedef = flatten(updates)
    trees = (params, *dtypes)
    columns = [flatten_like(treedef, tree) for tree in trees]
    kinds, rows = [], []
    for u, p, old_g, old_p in zip(leaves, *columns, strict=True):
        if u is None:
            continue
        kinds.append((old_g.dtype,) if old_p is None else (old_g.dtype, old_p.dtype))
        rows.append((u,) if p is None else (u, p))
    return kinds, rows


def _as_stored(kinds: Kinds, u: jax.Array, *p: jax.Array) -> list[jax.Array]:
    """Update and next parameter in the dtypes of ``kinds``."""
    moved = (u, *(x + u for x in p))
    return [x.astype(kind) for x, kind in zip(moved, kinds, strict=True)]


def _is_number(x: Any) -> bool:
    return x is not None and jnp.issubdtype(x.dtype, jnp.inexact)


def _ceased(new: jax.Array, old: jax.Array) -> jax.Array:
    """1 if a finite number became non-finite, else 0."""
    return _any(jnp.isfinite(old) & ~jnp.isfinite(new))


def _any(flags: jax.Array) -> jax.Array:
    return jnp.any(flags).astype(jnp.float32)  # a number can be summed over shards


def entries_with(slot: str, state: Tree) -> list[State]:
    """The entries of guards with a slot, outermost first.

    That of an ``accumulate``, which drops what is not finite, is one.
    """
    below, found = [state], []
    while below:
        nodes = [entries(node) for node in below]
        found += [node for node in nodes if slot in node and _IN_A_ROW & node.keys()]
        below = [x for node in nodes for x in node.values()]
    return found
