"""Stages that try points before they settle on one: line searches and trust regions.

A search is three functions on trees, which know nothing of who evaluates the loss:

- ``begin(g, s, p, value, grad) -> (q, over)``: from the update so far, what it remembers, and the
  value and gradient at ``p``, to the search, a dict of trees and scalars;
- ``trial(q)``: the update to try, relative to ``p``;
- ``tell(q, value, grad) -> (q, took, over)``: what is learnt from the value and gradient there;
  whether this trial takes the place of the best one so far; whether the search is over.

As a member of a chain it evaluates ``value_fn=`` itself. ``reverse_communication`` lets the caller
do that, and ``value_and_grad_from_state`` lets the caller have what it has evaluated. Trials are in
float32 at least: parameters of less precision are rounded when the search is over.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.lift import GIVEN, PerTree
from gradchain.core.slots import Slot, counter, like_param, scalar
from gradchain.core.stage import Stage
from gradchain.core.transformation import GradientTransformation
from gradchain.numerics.arithmetic import cast, increment
from gradchain.tree.mapping import map_leaves
from gradchain.tree.reductions import all_finite

#: What each search remembers: the value, infinite before the first one, and the gradient at the
#: point that it settled on; how often it has evaluated them; how many searches in a row found
#: nothing.
SETTLED = {"value": scalar(fill=jnp.inf), "grad": like_param, "evals": counter, "failed": counter}


class Search(PerTree):
    """A member of a chain that tries points; the last member of its chain.

    Attributes:
        begin: see ``gradchain.curvature.search``; it may name further extra arguments, ``model_fn``
            say.
        trial: see there.
        tell: see there.
        working: the slots that hold the search ``q`` while it goes on, beside those of ``slots``,
            which stay.
        patience: after how many searches in a row that found nothing another one is hopeless.
    """

    def __init__(
        self,
        begin: Callable,
        trial: Callable,
        tell: Callable,
        working: dict[str, Slot],
        patience: int,
        **slots: Slot,
    ):
        super().__init__("tree", with_arguments_of(self.search, begin), None, SETTLED | slots)
        self.begin, self.trial, self.tell, self.patience = (
            ignoring_others(begin),
            trial,
            tell,
            patience,
        )
        self.lasting, self.working = slots, working

    def search(
        self, g: Any, s: dict, p: Any, value_fn: Callable, grad: Any, value: Any = None, **more: Any
    ) -> Any:
        """Evaluate one trial after another; see ``treewise`` for the arguments."""
        real, evals = s["value"].dtype, s["evals"]
        if value is None:
            value, evals = value_fn(p), increment(evals)
        here = {
            "value": as_value(value, real),
            "grad": map_leaves(lambda u, x: cast(x, u.dtype), g, grad),
        }
        q, over, is_usable = self.begun(s, here, g=g, p=p, value_fn=value_fn, **more)

        def go_on(carry: dict) -> dict:
            u = self.trial(carry["q"])
            there = {"u": u} | evaluate(value_fn, map_leaves(jnp.add, p, u), real)
            q, took, over = self.tell(carry["q"], there["value"], there["grad"])
            best = where_tree(took, cast_like(there, carry["best"]), carry["best"])
            marks = {
                "found": carry["found"] | took,
                "over": over,
                "evals": increment(carry["evals"]),
            }
            return marks | {"q": cast_like(q, carry["q"]), "best": best}

        best = cast_like(here | {"u": map_leaves(jnp.zeros_like, g)}, here)
        carry = {"q": q, "over": over, "best": best, "found": jnp.array(False), "evals": evals}
        end = lax.while_loop(lambda carry: ~carry["over"], go_on, carry)
        settled = where_tree(
            is_usable, cast_like({k: end["best"][k] for k in here}, s), {k: s[k] for k in here}
        )
        failed = jnp.where(end["found"], 0, increment(s["failed"]))
        lasting = {k: end["q"][k] for k in self.lasting}
        return end["best"]["u"], settled | lasting | {"evals": end["evals"], "failed": failed}

    def begun(self, s: dict, here: dict, **given: Any) -> tuple[dict, Any, Any]:
        """A search from ``here``, whether it is over at once, and whether all that it begins with
        is finite.

        What is not finite ends it and does not enter ``s``.
        """
        q, over = self.begin(s=s, **here, **given)
        q = cast_like({k: q[k] for k in self.lasting | self.working}, s | q)
        old = {k: s[k] if k in s else jax.tree.map(jnp.zeros_like, x) for k, x in q.items()}
        is_usable = all_finite(here | q)
        return where_tree(is_usable, q, old), over | ~is_usable, is_usable


def with_arguments_of(rule: Callable, also: Callable) -> Callable:
    """``rule``, whose last argument is ``**more``, as a rule that names what ``also`` asks for
    beside its own.
    """
    own = {
        k: p for k, p in inspect.signature(rule).parameters.items() if p.kind is not p.VAR_KEYWORD
    }
    more = {
        k: p
        for k, p in inspect.signature(also).parameters.items()
        if k not in own.keys() | GIVEN | {"grad"}
    }
    call = lambda **given: rule(**given)
    by_name = [p.replace(kind=p.KEYWORD_ONLY) for p in (own | more).values()]
    call.__signature__ = inspect.Signature(by_name)  # pyright: ignore[reportFunctionMemberAccess]
    return call


def ignoring_others(function: Callable) -> Callable:
    """``function``, given what it names and nothing else."""
    names = inspect.signature(function).parameters.keys()
    return functools.wraps(function)(
        lambda **given: function(**{k: v for k, v in given.items() if k in names})
    )


def cast_like(new: dict, old: dict) -> dict:
    """Arrays in the dtypes that they have in ``old``, and not weakly so; what is not there as it
    is.
    """
    strong = lambda x, dtype: lax.convert_element_type(x, dtype)
    known = {
        k: jax.tree.map(lambda x, o: strong(x, o.dtype), new[k], old[k])
        for k in new.keys() & old.keys()
    }
    others = {
        k: jax.tree.map(lambda x: strong(x, x.dtype), new[k]) for k in new.keys() - old.keys()
    }
    return known | others


def where_tree(flag: Any, new: Any, old: Any) -> Any:
    """The tree ``new`` where a traced bool holds, else ``old``."""
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)


def as_value(x: Any, dtype: Any) -> jax.Array:
    """What a loss returned, one number, in a dtype."""
    shapes = [jnp.shape(x) for x in jax.tree.leaves(x)]
    if shapes != [()]:
        raise TypeError(
            f"update: value= and value_fn are one number, the loss, but here of shape {shapes}."
        )
    return lax.convert_element_type(x, dtype)


def evaluate(value_fn: Callable, params: Any, dtype: Any) -> dict[str, Any]:
    """The ``value`` at ``params``, in a dtype, and the direction uphill, ``grad``."""
    value, grad = jax.value_and_grad(lambda p: as_value(value_fn(p), dtype))(params)
    return {"value": value, "grad": map_leaves(jnp.conj, grad)}


def last_search(tx: GradientTransformation) -> Search | None:
    """The search that a chain ends in; ``None`` if it ends in something else."""
    stage = last_stage(tx)
    return stage.body if stage is not None and isinstance(stage.body, Search) else None


def last_stage(tx: GradientTransformation) -> Stage | None:
    """The last member of a chain at its first step; ``None`` if there is none."""
    members = list(tx.members.items())
    return Stage(*members[-1], jnp.zeros((), jnp.int32)) if members else None
