"""Every member of a transformation, however deep: its part of a state, and where it stands."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.by_label import ByLabel
from gradchain.core.lift import GIVEN, Lift
from gradchain.core.run import drop_leaves, frozen_by
from gradchain.core.stage import Body, Stage, is_pair
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.tree.paths import flatten
from gradchain.tree.selecting import keep_leaves

STEPS = frozenset(
    {"scale_by_learning_rate", "scale_by_madgrad", "scale_by_cocob"}
)  # what makes a step of a gradient


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedMember:
    """A member of a chain, or of a wrapper or group in it.

    Attributes:
        path: the names under which its state stands: ``("accumulate", "inner", "scale_by_adam")``.
        stage: the member at work: ``stage.call`` the transformation, ``stage.numbers`` its
            arguments at this step, ``stage.body`` what its factory made of them.
        entry: its part of the state.
        params: the parameters that reach it, the others holes; ``None`` if none are known.
        chain: the chain that it is a member of.
        above: the wrapper or group that holds this chain; ``None`` for the outermost.
        branch: the name of this chain among the members of ``above``.
    """

    path: tuple[str, ...]
    stage: Stage
    entry: Any
    params: Any
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
        """What its factory made."""
        return self.stage.body

    @property
    def factory(self) -> str:
        """The name of its factory."""
        return self.call.factory.name

    @property
    def needs(self) -> frozenset[str]:
        """What ``update`` has to be given for it: ``params``, and extra arguments by name."""
        if not isinstance(self.body, Lift):
            return frozenset()  # a pair of functions does not say
        names = self.body.required - (GIVEN - {"p"})
        return frozenset("params" if name == "p" else name for name in names)

    @property
    def takes(self) -> frozenset[str]:
        """The extra arguments that it uses where they are given, those of its members aside;
        ``"*"`` for any.
        """
        if not isinstance(self.body, Lift):
            return frozenset() if self.body.members else self.body.extras
        return self.body.names - GIVEN - self.body.members.keys() - self.needs

    # Where it stands

    @functools.cached_property
    def position(self) -> tuple:
        """By turns the index in a chain and the branch of the member there, from the outside in."""
        return (*self._origin, list(self.chain.members).index(self.stage.name))

    @property
    def _origin(self) -> tuple:
        return () if self.above is None else (*self.above.position, self.branch)

    @functools.cached_property
    def recipe(self) -> tuple | None:
        """The recipe of this library that put it there, as the place of its call; ``None`` if the
        user did.
        """
        outer = None if self.above is None else self.above.recipe
        found = _recipes(self.chain, (*self._origin, 0), outer)
        return next(itertools.islice(found, self.position[-1], None))

    @functools.cached_property
    def labels(self) -> frozenset[tuple]:
        """The groups that it stands in: each a position and a label."""
        if self.above is None:
            return frozenset()
        own = (
            {(self.above.position, self.branch)} if isinstance(self.above.body, ByLabel) else set()
        )
        return self.above.labels | own

    def is_inside(self, outer: PlacedMember) -> bool:
        """Whether the other holds this one, however deep."""
        depth = len(outer.position)
        return len(self.position) > depth and self.position[:depth] == outer.position

    def precedes(self, other: PlacedMember) -> bool:
        """Whether updates go through this one first and then through the other."""
        for depth, (i, j) in enumerate(zip(self.position, other.position, strict=False)):
            if i != j:
                return depth % 2 == 0 and i < j and self.meets(other)
        return False

    def meets(self, other: PlacedMember) -> bool:
        """Whether a leaf goes through both, as far as is known."""
        if self.params is not None:
            columns = zip(flatten(self.params)[0], flatten(other.params)[0], strict=True)
            return any(a is not None and b is not None for a, b in columns)
        return self.labels <= other.labels or other.labels <= self.labels


def walk(
    tx: GradientTransformation, state: Any = None, params: Any = None
) -> Iterator[PlacedMember]:
    """Each member of ``tx`` in order, a wrapper before what it holds.

    Args:
        tx: the transformation.
        state: its state, or the shapes of one; without one, entries are empty. Of neither a step is
            known: members are at their first.
        params: the parameters, or their shapes; without them it is not known which leaves reach a
            member.

    Raises:
        ValueError: naming the path, if a leaf of ``params`` belongs to no group.

    Example:
        >>> import gradchain as gc
        >>> [part.name for part in walk(gc.lookahead(gc.sgd(0.1)))]
        ['lookahead', 'lookahead/inner/scale_by_learning_rate']
    """
    yield from _walk(tx, state or {}, params, None, "")


def _walk(
    tx: GradientTransformation, state: Any, params: Any, above: PlacedMember | None, branch: str
) -> Iterator[PlacedMember]:
    entries = state if isinstance(state, dict) else {}
    stages = [Stage(name, call, _count(entries.get(name))) for name, call in tx.members.items()]
    path = () if above is None else above.path + ((branch,) if branch else ())
    for stage in stages:
        entry = entries.get(stage.name, {})
        part = PlacedMember(
            (*path, stage.name), stage, entry, _reaching(stage, stages, params), tx, above, branch
        )
        yield part
        masks = (
            stage.body.masks(part.params)
            if params is not None and isinstance(stage.body, ByLabel)
            else {}
        )
        for inner, member, own in stage.body.parts(entry if isinstance(entry, dict) else {}):
            yield from _walk(
                member,
                own,
                keep_leaves(masks[inner], part.params) if masks else part.params,
                part,
                inner,
            )


def _count(entry: Any) -> Any:
    count = entry.get("count") if isinstance(entry, dict) else None
    return (
        jnp.zeros((), jnp.int32)
        if count is None or isinstance(count, jax.ShapeDtypeStruct)
        else count
    )


def _reaching(stage: Stage, stages: list[Stage], params: Any) -> Any:
    """What others in its chain do not freeze; what does nothing but freeze sees all."""
    if params is None or (stage.body.freezes and not stage.body.members):
        return params
    frozen = frozen_by([s for s in stages if s is not stage], params)
    return params if frozen is None else drop_leaves(frozen, params)


def _recipes(tx: GradientTransformation, at: tuple, recipe: tuple | None) -> Iterator[tuple | None]:
    """For each stage of ``tx`` the outermost recipe of this library that it comes from."""
    if not tx.factory.composite or tx.name:
        yield recipe
        return
    if recipe is None and is_ours(tx) and tx.factory.name != "chain":
        recipe = at
    made = tx.factory.call(tx.arguments)
    members = [made] if is_pair(made) or isinstance(made, GradientTransformation) else made
    for i, member in enumerate(members):
        yield from _recipes(as_transformation(member, tx.factory.name), (*at, i), recipe)


def is_ours(tx: GradientTransformation) -> bool:
    """Whether its factory is one of this library."""
    return not tx.is_pair and tx.factory.function.__module__.split(".")[0] == "gradchain"


def is_optimizer(tx: GradientTransformation) -> bool:
    """Whether its updates are steps downhill, not directions: a member, however deep, makes them
    so.

    Example:
        >>> import gradchain as gc
        >>> is_optimizer(gc.lookahead(gc.adam(1e-3))), is_optimizer(gc.scale_by_adam())
        (True, False)
    """
    return any(part.factory in STEPS for part in walk(tx))
