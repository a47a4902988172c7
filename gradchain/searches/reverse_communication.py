"""Searches fed with evaluations that the caller makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.around import around
from gradchain.core.slots import counter, like_param
from gradchain.core.stage import Body, Stage
from gradchain.core.transformation import GradientTransformation, chain, transform
from gradchain.core.types import Numeric, Params, State, Updates
from gradchain.numerics.counting import increment
from gradchain.searches.search import (
    SETTLED,
    Search,
    as_value,
    cast_like,
    last_stage,
    where_tree,
    with_arguments_of,
)
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import all_finite

Inner: TypeAlias = Callable[..., tuple[Updates, State]]
"""The members before the search, as a function that updates them."""


def run_in_place_if(flag: jax.Array, f: Callable[[State], State], x: State) -> State:
    """Return ``f(x)`` where a traced bool holds, else ``x``.

    A loop changes arrays in place; ``lax.cond`` would copy them.
    """
    turn = lambda carry: (jnp.zeros_like(flag), cast_like(f(carry[1]), x))
    return lax.while_loop(lambda carry: carry[0], turn, (flag, x))[1]


@transform
def reverse_communication(tx: GradientTransformation) -> Body:
    """Let the caller evaluate the loss for a search.

    The chain ends in the search. There is one evaluation per update: each ``update`` is given the
    value and the gradient at the parameters as they are, and moves them to the point whose value is
    wanted next, be it a trial of a search or the first of the next one. So the loss can be
    anything, for example a program on another machine, and a training step has one evaluation and
    one only.

    Its slots: ``trial`` is the point wanted next; ``kept`` the best of this search with its
    ``value`` and ``grad``; ``base`` where it began; ``steps`` the number of searches that found a
    point, ``failed`` how many in a row did not.

    Args:
        tx: a chain whose last member is a line search or a trust region.

    Raises:
        ValueError: if it ends in another member, or in a search with a schedule.
        TypeError: if ``update`` is called without ``value=`` or ``params``.

    Example:
        >>> import jax
        >>> import gradchain as gc
        >>> tx = reverse_communication(gc.chain(gc.scale(-1.0), gc.strong_wolfe()))
        >>> loss, params = lambda p: jnp.sum(p**2), jnp.array([3.0, 2.0])
        >>> state = tx.init(params)
        >>> for _ in range(10):
        ...     value, grads = jax.value_and_grad(loss)(params)
        ...     params, state = tx.step(grads, state, params, value=value)
        >>> print(bool(loss(params) < 1e-10), state["reverse_communication"]["evals"])
        True 10
    """
    stage = _stage(tx)

    def rule(
        g: Updates, s: State, p: Params, inner: Inner, value: Numeric, **more: Any
    ) -> tuple[Updates, State]:
        search = stage.in_precision_of(s["value"].dtype)
        here = {"kept": p, "value": as_value(value, s["value"].dtype), "grad": g}
        here = cast_like(here, s)
        is_first = jnp.isinf(s["value"])
        is_finite = all_finite(here)
        is_trial = ~is_first & (s["over"] == 0)
        old = {k: s[k] for k in search.lasting | search.working}
        q, took, over = search.tell(old, here["value"], here["grad"])
        took = is_finite & (is_first | is_trial & took)
        told = s | where_tree(is_trial, cast_like(q, old), old)
        told |= where_tree(took, here, {k: s[k] for k in here})
        told |= {"found": jnp.where(is_trial & took, 1, s["found"])}

        stays = is_first & ~is_finite  # until there is a finite point to begin from
        goes_on = is_trial & ~over
        trial = map_leaves(jnp.add, s["base"], search.trial(q))
        failed = jnp.where(stays, increment(s["failed"]), s["failed"])
        told |= {"trial": where_tree(goes_on, trial, p), "failed": failed}
        begin = lambda s: _begin(search, s, is_first, inner, more)
        new = run_in_place_if(~(goes_on | stays), begin, cast_like(told, s))
        new = new | {"evals": increment(s["evals"])}
        return map_leaves(jnp.subtract, new["trial"], p), new

    trees = dict.fromkeys(["base", "kept", "trial"], like_param(copy=True))
    counts = dict.fromkeys(["steps", "found", "over"], counter)
    parts: dict[str, Any] = SETTLED | trees | counts | stage.body.lasting | stage.body.working
    before = chain(*list(tx.members.values())[:-1])
    return around(with_arguments_of(rule, stage.body.begin), inner=before, **parts)


def _stage(tx: GradientTransformation) -> Stage:
    """The search that a chain ends in."""
    stage = last_stage(tx)
    if stage is None or not isinstance(stage.body, Search):
        raise ValueError(
            f"reverse_communication: {tx!r} does not end in a search, such as"
            " strong_wolfe(): it needs no evaluations but that of the step, so use it"
            " as it is."
        )
    if stage.has_clock:
        raise ValueError(
            f"reverse_communication: {stage.call!r} has a schedule; a search in parts"
            " takes numbers only."
        )
    return stage


def _begin(
    search: Search, s: State, is_first: jax.Array, inner: Inner, more: dict[str, Any]
) -> State:
    """Begin at the best point of the last search."""
    found = s["found"] > 0
    here = {k: s[k] for k in ("value", "grad")}
    s = s | {
        "steps": jnp.where(found, increment(s["steps"]), s["steps"]),
        "failed": jnp.where(found | is_first, 0, increment(s["failed"])),
        "found": jnp.zeros_like(s["found"]),
    }
    direction, state = inner(s["grad"], s["inner"], s["kept"], **here)
    q, over, _ = search.begun(s, here, g=direction, p=s["kept"], **more)
    move = lambda p, u: jnp.where(over, p, p + u)
    trial = map_leaves(move, s["kept"], search.trial(q))
    own = {"over": over.astype(jnp.int32), "base": s["kept"]}
    return s | q | own | {"trial": trial, "inner": state}
