"""Control flow: a transformation at some steps only, one after another, or several side by side."""

from __future__ import annotations

import functools
import inspect
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.around import around
from gradchain.core.errors import check_at_least, check_one_of, quote, shape_dtype
from gradchain.core.lift import GIVEN
from gradchain.core.run import checked_entries
from gradchain.core.slots import counter
from gradchain.core.stage import Body, Stage, named_members, run_inside, widest
from gradchain.core.transformation import GradientTransformation, chain, transform
from gradchain.core.walk import is_optimizer, walk
from gradchain.numerics.arithmetic import increment
from gradchain.tree.mapping import map_leaves, upcast
from gradchain.tree.paths import flatten, named_leaves
from gradchain.wrappers.groups import freeze


@transform
def apply_when(
    condition: Any, inner: GradientTransformation, others: GradientTransformation | None = None
) -> Any:
    r"""Apply ``inner`` at the steps at which a condition holds, and ``others`` at the rest.

    .. math::
        u = \begin{cases} \text{inner}(g) & \text{if } c(t) \\ \text{others}(g) & \text{else}
        \end{cases}

    Just one of the two runs, and the state of the other stays as it is: the clock of ``inner``
    counts the steps at which it ran. The condition sees the step of the whole, which counts every
    call.

    Args:
        condition: a function of the step, 0 at first, that gives a bool. What else it names are
            extra arguments of ``update``: ``lambda step, value: value < 10.0``. A schedule holds
            where it is above 0.
        inner: the transformation.
        others: what updates go through where the condition does not hold: by default nothing, or
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

        u, new_inner, new_others = lax.cond(
            _holds(condition(s["count"], **extra)), run_inner, run_others
        )
        return u, {"count": increment(s["count"]), "inner": new_inner, "others": new_others}

    signature = inspect.signature(rule)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    rule.__signature__ = signature.replace(parameters=[*own, *asked])  # pyright: ignore[reportFunctionMemberAccess]
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
            f"apply_when: condition must give one bool at a step, not an array of shape {value.shape}."
        )
    return value if value.dtype == jnp.bool_ else value > 0


def _asked_by(condition: Any) -> list[inspect.Parameter]:
    """The extra arguments that a condition names beside the step."""
    if not callable(condition):
        raise TypeError(
            f"apply_when: condition must be a function of the step that gives a bool, not {condition!r}."
        )
    try:
        _, *others = inspect.signature(condition).parameters.values()
    except ValueError:
        raise TypeError(
            f"apply_when: condition must be a function of the step; {condition!r} takes none."
        ) from None
    for p in others:
        is_named = p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) or p.default is not p.empty
        if not is_named or p.name in GIVEN | {"params", "inner", "others"}:
            raise TypeError(
                f"apply_when: condition asks for {str(p)!r}: beside the step it names extra arguments of update, one by"
                " one, such as value."
            )
    return [p.replace(kind=p.KEYWORD_ONLY) for p in others if p.kind is not p.POSITIONAL_ONLY]


@transform
def switch(
    first: GradientTransformation,
    at: int,
    then: GradientTransformation,
    carry: tuple[str, ...] | dict[str, str] = (),
) -> Any:
    r"""Use one transformation up to a step, and another from there on.

    .. math::
        u_t = \begin{cases} \text{first}(g_t) & t < n \\ \text{then}(g_t) & t \ge n \end{cases}
        \qquad t = 0, 1, \dots

    Just one of the two runs. The state keeps both, ``then``'s as it starts until its time comes;
    its clocks count from there, and what starts as the parameters, such as the slow weights of
    ``lookahead``, starts as those of that step. Slots are handed over on request. Where several
    have one name, those of stages of the same name belong together. A leaf for which ``first``
    keeps nothing, a frozen one say, starts anew.

    Args:
        first: what updates go through before.
        at: the step :math:`n \ge 0` of the change, the number of updates that ``first`` makes.
        then: what updates go through from there on.
        carry: the names of the slots that ``then`` takes over from ``first``, clocks among them:
            ``("mu", "nu", "count")``. With the name of its stage before it,
            ``"scale_by_adam/count"``, a slot is this one alone. A dict gives the old name and the
            new: ``{"mu": "momentum"}``.

    Raises:
        ValueError: if ``at`` is negative or not a whole number; by ``init``, if a slot of ``carry``
            is missing in one of them, is not the only one in question, or has another shape.

    Example:
        >>> import gradchain as gc
        >>> tx = switch(gc.adam(1e-3), at=100, then=gc.sgd(0.1, momentum=0.9), carry={"mu": "momentum"})
        >>> list(tx.init(jnp.zeros(2))["switch"])
        ['count', 'first', 'then']
    """
    check_at_least("switch", 0, at=at)
    if isinstance(at, float) and not at.is_integer():
        raise ValueError(f"switch: at must be a whole number, not {at!r}.")
    carry = (carry,) if isinstance(carry, str) else carry
    names = carry if isinstance(carry, dict) else {name: name for name in carry}

    def rule(g, s, first, then, p=None):
        def run_first():
            u, new = first(g, s["first"], p)
            return u, new, s["then"]

        def run_then():
            begun = lambda: hand_over(s["first"], s["then"], p)
            u, new = then(g, lax.cond(s["count"] == at, begun, lambda: s["then"]), p)
            return u, s["first"], new

        u, new_first, new_then = lax.cond(s["count"] < at, run_first, run_then)
        return u, {"count": increment(s["count"]), "first": new_first, "then": new_then}

    def hand_over(before: Any, after: Any, params: Any) -> Any:
        sources, targets = _slots(first, before), _slots(then, after)
        for path, slot in _copies(then, after).items() if params is not None else ():
            after = _with(after, path, _taken_over(path, ("params", params), slot))
        for old, new in names.items():
            given, taken = _called(old, sources, "first"), _called(new, targets, "then")
            for path, slot in taken.items():
                after = _with(after, path, _taken_over(path, _source(path, given, taken), slot))
        return after

    def init(params: Any) -> Any:
        state = start(params)
        jax.eval_shape(hand_over, state.get("first", {}), state.get("then", {}), None)
        return state

    body = around(rule, locality="element", first=first, then=then, count=counter)
    start, body.init = body.init, init
    return body


def _slots(tx: GradientTransformation, state: Any) -> dict[tuple[str, ...], Any]:
    """All slots of a state by their paths."""
    parts = [part for part in walk(tx, state) if isinstance(part.entry, dict)]
    known = lambda part: part.entry if "" in part.stage.body.members else part.stage.body.members
    return {
        (*part.path, k): slot
        for part in parts
        for k, slot in part.entry.items()
        if k not in known(part)
    }


def _copies(tx: GradientTransformation, state: Any) -> dict[tuple[str, ...], Any]:
    """The slots of a state that start as the parameters, by their paths."""
    parts = [(part, getattr(part.stage.body, "slots", {})) for part in walk(tx, state)]
    copied = lambda part, slots: [k for k, slot in slots.items() if slot.copy and k in part.entry]
    return {(*part.path, k): part.entry[k] for part, slots in parts for k in copied(part, slots)}


def _called(name: str, slots: dict, which: str) -> dict:
    """The slots of a name, or of a stage and a name."""
    wanted = tuple(name.split("/"))
    found = {path: slot for path, slot in slots.items() if path[-len(wanted) :] == wanted}
    if not found:
        raise ValueError(
            f"switch: {which!r} has no slot {name!r} to carry; its slots are {quote(map('/'.join, slots))}. A dict,"
            " carry={'mu': 'momentum'}, gives the name in 'first' and the one in 'then'."
        )
    return found


def _source(path: tuple[str, ...], given: dict, taken: dict) -> tuple[str, Any]:
    """The slot that goes over to ``path``, with its own path: of the same stage where there are
    several.
    """
    for same in (
        [p for p in given if p[:-1] == path[:-1]],
        [p for p in given if p[-2] == path[-2]],
        [*given] if len(taken) == 1 else [],
    ):
        if len(same) == 1:
            return "/".join(same[0]), given[same[0]]
    raise ValueError(
        f"switch: carry does not say which of {quote(map('/'.join, given))} in 'first' is for {'/'.join(path)!r} in"
        f" 'then': name the stage too, {'/'.join(path[-2:])!r} for one."
    )


def _taken_over(path: tuple[str, ...], source: tuple[str, Any], slot: Any) -> Any:
    """What ``source`` has in the place of ``slot``; leaves that it lacks stay."""
    old = {place: x for place, x in named_leaves(source[1]) if x is not None}

    def take(place: str, x: Any) -> Any:
        if x is None or place not in old:
            return x
        y = old[place]
        if y.shape != x.shape or y.dtype.kind != x.dtype.kind:
            of = f" for {place!r}" if place else ""
            raise ValueError(
                f"switch: {source[0]!r} in 'first' is {shape_dtype(y)}{of} and cannot be carried to {'/'.join(path)!r}"
                f" in 'then', which is {shape_dtype(x)}."
            )
        return y.astype(x.dtype)

    leaves = named_leaves(slot)
    if old and not any(place in old for place, _ in leaves):
        raise ValueError(
            f"switch: {source[0]!r} in 'first' and {'/'.join(path)!r} in 'then' have no leaf in common."
        )
    return flatten(slot)[1].unflatten([take(place, x) for place, x in leaves])


def _with(state: dict, path: tuple[str, ...], value: Any) -> dict:
    """``state`` with another value at ``path``."""
    return state | {path[0]: _with(state[path[0]], path[1:], value) if len(path) > 1 else value}


@transform
def parallel(*members: GradientTransformation, merge: Any = "sum") -> Any:
    r"""Put the same updates through several transformations, and merge what comes out.

    .. math::
        u = m\bigl(\text{tx}_1(g), \dots, \text{tx}_k(g)\bigr)

    The state has an entry for each, under its name: the one given with ``named``, else that of its
    factory, with ``_2`` for a second.

    Args:
        members: the transformations :math:`\text{tx}_i`. A share of each is said by a member of its
            own: ``parallel(chain(scale_by_adam(), scale(0.7)), chain(scale_by_sign(),
            scale(0.3)))``.
        merge: ``"sum"``, ``"mean"``, or a function :math:`m` of one array from each that gives an
            array of their shape; it is called leaf by leaf.

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
    """Transformations that all see the same updates."""

    def __init__(self, members: dict[str, GradientTransformation], merge: Any):
        self.members, self.merge = members, merge
        own = "leaf" if callable(merge) else "element"
        self.locality = widest([own, *(m.locality for m in members.values())])
        self.extras = frozenset().union(*(m.extras for m in members.values()))
        self.freezes = all(m.freezes for m in members.values())

    def init(self, params: Any) -> dict[str, Any]:
        """See ``Body``."""
        states = {name: member.init(params) for name, member in self.members.items()}
        return {name: state for name, state in states.items() if state}

    def merged(self, *updates: jax.Array) -> jax.Array:
        """One leaf, of those of all members."""
        if not callable(self.merge):
            total = functools.reduce(operator.add, updates)
            return total / len(updates) if self.merge == "mean" else total
        made = jnp.asarray(self.merge(*updates))
        if made.shape != updates[0].shape:
            raise ValueError(
                f"parallel: merge made shape {made.shape} from updates of {updates[0].shape}."
            )
        return made.astype(updates[0].dtype)

    @classmethod
    def run(
        cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict
    ) -> tuple[Any, list]:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        made, new_state, state = [], {}, checked_entries(stage, state)
        updates = upcast(updates)  # rounded once, when all is merged
        for name, member in stage.body.members.items():
            update, new_state[name] = run_inside(
                member, updates, state.get(name, {}), params, extra
            )
            made.append(update)
        return map_leaves(stage.body.merged, *made), [
            {name: new for name, new in new_state.items() if new}
        ]
