"""Every member of a transformation, and where it stands: what comes before it, and which leaves reach it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from gradchain.core import GradientTransformation, as_transformation
from gradchain.labels import ByLabel
from gradchain.lift import Lift
from gradchain.paths import flatten
from gradchain.stages import Body, Stage, frozen_by, is_pair, stages_at_start, without
from gradchain.trees import only


@dataclasses.dataclass(frozen=True)
class Place:
    """A member of a chain, or of a wrapper or group in it, at its first step.

    Attributes:
        path: the names under which its state stands.
        above: the path of the wrapper or group that holds it.
        stage: the member at work.
        entry: its part of the state.
        position: by turns the index in a chain and the branch of the member there, from the outside in.
        recipe: the recipe of this library that put it there, as the place of its call; ``None`` if the user did.
        labels: the groups that it stands in: each a position and a label.
        params: the parameters that reach it, the others holes; ``None`` if none are known.
    """

    path: tuple[str, ...]
    above: tuple[str, ...]
    stage: Stage
    entry: Any
    position: tuple
    recipe: tuple | None
    labels: frozenset[tuple]
    params: Any

    @property
    def name(self) -> str:
        """Its path as one string: ``accumulate/inner/scale_by_adam``."""
        return "/".join(self.path)

    @property
    def call(self) -> GradientTransformation:
        """The transformation."""
        return self.stage.call

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
        names = self.body.required - {"g", "s", "t", *self.body.members}
        return frozenset("params" if name == "p" else name for name in names)

    @property
    def takes(self) -> frozenset[str]:
        """The extra arguments that it uses where they are given, those of its members aside; ``"*"`` for any."""
        if not isinstance(self.body, Lift):
            return frozenset() if self.body.members else self.body.extras
        return self.body.names - {"g", "s", "p", "t", *self.body.members} - self.needs

    def precedes(self, other: Place) -> bool:
        """Whether updates go through this one first and then through the other."""
        for depth, (i, j) in enumerate(zip(self.position, other.position, strict=False)):
            if i != j:
                return depth % 2 == 0 and i < j and self.meets(other)
        return False

    def meets(self, other: Place) -> bool:
        """Whether a leaf goes through both, as far as is known."""
        if self.params is not None:
            columns = zip(flatten(self.params)[0], flatten(other.params)[0], strict=True)
            return any(a is not None and b is not None for a, b in columns)
        return self.labels <= other.labels or other.labels <= self.labels


def places(tx: Any, params: Any = None, state: Any = None) -> list[Place]:
    """Each member of ``tx`` in order, a wrapper before what it holds.

    Args:
        tx: the transformation.
        params: the parameters, or their shapes; without them it is not known which leaves reach a member.
        state: its state, or its shapes; without it entries are empty.

    Raises:
        ValueError: naming the path, if a leaf belongs to no group.
    """
    return list(_places(as_transformation(tx, "the transformation"), params, state or {}, Place((), (), *_ROOT)))


_ROOT: tuple = (None, {}, (), None, frozenset(), None)


def _places(tx: GradientTransformation, params: Any, state: Any, above: Place) -> Iterator[Place]:
    stages = stages_at_start(tx.stages)
    for i, (stage, recipe) in enumerate(zip(stages, _recipes(tx, (*above.position, 0), above.recipe), strict=True)):
        others = [s for s in stages if s is not stage]
        frozen = None if params is None else frozen_by(others, params)
        own = params if frozen is None else without(frozen, params)
        entry = state.get(stage.name, {}) if isinstance(state, dict) else {}
        position, path = (*above.position, i), (*above.path, stage.name)
        place = Place(path, above.above, stage, entry, position, recipe, above.labels, own)
        yield place
        by_label = isinstance(stage.body, ByLabel)
        masks = stage.body.masks(own) if isinstance(stage.body, ByLabel) and own is not None else {}
        for inner, member, inner_state in stage.body.parts(entry if isinstance(entry, dict) else {}):
            branch = dataclasses.replace(
                place,
                path=(*path, inner) if inner else path,
                above=path,
                position=(*position, inner),
                labels=place.labels | {(position, inner)} if by_label else place.labels,
            )
            yield from _places(member, only(masks[inner], own) if masks else own, inner_state, branch)


def _recipes(tx: GradientTransformation, at: tuple, recipe: tuple | None) -> Iterator[tuple | None]:
    """For each stage of ``tx`` the outermost recipe of this library that it comes from."""
    if not tx.factory.composite or tx.label:
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
