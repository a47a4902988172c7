"""Control flow: when, one after another, or side by side."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.around import around
from gradchain.core.by_label import checked_entries, named_members
from gradchain.core.columns import Columns
from gradchain.core.errors import check_one_of, quote, shape_dtype
from gradchain.core.facts import Facts
from gradchain.core.lift import GIVEN
from gradchain.core.ranges import NonNegativeInt
from gradchain.core.slots import counter
from gradchain.core.stage import Body, Stage, run_inside, widest
from gradchain.core.transformation import GradientTransformation, chain, transform
from gradchain.core.types import Pair, Params, State, Tree
from gradchain.core.walk import is_optimizer, walk
from gradchain.numerics.counting import increment, is_before
from gradchain.tree.mapping import map_leaves, upcast
from gradchain.tree.paths import distinct_leaves, flatten
from gradchain.wrappers.groups import freeze

Path: TypeAlias = tuple[str, ...]
"""The names on the way to an entry of a state."""


@transform(roles="alternatives")
def apply_when(
    condition: Callable[..., Any],
    inner: GradientTransformation | Pair,
    others: GradientTransformation | Pair | None = None,
) -> Body:
    r"""Apply ``inner`` when a condition holds, else ``others``.

    .. math::
        u = \begin{cases} \text{inner}(g) & \text{if } c(t) \\ \text{others}(g) & \text{else}
        \end{cases}

    Just one of the two runs, and the state of the other stays as it is: the clock of ``inner``
    counts the steps at which it ran. The condition sees the step of the whole, which counts every
    call.

    Args:
        condition: a function of the step, 0 at first, that gives a bool. Its other arguments are
            extra arguments of ``update``: ``lambda step, value: value < 10.0``. A schedule holds
            where it is above 0.
        inner: the transformation.
        others: the transformation where the condition does not hold: by default none, or
            ``freeze()``, so that the parameters stay, if ``inner`` is a whole optimizer.

    Raises:
        TypeError: if ``condition`` is not a function, or asks for more than the step and extra
            arguments.
        ValueError: if it gives more than one number.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(apply_when(lambda step: step < 1, gc.clip(1.0)), gc.sgd(1.0))
        >>> params, state = jnp.zeros(1), tx.init(jnp.zeros(1))
        >>> for _ in range(2):
        ...     updates, state = tx.update(jnp.array([5.0]), state, params)
        ...     print(updates)
        [-1.]
        [-5.]
    """
    asked = _asked_by(condition)
    if others is None:
        others = freeze() if is_optimizer(inner) else chain()

    def rule(g, s, inner, others, p=None, **extra):
        def run_inner():
            u, new = inner(g, s["inner"], p)
            return u, new, s["others"]

        def run_others():
            u, new = others(g, s["others"], p)
            return u, s["inner"], new

        holds = _holds(condition(s["count"], **extra))
        u, new_inner, new_others = lax.cond(holds, run_inner, run_others)
        count = increment(s["count"])
        return u, {"count": count, "inner": new_inner, "others": new_others}

    signature = inspect.signature(rule)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    signature = signature.replace(parameters=[*own, *asked])
    rule.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return around(rule, locality="element", inner=inner, others=others, count=counter)


def _holds(value: Any) -> jax.Array:
    """A condition's value as one bool."""
    if value is None:
        raise ValueError(
            "apply_when: condition must give one bool at a step, but returned nothing."
        )
    value = jnp.asarray(value)
    if value.shape:
        raise ValueError(
            "apply_when: condition must give one bool at a step, not an array of shape"
            f" {value.shape}."
        )
    return value if value.dtype == jnp.bool_ else value > 0


def _asked_by(condition: Callable[..., Any]) -> list[inspect.Parameter]:
    """The extra arguments that a condition names beside the step."""
    if not callable(condition):
        raise TypeError(
            "apply_when: condition must be a function of the step that gives a bool,"
            f" not {condition!r}."
        )
    try:
        _, *others = inspect.signature(condition).parameters.values()
    except ValueError:
        raise TypeError(
            f"apply_when: condition must be a function of the step; {condition!r} takes none."
        ) from None
    for p in others:
        by_name = p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        is_known = by_name or p.default is not p.empty
        if not is_known or p.name in GIVEN | {"params", "inner", "others"}:
            raise TypeError(
                f"apply_when: condition asks for {str(p)!r}: beside the step it names"
                " extra arguments of update, one by one, such as value."
            )
    named = [p for p in others if p.kind is not p.POSITIONAL_ONLY]
    return [p.replace(kind=p.KEYWORD_ONLY) for p in named]


@transform(roles="alternatives")
def switch(
    first: GradientTransformation | Pair,
    at: NonNegativeInt,
    then: GradientTransformation | Pair,
    carry: str | tuple[str, ...] | dict[str, str] = (),
) -> Body:
    r"""Use one transformation up to a step, then another.

    .. math::
        u_t = \begin{cases} \text{first}(g_t) & t < n \\ \text{then}(g_t) & t \ge n \end{cases}
        \qquad t = 0, 1, \ldots

    Just one of the two runs. The state keeps both; that of ``then`` stays at its start until its
    time comes. Its clocks count from there, and slots that start as the parameters, such as the
    slow weights of ``lookahead``, start as those of that step. Slots are handed over on request.
    Where several have one name, those of members of the same name belong together. A leaf for which
    ``first`` keeps nothing, for example a frozen one, starts anew.

    Args:
        first: the transformation before.
        at: the step :math:`n \ge 0` of the change, the number of updates that ``first`` makes.
        then: the transformation from there on.
        carry: the names of the slots that ``then`` takes over from ``first``, clocks among them:
            ``("mu", "nu", "count")``. With the name of its member before it,
            ``"scale_by_adam/count"``, a slot is this one alone. A dict gives the old name and the
            new: ``{"mu": "momentum"}``.

    Raises:
        TypeError: if ``at`` is not a whole number.
        ValueError: if ``at`` is negative; by ``init``, if a slot of ``carry``
            is missing in one of them, is not the only one in question, or has another shape.

    Example:
        >>> import gradchain as gc
        >>> then = gc.sgd(0.1, momentum=0.9)
        >>> tx = switch(gc.adam(1e-3), at=100, then=then, carry={"mu": "momentum"})
        >>> list(tx.init(jnp.zeros(2))["switch"])
        ['count', 'first', 'then']
    """
    carry = (carry,) if isinstance(carry, str) else carry
    names = carry if isinstance(carry, dict) else {name: name for name in carry}

    def rule(g, s, first, then, p=None):
        def run_first():
            u, new = first(g, s["first"], p)
            return u, new, s["then"]

        def run_then():
            begun = lambda: hand_over(s["first"], s["then"], p)
            u, new = then(g, lax.cond(is_before(s["count"], at + 1), begun, lambda: s["then"]), p)
            return u, s["first"], new

        u, new_first, new_then = lax.cond(is_before(s["count"], at), run_first, run_then)
        return u, {"count": increment(s["count"]), "first": new_first, "then": new_then}

    def hand_over(before: State, after: State, params: Params | None) -> State:
        sources, targets = (_slots(first, before), _slots(then, after)) if names else ({}, {})
        copies = {} if params is None else _copies(then.facts, after)
        for path, slot in copies.items():
            after = _with(after, path, _taken_over(path, ("params", params), slot))
        for old, new in names.items():
            given = _called(old, sources, "first")
            taken = _called(new, targets, "then")
            for path, slot in taken.items():
                source = _source(path, given, taken)
                after = _with(after, path, _taken_over(path, source, slot))
        return after

    def init(params: Params) -> State:
        state = start(params)
        jax.eval_shape(hand_over, state.get("first", {}), state.get("then", {}), None)
        return state

    body = around(rule, locality="element", first=first, then=then, count=counter)
    start, body.init = body.init, init
    return body


def _slots(tx: GradientTransformation, state: State) -> dict[Path, Tree]:
    """All slots of a state by their paths."""
    found = {}
    for part in walk(tx, state):
        members = part.stage.body.members
        if isinstance(part.entry, dict) and "" not in members:
            own = part.entry.keys() - members.keys()
            found |= {(*part.path, k): x for k, x in part.entry.items() if k in own}
    return found


def _copies(facts: Facts, state: State, above: Path = ()) -> dict[Path, Tree]:
    """The slots that start as the parameters, by their paths."""
    found = {}
    for name, member in facts.members.items():
        entry, path = state.get(name, {}), (*above, name)
        found |= {(*path, k): entry[k] for k in member.copied if k in entry}
        for branch, inner in member.inner.items():
            below = (entry.get(branch, {}), (*path, branch)) if branch else (entry, path)
            found |= _copies(inner, *below)
    return found


def _called(name: str, slots: dict[Path, Tree], which: str) -> dict[Path, Tree]:
    """The slots called ``name``, or ``member/name``."""
    wanted = tuple(name.split("/"))
    fits = lambda path: path[-len(wanted) :] == wanted
    found = {path: slot for path, slot in slots.items() if fits(path)}
    if not found:
        raise ValueError(
            f"switch: {which!r} has no slot {name!r} to carry; its slots are"
            f" {quote(map('/'.join, slots))}. A dict, carry={{'mu': 'momentum'}}, gives"
            " the name in 'first' and the one in 'then'."
        )
    return found


def _source(
    path: Path,
    given: dict[Path, Tree],
    taken: dict[Path, Tree],
) -> tuple[str, Tree]:
    """Path and value of the slot that goes to ``path``.

    Where there are several it is that of the same member.
    """
    of_same_place = [p for p in given if p[:-1] == path[:-1]]
    of_same_name = [p for p in given if p[-2] == path[-2]]
    all_given = [*given] if len(taken) == 1 else []
    for same in (of_same_place, of_same_name, all_given):
        if len(same) == 1:
            (found,) = same
            return "/".join(found), given[found]
    raise ValueError(
        f"switch: carry does not say which of {quote(map('/'.join, given))} in 'first'"
        f" is for {'/'.join(path)!r} in 'then': name the stage too,"
        f" {'/'.join(path[-2:])!r} for one."
    )


def _taken_over(path: Path, source: tuple[str, Tree], slot: Tree) -> Tree:
    """``slot`` with the leaves of ``source``, where it has them."""
    old = {place: x for place, x in distinct_leaves(source[1]) if x is not None}

    def take(place: str, x: jax.Array | None) -> jax.Array | None:
        if x is None or place not in old:
            return x
        y = old[place]
        if y.shape != x.shape or y.dtype.kind != x.dtype.kind:
            of = f" for {place!r}" if place else ""
            raise ValueError(
                f"switch: {source[0]!r} in 'first' is {shape_dtype(y)}{of} and cannot"
                f" be carried to {'/'.join(path)!r} in 'then', which is"
                f" {shape_dtype(x)}."
            )
        return y.astype(x.dtype)

    leaves = distinct_leaves(slot)
    if old and not any(place in old for place, _ in leaves):
        raise ValueError(
            f"switch: {source[0]!r} in 'first' and {'/'.join(path)!r} in 'then' have no"
            " leaf in common."
        )
    return flatten(slot)[1].unflatten([take(place, x) for place, x in leaves])


def _with(state: State, path: Path, value: Tree) -> State:
    """``state`` with another value at ``path``."""
    first, *rest = path
    return state | {first: _with(state[first], tuple(rest), value) if rest else value}


@transform(roles="alternatives")
def parallel(
    *members: GradientTransformation | Pair,
    merge: str | Callable[..., jax.Array] = "sum",
) -> Body:
    r"""Run several transformations on the same updates, and merge theirs.

    .. math::
        u = m\bigl(\text{tx}_1(g), \ldots, \text{tx}_k(g)\bigr)

    The state has an entry for each, under its name: the one given with ``named``, else that of its
    factory, with ``_2`` for a second.

    Args:
        members: the transformations :math:`\text{tx}_i`. For a weight of each add a ``scale`` to
            it: ``parallel(chain(scale_by_adam(), scale(0.7)), chain(scale_by_sign(),
            scale(0.3)))``.
        merge: ``"sum"``, ``"mean"``, or a function :math:`m` of one array from each that gives an
            array of the same shape; it is called leaf by leaf.

    Raises:
        ValueError: if there are no members, or ``merge`` is another string or gives another shape.

    Example:
        >>> import gradchain as gc
        >>> larger = lambda a, b: jnp.where(jnp.abs(a) > jnp.abs(b), a, b)
        >>> tx = parallel(gc.clip(1.0), gc.scale(0.1), merge=larger)
        >>> print(tx.update(jnp.array([0.5, 30.0]), tx.init(jnp.zeros(2)))[0])
        [0.5 3. ]
    """
    if not members:
        raise ValueError("parallel: give one transformation or more.")
    if not callable(merge):
        check_one_of("parallel", ("sum", "mean"), merge=merge)
    return SideBySide(named_members(members), merge)


class SideBySide(Body):
    """Transformations that see the same updates."""

    def __init__(
        self,
        members: dict[str, GradientTransformation],
        merge: str | Callable[..., jax.Array],
    ):
        self.members, self.merge = members, merge
        own = "leaf" if callable(merge) else "element"
        self.locality = widest([own, *(m.locality for m in members.values())])
        self.extras = frozenset().union(*(m.extras for m in members.values()))
        self.freezes = all(m.freezes for m in members.values())

    def init(self, params: Params) -> State:
        """See ``Body``."""
        states = {name: member.init(params) for name, member in self.members.items()}
        return {name: state for name, state in states.items() if state}

    def merged(self, *updates: jax.Array) -> jax.Array:
        """One leaf, merged from those of all members."""
        if not callable(self.merge):
            total = functools.reduce(operator.add, updates)
            return total / len(updates) if self.merge == "mean" else total
        made = jnp.asarray(self.merge(*updates))
        if made.shape != updates[0].shape:
            shape = updates[0].shape
            raise ValueError(f"parallel: merge made shape {made.shape} from updates of {shape}.")
        return made.astype(updates[0].dtype)

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: dict[str, Any],
    ) -> tuple[Columns, list[Any]]:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        made = []
        new_state = {}
        state = checked_entries(stage, state)
        updates = upcast(columns.updates)  # rounded once, when all is merged
        for name, member in stage.body.members.items():
            own = state.get(name, {})
            update, new_state[name] = run_inside(member, updates, own, columns.params, extra)
            made.append(update)
        merged = map_leaves(stage.body.merged, *made)
        return columns.with_updates(merged), [{k: new for k, new in new_state.items() if new}]
