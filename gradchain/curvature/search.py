"""Stages that try points before they settle on one: line searches and trust regions.

A search is three functions on trees, which know nothing of who evaluates the loss:

- ``begin(g, s, p, value, grad) -> (q, done)``: from the update so far, what it remembers, and the value and gradient
  at ``p``, to the search, a dict of trees and scalars;
- ``trial(q)``: the update to try, relative to ``p``;
- ``tell(q, value, grad) -> (q, took, done)``: what is learnt from the value and gradient there; whether this trial
  takes the place of the best one so far; whether the search is over.

As a member of a chain it evaluates ``value_fn=`` itself. ``reverse_communication`` lets the caller do that.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.around import around
from gradchain.core import GradientTransformation, chain, transform
from gradchain.lift import GIVEN, PerTree
from gradchain.numerics import cast, increment
from gradchain.slots import Slot, counter, like_param, scalar
from gradchain.stages import Stage
from gradchain.trees import map_leaves

#: What each search remembers of the point that it settled on, and how it came there.
SETTLED = {"value": scalar, "grad": like_param, "evals": counter, "failed": counter}


class Search(PerTree):
    """A member of a chain that tries points; the last member of its chain.

    Attributes:
        begin: see ``gradchain.curvature.search``; it may name further extra arguments, ``model_fn`` say.
        trial: see there.
        tell: see there.
        working: the slots that hold the search ``q`` while it goes on, beside those of ``slots``, which stay.
        patience: after how many searches in a row that found nothing another one is hopeless.
    """

    def __init__(
        self, begin: Callable, trial: Callable, tell: Callable, working: dict[str, Slot], patience: int, **slots: Slot
    ):
        super().__init__("tree", asking_for(self.search, begin), None, SETTLED | slots)
        self.begin, self.trial, self.tell, self.patience = given_only(begin), trial, tell, patience
        self.lasting, self.working = slots, working

    def search(self, g: Any, s: dict, p: Any, value_fn: Callable, grad: Any, value: Any = None, **more: Any) -> Any:
        """Evaluate one trial after another; see ``treewise`` for the arguments."""
        real, evals = s["value"].dtype, s["evals"]
        if value is None:
            value, evals = value_fn(p), increment(evals)
        here = {"value": _number(value, real), "grad": map_leaves(lambda u, x: cast(x, u.dtype), g, grad)}
        q, over = self.begin(g=g, s=s, p=p, **here, value_fn=value_fn, **more)
        q = like({k: q[k] for k in self.lasting | self.working}, q)

        def go_on(carry: dict) -> dict:
            u = self.trial(carry["q"])
            there = {"u": u} | evaluate(value_fn, map_leaves(jnp.add, p, u), real)
            q, took, over = self.tell(carry["q"], there["value"], there["grad"])
            best = choose(took, like(there, carry["best"]), carry["best"])
            marks = {"found": carry["found"] | took, "over": over, "evals": increment(carry["evals"])}
            return marks | {"q": like(q, carry["q"]), "best": best}

        best = like(here | {"u": map_leaves(jnp.zeros_like, g)}, here)
        carry = {"q": q, "over": over, "best": best, "found": jnp.array(False), "evals": evals}
        end = lax.while_loop(lambda carry: ~carry["over"], go_on, carry)
        failed = jnp.where(end["found"], 0, increment(s["failed"]))
        settled = {"value": end["best"]["value"], "grad": end["best"]["grad"], "evals": end["evals"], "failed": failed}
        return end["best"]["u"], settled | {k: end["q"][k] for k in self.lasting}


def asking_for(rule: Callable, also: Callable) -> Callable:
    """``rule``, whose last argument is ``**more``, as a rule that names what ``also`` asks for beside its own."""
    own = {k: p for k, p in inspect.signature(rule).parameters.items() if p.kind is not p.VAR_KEYWORD}
    more = {k: p for k, p in inspect.signature(also).parameters.items() if k not in own.keys() | GIVEN | {"grad"}}
    call = lambda **given: rule(**given)
    by_name = [p.replace(kind=p.KEYWORD_ONLY) for p in (own | more).values()]
    call.__signature__ = inspect.Signature(by_name)  # pyright: ignore[reportFunctionMemberAccess]
    return call


def given_only(function: Callable) -> Callable:
    """``function``, given what it names and nothing else."""
    names = inspect.signature(function).parameters.keys()
    return functools.wraps(function)(lambda **given: function(**{k: v for k, v in given.items() if k in names}))


def like(new: dict, old: dict) -> dict:
    """Arrays in the dtypes that they have in ``old``, and not weakly so; what is not there as it is."""
    strong = lambda x, dtype: lax.convert_element_type(x, dtype)
    known = {k: jax.tree.map(lambda x, o: strong(x, o.dtype), new[k], old[k]) for k in new.keys() & old.keys()}
    others = {k: jax.tree.map(lambda x: strong(x, x.dtype), new[k]) for k in new.keys() - old.keys()}
    return known | others


def choose(flag: Any, new: Any, old: Any) -> Any:
    """The tree ``new`` where a traced bool holds, else ``old``."""
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)


def _number(x: Any, dtype: Any) -> jax.Array:
    return lax.convert_element_type(x, dtype)


def evaluate(value_fn: Callable, params: Any, dtype: Any) -> dict[str, Any]:
    """The ``value`` at ``params``, in a dtype, and the direction uphill, ``grad``."""
    value, grad = jax.value_and_grad(lambda p: _number(value_fn(p), dtype))(params)
    return {"value": value, "grad": map_leaves(jnp.conj, grad)}


def last_search(tx: GradientTransformation) -> Search | None:
    """The search that a chain ends in; ``None`` if it ends in something else."""
    if not tx.stages:
        return None
    name, call = list(tx.stages.items())[-1]
    body = Stage(name, call, jnp.zeros((), jnp.int32)).body
    return body if isinstance(body, Search) else None


@transform
def reverse_communication(tx: GradientTransformation) -> Any:
    """Let the caller evaluate the loss for a chain that ends in a search: one evaluation per update.

    Each ``update`` is given the value and the gradient at the parameters as they are, and moves them to the point whose
    value is wanted next, be it a trial of a search or the first of the next one. So the loss can be anything, a program
    on another machine say, and a training step has one evaluation and one only.

    Its slots: ``trial`` is the point wanted next; ``kept`` the best of this search with its ``value`` and ``grad``;
    ``base`` where it began; ``steps`` the number of searches that found a point, ``failed`` how many in a row did not.

    Args:
        tx: a chain whose last member is a line search or a trust region.

    Raises:
        ValueError: if it ends in another member.
        TypeError: if ``update`` is called without ``value=`` or ``params``.

    Example:
        >>> import gradchain as gc
        >>> tx, params = reverse_communication(gc.chain(gc.scale(-1.0), gc.strong_wolfe())), jnp.array([3.0, 2.0])
        >>> loss, state = lambda p: jnp.sum(p**2), tx.init(params)
        >>> for _ in range(10):
        ...     value, grads = jax.value_and_grad(loss)(params)
        ...     params, state = tx.step(grads, state, params, value=value)
        >>> print(bool(loss(params) < 1e-10), state["reverse_communication"]["evals"])
        True 10
    """
    search = last_search(tx)
    if search is None:
        raise ValueError(
            f"reverse_communication: {tx!r} does not end in a search, such as strong_wolfe(): it needs no evaluations"
            " but that of the step, so use it as it is."
        )
    kept = ("kept", "value", "grad")

    def begin(s: dict, p: Any, inner: Callable, more: dict) -> dict:
        """The next search, from the best point of the last one."""
        at, found = {k: s[k] for k in kept}, s["found"] > 0
        value, grad = at["value"], at["grad"]
        direction, state = inner(grad, s["inner"], at["kept"], value=value, grad=grad)
        q, over = search.begin(g=direction, s=s, p=at["kept"], value=value, grad=grad, **more)
        trial = map_leaves(jnp.add, at["kept"], search.trial(q))
        marks = {
            "over": over.astype(jnp.int32),
            "found": jnp.zeros_like(s["found"]),
            "steps": jnp.where(found, increment(s["steps"]), s["steps"]),
            "failed": jnp.where(found | (s["evals"] == 0), 0, increment(s["failed"])),
        }
        return like(s | marks | q | {"base": at["kept"], "trial": trial, "inner": state}, s)

    def rule(g: Any, s: dict, p: Any, inner: Callable, value: Any, **more: Any) -> tuple[Any, dict]:
        is_first, here = s["evals"] == 0, {"kept": p, "value": value, "grad": g}
        q, took, over = search.tell({k: s[k] for k in search.lasting | search.working}, _number(value, real(s)), g)
        took = took & ~is_first & (s["over"] == 0)
        told = like(s | q, s) | choose(took | is_first, like(here, s), {k: s[k] for k in kept})
        told = choose(is_first, s, told) | {k: told[k] for k in kept} | {"found": jnp.where(took, 1, s["found"])}
        go_on = lambda: told | like({"trial": map_leaves(jnp.add, s["base"], search.trial(q))}, s)
        new = lax.cond(is_first | over | (s["over"] > 0), lambda: begin(told, p, inner, more), go_on)
        return map_leaves(jnp.subtract, new["trial"], p), new | {"evals": increment(s["evals"])}

    real = lambda s: s["value"].dtype
    trees = dict.fromkeys(["base", "kept", "trial"], like_param(copy=True))
    counts = dict.fromkeys(["steps", "found", "over"], counter)
    parts: dict[str, Any] = SETTLED | trees | counts | search.lasting | search.working
    return around(asking_for(rule, search.begin), inner=chain(*list(tx.stages.values())[:-1]), **parts)
