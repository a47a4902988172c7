"""Guards: a step that would let anything non-finite in is not made, but counted."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.around import Around, run_if
from gradchain.core import GradientTransformation, transform
from gradchain.leaves import map_rows
from gradchain.numerics import compute_dtype, increment
from gradchain.paths import flatten, flatten_like, named_leaves
from gradchain.slots import Slot, counter
from gradchain.stages import Stage
from gradchain.trees import all_finite, map_leaves, sum_over_shards


@transform
def skip_nonfinite(inner: GradientTransformation, locate: bool = False) -> Any:
    """Leave out each step that has anything non-finite in it, and count it.

    If a gradient, or ``value``, is not finite, the update is zero, and the state of ``inner`` stays as it is, its clock
    included. So it does where the gradient is finite but the step is not: where a number of the update, of the state,
    or of the parameters after it would cease to be finite, as when the square of a gradient overflows.

    It never gives up by itself. To stop a run that is beyond hope, look at the slot ``skipped_in_a_row``; the slot
    ``skipped`` counts all steps left out so far.

    Args:
        inner: the transformation, most often a whole optimizer: what comes after it is not guarded.
        locate: whether to remember where the first bad leaf was; ``bad_leaf`` gives its path.

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
        u, new, fault = guarded_step(inner, g, s["inner"], p, dtypes, value)
        own = count_skipped(s, fault)
        if locate:
            own["bad_leaf"] = lax.cond(fault.none, lambda: s["bad_leaf"], fault.first)
        return u, {**own, "inner": new}

    return Guard(rule, inner, **{"bad_leaf": counter(fill=-1)} if locate else {})


def bad_leaf(state: Any, params: Any) -> str | None:
    """Where the step that ``skip_nonfinite(..., locate=True)`` left out last was bad first; ``None`` if none was.

    It is the path of a parameter, the first whose gradient was not finite; if all were, the first that would have been
    so itself, or whose update would. Else it is the place in the inner state that would have been, such as
    ``scale_by_adam/nu/layers_3/kernel``, or ``value`` if all else was well.

    Args:
        state: what ``init`` or ``update`` returned, outside ``jit``.
        params: the parameters.

    Raises:
        ValueError: if nothing in the state remembers it.

    Example:
        >>> import gradchain as gc
        >>> params = {"bias": jnp.ones(1), "kernel": jnp.ones(2)}
        >>> tx = skip_nonfinite(gc.adam(0.1), locate=True)
        >>> updates, state = tx.update({"bias": jnp.ones(1), "kernel": jnp.full(2, jnp.inf)}, tx.init(params), params)
        >>> bad_leaf(state, params)
        'kernel'
    """
    found = entries_with("bad_leaf", state)
    if not found:
        raise ValueError("bad_leaf: nothing in this state remembers it; make it with skip_nonfinite(tx, locate=True).")
    for entry in found:
        places = [*named_leaves(params), *named_leaves(entry.get("inner", {})), ("value", None)]
        if entry["bad_leaf"] >= 0:
            return places[int(entry["bad_leaf"])][0]
    return None


# ------------------------------------------------------------------------------------------------- what guards share


class Guard(Around):
    """A rule around one transformation that counts the steps it leaves out.

    The rule is given as ``dtypes`` the trees of the gradients and of the parameters as they came, before they were
    cast up: what is finite in float32 may not be so in float16.
    """

    def __init__(self, rule: Any, inner: GradientTransformation, **slots: Slot):
        counts = {"skipped": counter, "skipped_in_a_row": counter}
        super().__init__(rule, "tree", {"inner": inner}, counts | slots)
        self.extras, self.required = self.extras - {"dtypes"}, self.required - {"dtypes"}

    @classmethod
    def run(cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict) -> tuple[Any, list]:
        """See ``Body``."""
        return super().run(stages, updates, states, params, extra | {"dtypes": (updates, params)})

    def call(self, stage: Stage, dtype: jnp.dtype, extra: dict, **given: Any) -> tuple[Any, dict]:
        """See ``Lift``."""
        others = {k: v for k, v in extra.items() if k != "dtypes"}
        return super().call(stage, dtype, others, dtypes=extra["dtypes"], **given)


def guarded_step(
    inner: Any, g: Any, state: Any, p: Any, dtypes: tuple, value: Any = None, allowed: Any = True
) -> tuple[Any, Any, Fault]:
    """One step of ``inner``, or none at all if anything in it is not finite.

    Args:
        inner: the transformation, as a rule is given it.
        g: the gradients.
        state: the state of ``inner``.
        p: the parameters, or ``None``.
        dtypes: what a ``Guard`` gives its rule.
        value: the loss that was passed to ``update``, or ``None``.
        allowed: a traced bool: whether the step may be made at all.

    Returns:
        The update, the new state of ``inner``, and what was wrong.
    """
    sound = all_finite((g, value))
    starts = sound & allowed
    # Only what is finite reaches ``inner``; its result is looked at before anything takes it in.
    u, new = run_if(starts, lambda: inner(g, state, p), g, state)
    fault = Fault(starts, (g, value), _as_stored(u, g, p, dtypes), (new, state))
    keep = lambda new, old: jnp.where(fault.none, new, old)
    return map_leaves(lambda u: keep(u, jnp.zeros_like(u)), u), jax.tree.map(keep, new, state), fault


def count_skipped(s: dict, fault: Fault) -> dict[str, jax.Array]:
    """The slots ``skipped`` and ``skipped_in_a_row`` after a step."""
    return {
        "skipped": jnp.where(fault.none, s["skipped"], increment(s["skipped"])),
        "skipped_in_a_row": jnp.where(fault.none, 0, increment(s["skipped_in_a_row"])),
    }


class Fault:
    """What was wrong with a step.

    Attributes:
        none: whether nothing was.
    """

    def __init__(self, starts: Any, given: tuple, stored: list, states: tuple):
        self.starts, self.given, self.stored, self.states = starts, given, stored, states
        pairs = [pair for row in stored if row for pair in row]
        pairs += [pair for pair in zip(*map(jax.tree.leaves, states), strict=True) if _is_number(pair[0])]
        self.none = starts & _stays_finite(pairs)

    def first(self) -> jax.Array:
        """The number of the first bad leaf: of the gradients, holes counted, then of the state, then the value."""
        g, value = self.given
        of_params = [
            jnp.array(False) if x is None else ~(all_finite(x) & _stays_finite(pairs))
            for x, pairs in zip(flatten(g)[0], self.stored, strict=True)
        ]
        of_state = [
            ~_stays_finite([(new, old)]) if _is_number(new) else jnp.array(False)
            for new, old in zip(*(flatten(state)[0] for state in self.states), strict=True)
        ]
        flags = jnp.stack([*of_params, *of_state, ~all_finite(value)])
        return jnp.where(flags.any(), jnp.argmax(flags).astype(jnp.int32), -1)


def _is_number(x: Any) -> bool:
    return x is not None and jnp.issubdtype(x.dtype, jnp.inexact)


def _as_stored(u: Any, g: Any, p: Any, dtypes: tuple) -> list[list[tuple]]:
    """For each leaf pairs of what it becomes, in the dtype that it is kept in, and what it was: update, parameter."""
    leaves, treedef = flatten(u)
    (g, p), (g_kept, p_kept) = ([flatten_like(treedef, tree) for tree in pair] for pair in ((g, p), dtypes))
    pairs: list[list[tuple]] = [[] for _ in leaves]
    for i, x in enumerate(leaves):
        if x is not None:
            pairs[i] = [(x.astype(g_kept[i].dtype), g[i])]
            pairs[i] += [] if p[i] is None else [((p[i] + x).astype(p_kept[i].dtype), p[i])]
    return pairs


def _stays_finite(pairs: list[tuple]) -> jax.Array:
    """Whether no number of the first of each pair is not finite where that of the second is.

    What held an infinity before may hold one again. If a sum of all numbers is finite they all are, and a sum is what
    costs least; only where it is not is each of them looked at.
    """
    if not pairs:
        return jnp.array(True)
    kinds = [None] * len(pairs)
    wide = lambda x: x.astype(compute_dtype(x.dtype))
    total = lambda _, new, old: [jnp.sum(wide(new))]
    spoiled = lambda _, new, old: [jnp.max(jnp.isfinite(old) & ~jnp.isfinite(new), initial=False).astype(jnp.float32)]
    sum_of = lambda count: sum_over_shards([row[0] for row in map_rows(count, kinds, pairs)])
    return lax.cond(jnp.isfinite(sum_of(total)), lambda: jnp.array(True), lambda: sum_of(spoiled) == 0)


def entries_with(slot: str, state: Any) -> list[dict]:
    """The entries of guards in a state that have a slot, however deep, the outermost first."""
    below: list[Any] = [state]
    found = []
    while below:
        nodes = [node for node in below if isinstance(node, dict | tuple | list)]
        entries = [node for node in nodes if isinstance(node, dict)]
        found += [entry for entry in entries if {slot, "skipped_in_a_row"} <= entry.keys()]
        below = [x for node in nodes for x in (node.values() if isinstance(node, dict) else node)]
    return found
