"""Members that try points: line searches and trust regions.

A search is three functions on trees, which know nothing of who evaluates the loss:

- ``begin(g, s, p, value, grad) -> (q, over)``: from the update so far, what it remembers, and the
  value and gradient at ``p``, to the search, a dict of trees and scalars;
- ``trial(q)``: the update to try, relative to ``p``;
- ``tell(q, value, grad) -> (q, took, over)``: from the value and gradient there to the search that
  has learnt of them; whether this trial takes the place of the best one so far; whether the search
  is over.

As a member of a chain it evaluates ``value_fn=`` itself. ``reverse_communication`` lets the caller
do that, and ``value_and_grad_from_state`` gives the caller the value and gradient that the search
has computed. Trials are in float32 at least: parameters of less precision are rounded when the
search is over.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.lift import GIVEN
from gradchain.core.slots import Slot, counter, like_param, scalar
from gradchain.core.stage import Stage
from gradchain.core.transformation import GradientTransformation
from gradchain.core.trees import PerTree
from gradchain.core.types import Dtype, Numeric, Params, State, Tree, Updates
from gradchain.numerics.arithmetic import cast
from gradchain.numerics.branches import while_loop
from gradchain.numerics.counting import increment
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import all_finite

#: The slots of each search: the value, infinite before the first one, and the gradient at the
#: point that it settled on; how often it has evaluated them; how many searches in a row found
#: nothing.
SETTLED = {
    "value": scalar(fill=jnp.inf),
    "grad": like_param,
    "evals": counter,
    "failed": counter,
}

Working: TypeAlias = dict[str, Any]
"""A search while it goes on: trees and scalars by name."""

Told: TypeAlias = tuple[Working, jax.Array, jax.Array]
"""A search, whether its last trial is the best so far, and whether it is over."""

ValueFn: TypeAlias = Callable[[Params], jax.Array]
"""A loss."""

R = TypeVar("R")
T = TypeVar("T")


class Search(PerTree):
    """A member that tries points; the last of its chain.

    Attributes:
        begin: see the module; it may name further extra arguments, for example ``model_fn``.
        trial: see there.
        tell: see there.
        working: the slots that hold the search ``q`` while it goes on, beside those of ``slots``,
            which stay. ``is_whole`` among them says whether the trial is all that the model of the
            loss asks for, or shorter, since a radius limits it.
        patience: after how many searches in a row that found nothing another one is hopeless.
    """

    def __init__(
        self,
        begin: Callable[..., tuple[Working, jax.Array]],
        trial: Callable[[Working], Updates],
        tell: Callable[[Working, jax.Array, Updates], Told],
        working: dict[str, Slot],
        patience: int,
        **slots: Slot,
    ):
        rule = with_arguments_of(self.search, begin)
        super().__init__("tree", rule, None, SETTLED | slots)
        self.begin = ignoring_others(begin)
        self.trial = trial
        self.tell = tell
        self.patience = patience
        self.lasting, self.working = slots, working

    def search(
        self,
        g: Updates,
        s: State,
        p: Params,
        value_fn: ValueFn,
        grad: Updates,
        value: Numeric | None = None,
        **more: Any,
    ) -> tuple[Updates, State]:
        """Evaluate one trial after another; see ``treewise`` for the arguments."""
        real, evals = s["value"].dtype, s["evals"]
        if value is None:
            value, evals = value_fn(p), increment(evals)
        grad = map_leaves(lambda u, x: cast(x, u.dtype), g, grad)
        here = {"value": as_value(value, real), "grad": grad}
        q, over, is_usable = self.begun(s, here, g=g, p=p, value_fn=value_fn, **more)

        def go_on(carry: dict[str, Tree]) -> dict[str, Tree]:
            u = self.trial(carry["q"])
            there = {"u": u} | evaluate(value_fn, map_leaves(jnp.add, p, u), real)
            q, took, over = self.tell(carry["q"], there["value"], there["grad"])
            there = cast_like(there, carry["best"])
            best = where_tree(took, there, carry["best"])
            evals = increment(carry["evals"])
            found = carry["found"] | took
            marks = {"found": found, "over": over, "evals": evals}
            return marks | {"q": cast_like(q, carry["q"]), "best": best}

        best = cast_like(here | {"u": map_leaves(jnp.zeros_like, g)}, here)
        carry = {"q": q, "over": over, "best": best, "evals": evals}
        carry |= {"found": jnp.array(False)}
        end = while_loop(lambda carry: ~carry["over"], go_on, carry)
        found = cast_like({k: end["best"][k] for k in here}, s)
        settled = where_tree(is_usable, found, {k: s[k] for k in here})
        failed = jnp.where(end["found"], 0, increment(s["failed"]))
        lasting = {k: end["q"][k] for k in self.lasting}
        lasting |= {"evals": end["evals"], "failed": failed}
        return end["best"]["u"], settled | lasting

    def begun(
        self, s: State, here: dict[str, Tree], **given: Any
    ) -> tuple[Working, jax.Array, jax.Array]:
        """Begin a search ``here``.

        Also whether it is over at once, and whether all that it begins with is finite. Anything
        that is not finite ends it and does not enter ``s``.
        """
        q, over = self.begin(s=s, **here, **given)
        own = {k: q[k] for k in self.lasting | self.working}
        q = cast_like(own, s | q)
        zeros = lambda x: jax.tree.map(jnp.zeros_like, x)
        old = {k: s[k] if k in s else zeros(x) for k, x in q.items()}
        is_usable = all_finite(here | q)
        return where_tree(is_usable, q, old), over | ~is_usable, is_usable


def with_arguments_of(
    rule: Callable[..., R],
    also: Callable[..., Any],
) -> Callable[..., R]:
    """Make ``rule`` name the arguments of ``also``.

    They are added to its signature. The last argument of ``rule`` is ``**more``, by which it takes
    them.
    """
    own = dict(inspect.signature(rule).parameters)
    own = {k: p for k, p in own.items() if p.kind is not p.VAR_KEYWORD}
    known = own.keys() | GIVEN | {"grad"}
    named = inspect.signature(also).parameters
    more = {k: p for k, p in named.items() if k not in known}
    call = lambda **given: rule(**given)
    by_name = [p.replace(kind=p.KEYWORD_ONLY) for p in (own | more).values()]
    call.__signature__ = inspect.Signature(by_name)  # pyright: ignore[reportFunctionMemberAccess]
    return call


def ignoring_others(function: Callable[..., R]) -> Callable[..., R]:
    """Let ``function`` ignore arguments that it does not name."""
    names = inspect.signature(function).parameters.keys()

    @functools.wraps(function)
    def call(**given: Any) -> R:
        own = {k: v for k, v in given.items() if k in names}
        return function(**own)

    return call


def cast_like(new: dict[str, Tree], old: dict[str, Tree]) -> dict[str, Tree]:
    """Cast arrays to the dtypes that they have in ``old``.

    No dtype is weak afterwards. Keys that ``old`` lacks keep their dtypes.
    """
    strong = lambda x, like: lax.convert_element_type(x, like.dtype)
    fit = lambda x, like: jax.tree.map(strong, x, like)
    known = {k: fit(new[k], old[k]) for k in new.keys() & old.keys()}
    return known | {k: fit(new[k], new[k]) for k in new.keys() - old.keys()}


def where_tree(flag: Numeric, new: T, old: T) -> T:
    """The tree ``new`` where a traced bool holds, else ``old``."""
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), new, old)


def as_value(x: Numeric, dtype: Dtype) -> jax.Array:
    """Cast a loss, which has to be one number."""
    shapes = [jnp.shape(x) for x in jax.tree.leaves(x)]
    if shapes != [()]:
        raise TypeError(
            f"update: value= and value_fn are one number, the loss, but here of shape {shapes}."
        )
    return lax.convert_element_type(x, dtype)


def evaluate(value_fn: ValueFn, params: Params, dtype: Dtype) -> dict[str, Tree]:
    """The ``value`` of a function and the direction uphill, ``grad``."""
    value, grad = jax.value_and_grad(lambda p: as_value(value_fn(p), dtype))(params)
    return {"value": value, "grad": map_leaves(jnp.conj, grad)}


def last_search(tx: GradientTransformation) -> Search | None:
    """The search that a chain ends in, if any."""
    stage = last_stage(tx)
    return stage.body if stage is not None and isinstance(stage.body, Search) else None


def last_stage(tx: GradientTransformation) -> Stage | None:
    """The last member of a chain, at its first step."""
    members = list(tx.members.items())
    return Stage(*members[-1], jnp.zeros((), jnp.int32)) if members else None
