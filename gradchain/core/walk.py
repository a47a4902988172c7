"""Walk through the members of a transformation, however deep."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing
from collections.abc import Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.by_label import ByLabel
from gradchain.core.entries import unboxed
from gradchain.core.facts import Facts, MemberFacts
from gradchain.core.holes import drop_leaves, frozen_by
from gradchain.core.lift import GIVEN, Lift
from gradchain.core.stage import Body, Stage, is_pair
from gradchain.core.transformation import GradientTransformation, as_transformation, chain
from gradchain.core.types import Params, State
from gradchain.tree.paths import flatten
from gradchain.tree.selecting import keep_leaves

Place: TypeAlias = tuple[Any, ...]
"""By turns the index of a member in its chain and the name of a branch, from the outside in."""

_CHAIN = chain().factory  # the one recipe whose members the user puts together


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedMember:
    """A member of a chain, however deep, and its place.

    Attributes:
        path: the names under which its state stands: ``("accumulate", "inner", "scale_by_adam")``.
        stage: the member at work: ``stage.call`` the transformation, ``stage.numbers`` its
            arguments at this step, ``stage.body`` the lift or pair that its factory made.
        entry: its part of the state.
        params: the parameters that reach it, the others holes; ``None`` if none are known.
        chain: the chain that it is a member of.
        above: the wrapper or group that holds this chain; ``None`` for the outermost.
        branch: the name of this chain among the members of ``above``.
    """

    path: tuple[str, ...]
    stage: Stage
    entry: State
    params: Params | None
    chain: GradientTransformation
    above: PlacedMember | None
    branch: str

    @property
    def name(self) -> str:
        """Its path as one string: ``accumulate/inner/scale_by_adam``."""
        return "/".join(self.path)

    @property
    def call(self) -> GradientTransformation:
        """The transformation."""
        return typing.cast(GradientTransformation, self.stage.call)

    @property
    def body(self) -> Body:
        """The lift, or the pair, that its factory made."""
        return self.stage.body

    @property
    def factory(self) -> str:
        """The name of its factory."""
        return self.call.factory.name

    @property
    def roles(self) -> frozenset[str]:
        """The roles of its factory; none of a recipe."""
        return frozenset() if self.call.factory.composite else self.call.factory.roles

    @property
    def needs(self) -> frozenset[str]:
        """The arguments that it needs: ``params``, and extra ones."""
        if not isinstance(self.body, Lift):
            return frozenset()  # a pair of functions does not say
        names = self.body.required - (GIVEN - {"p"})
        return frozenset("params" if name == "p" else name for name in names)

    @property
    def takes(self) -> frozenset[str]:
        """The extra arguments that it uses where they are given.

        ``"*"`` stands for any; those of its members are not among them.
        """
        if not isinstance(self.body, Lift):
            return frozenset() if self.body.members else self.body.extras
        return self.body.names - GIVEN - self.body.members.keys() - self.needs

    # Where it stands

    @functools.cached_property
    def position(self) -> Place:
        """Its place, from the outside in."""
        return (*self._origin, list(self.chain.members).index(self.stage.name))

    @property
    def _origin(self) -> Place:
        return () if self.above is None else (*self.above.position, self.branch)

    @functools.cached_property
    def recipe(self) -> Place | None:
        """The place of the recipe that made it.

        It is one of this library; ``None`` if the user put it there.
        """
        outer = None if self.above is None else self.above.recipe
        found = _recipes(self.chain, (*self._origin, 0), outer)
        return next(itertools.islice(found, self.position[-1], None))

    @functools.cached_property
    def labels(self) -> frozenset[tuple[Place, str]]:
        """The groups around it: each a position and a label."""
        if self.above is None:
            return frozenset()
        if not isinstance(self.above.body, ByLabel):
            return self.above.labels
        return self.above.labels | {(self.above.position, self.branch)}

    def is_inside(self, outer: PlacedMember) -> bool:
        """Whether the other holds this one, however deep."""
        depth = len(outer.position)
        return len(self.position) > depth and self.position[:depth] == outer.position

    def precedes(self, other: PlacedMember) -> bool:
        """Whether updates go through this one before the other."""
        for depth, (i, j) in enumerate(
            zip(
                self.position,
                other.position,
                strict=False,
            )
        ):
            if i != j:
                return depth % 2 == 0 and i < j and self.meets(other)
        return False

    def meets(self, other: PlacedMember) -> bool:
        """Whether a leaf may go through both."""
        if self.params is not None:
            (own, _), (others, _) = flatten(self.params), flatten(other.params)
            pairs = zip(own, others, strict=True)
            return any(a is not None and b is not None for a, b in pairs)
        return self.labels <= other.labels or other.labels <= self.labels


def walk(
    tx: GradientTransformation,
    state: State | None = None,
    params: Params | None = None,
    into_observers: bool = True,
) -> Iterator[PlacedMember]:
    """Each member of ``tx`` in order, wrappers before their members.

    Args:
        tx: the transformation.
        state: its state, or the shapes of one; without one, entries are empty. Of neither a step is
            known: members are at their first.
        params: the parameters, or their shapes; without them it is not known which leaves reach a
            member.
        into_observers: whether to go on to the members of those that show numbers themselves.

    Raises:
        ValueError: naming the path, if a leaf of ``params`` belongs to no group.

    Example:
        >>> import gradchain as gc
        >>> [part.name for part in walk(gc.lookahead(gc.sgd(0.1)))]
        ['lookahead', 'lookahead/inner/scale_by_learning_rate']
    """
    yield from _walk(tx, state or {}, params, None, "", into_observers)


def _walk(
    tx: GradientTransformation,
    state: State,
    params: Params | None,
    above: PlacedMember | None,
    branch: str,
    into_observers: bool,
) -> Iterator[PlacedMember]:
    path = () if above is None else above.path + ((branch,) if branch else ())
    stages = _stages(tx, state)
    for stage in stages:
        entry = _entry(state, stage.name)
        reaching = _reaching(stage, stages, params)
        part = PlacedMember(
            (*path, stage.name),
            stage,
            entry,
            reaching,
            tx,
            above,
            branch,
        )
        yield part
        if "observer" in part.roles and not into_observers:
            continue
        masks = {}
        if params is not None and isinstance(stage.body, ByLabel):
            masks = stage.body.masks(reaching)
        known = entry if isinstance(entry, dict) else {}
        for inner, member, own in stage.body.parts(known):
            inside = keep_leaves(masks[inner], reaching) if masks else reaching
            yield from _walk(member, own, inside, part, inner, into_observers)


def _stages(tx: GradientTransformation, state: State) -> list[Stage]:
    """The members, each at the step in its state."""
    stages = []
    for name, call in tx.members.items():
        count = _count(_entry(state, name))
        stages.append(Stage(name, call, count))
    return stages


def _entry(state: State, name: str) -> State:
    return state.get(name, {}) if isinstance(state, dict) else {}


def _count(entry: State) -> jax.Array:
    count = unboxed(entry.get("count")) if isinstance(entry, dict) else None
    if count is None or isinstance(count, jax.ShapeDtypeStruct):
        return jnp.zeros((), jnp.int32)
    return count


def _reaching(
    stage: Stage,
    stages: list[Stage],
    params: Params | None,
) -> Params | None:
    """The parameters that reach a member.

    They are those that no other member freezes; one that does nothing but freeze sees all.
    """
    is_freeze = stage.body.freezes and not stage.body.members
    if params is None or is_freeze:
        return params
    others = [s for s in stages if s is not stage]
    frozen = frozen_by(others, params)
    return params if frozen is None else drop_leaves(frozen, params)


def _recipes(
    tx: GradientTransformation,
    at: Place,
    recipe: Place | None,
) -> Iterator[Place | None]:
    """The outermost recipe of this library for each member."""
    if not tx.factory.composite or tx.name:
        yield recipe
        return
    if recipe is None and is_ours(tx) and tx.factory is not _CHAIN:
        recipe = at
    made = tx.factory.call(tx.arguments)
    is_one = is_pair(made) or isinstance(made, GradientTransformation)
    for i, member in enumerate([made] if is_one else made):
        inner = as_transformation(member, tx.factory.name)
        yield from _recipes(inner, (*at, i), recipe)


def is_ours(tx: GradientTransformation) -> bool:
    """Whether its factory is one of this library."""
    package, *_ = tx.factory.function.__module__.split(".")
    return package == "gradchain" and not tx.is_pair


def is_optimizer(tx: GradientTransformation) -> bool:
    """Whether a member, however deep, makes steps downhill.

    Then updates are steps, not directions.

    Example:
        >>> import gradchain as gc
        >>> is_optimizer(gc.lookahead(gc.adam(1e-3))), is_optimizer(gc.scale_by_adam())
        (True, False)
    """
    return tx.facts.makes_steps


def without_observations(tx: GradientTransformation, state: State) -> State:
    """The state of ``tx`` without the numbers that observers show.

    They become holes. The meters that a ``watch`` around it puts between members are left out.

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.watch(gc.add_momentum(0.9)), jnp.ones(2)
        >>> without_observations(tx, tx.init(params))["watch"]["metrics"]["gradient_norm"] is None
        True
    """
    return _unobserved(tx.facts, state)


def _unobserved(facts: Facts, state: State) -> State:
    if not isinstance(state, dict):
        return state
    known = ((name, member) for name, member in facts.members.items() if name in state)
    return {name: _entry_unobserved(member, state[name]) for name, member in known}


def _entry_unobserved(member: MemberFacts, entry: State) -> State:
    if "" in member.inner:
        return _unobserved(member.inner[""], entry)
    if not isinstance(entry, dict):
        return entry
    inner = {k: _unobserved(f, entry[k]) for k, f in member.inner.items() if k in entry}
    shows = "observer" in member.roles
    holes = {k: jax.tree.map(lambda _: None, v) for k, v in entry.items() if k not in inner}
    return entry | (holes if shows else {}) | inner
