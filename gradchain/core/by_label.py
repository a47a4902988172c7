"""A transformation for each label of leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import jax

from gradchain.core.columns import Columns
from gradchain.core.errors import ADOPT, quote
from gradchain.core.holes import restrict_extras
from gradchain.core.stage import Body, Extra, Ran, Stage, free_name, run_inside, widest
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params, State, Tree, Where
from gradchain.tree.mapping import tree_map_live, upcast
from gradchain.tree.paths import flatten, named_leaves
from gradchain.tree.selecting import keep_leaves, merge


def named_members(members: Iterable[Any]) -> dict[str, Any]:
    """Members by the names of their states.

    That is the name of its own, which is taken off, or else that of its factory.
    """
    named: dict[str, Any] = {}
    for member in members:
        name = free_name(member.name or member.factory.name, named)
        named[name] = member.unnamed
    return named


def checked_entries(stage: Stage, state: State) -> State:
    """The states of a wrapper's members by name.

    Raises:
        ValueError: if there is the state of a member that it does not have.
    """
    if not isinstance(state, dict) or not state.keys() <= stage.body.members.keys():
        found = quote(map(str, state)) if isinstance(state, dict) else type(state).__name__
        known = quote(stage.body.members)
        raise ValueError(
            f"update: the state of {stage.name!r} has {found}, but its members are"
            f" {known}: it belongs to another transformation. {ADOPT}"
        )
    return state


class ByLabel(Body):
    """Transformations by label, each for the leaves of its label.

    A transformation sees the other leaves as holes.

    Attributes:
        members: the transformations.
        labels_of: from a tree to the tree of the labels of its leaves.
        rules: the selection that chooses the leaves of a label; of the label that takes the rest
            there is none, and of none where labels are given in another way.
        rest: a name for the selection of the label that takes the rest.
    """

    def __init__(
        self,
        members: dict[str, GradientTransformation],
        labels_of: Callable[[Tree], Tree],
        rules: Mapping[str, Where] = MappingProxyType({}),
        rest: str = "",
    ):
        self.members, self.labels_of, self.rules, self.rest = members, labels_of, rules, rest
        self.locality = widest(m.locality for m in members.values())
        self.extras = frozenset().union(*(m.extras for m in members.values()))
        self.freezes = any(m.freezes for m in members.values())

    def masks(self, tree: Tree) -> dict[str, Tree]:
        """For each label the tree of bools of its leaves.

        Raises:
            ValueError: naming the path, if a leaf has a label that is not known.
        """
        labels = self.labels_of(tree)
        leaves, _ = flatten(tree)
        for i, (label, x) in enumerate(zip(flatten(labels)[0], leaves, strict=True)):
            if x is not None and label not in self.members:
                path, _ = named_leaves(labels)[i]
                known = quote(self.members)
                raise ValueError(
                    f"{path!r} has the label {label!r}, but transforms has only {known}: add one"
                    f" for {label!r}, freeze() for example, or change the labels."
                )

        def mask(name: str) -> Tree:
            return jax.tree.map(lambda label: label == name, labels)

        return {name: mask(name) for name in self.members}

    def frozen(self, tree: Tree) -> Tree:
        """See ``Body``; each member decides for its leaves."""
        result = tree_map_live(lambda _: False, tree)
        for name, mask in self.masks(tree).items():
            member = self.members[name]
            if member.freezes:
                own = member.frozen(keep_leaves(mask, tree))
                result = merge(mask, own, result)
        return result

    def init(self, params: Params) -> State:
        """See ``Body``."""
        states = {}
        for name, mask in self.masks(params).items():
            own = keep_leaves(mask, params)
            states[name] = self.members[name].init(own)
        return {name: state for name, state in states.items() if state}

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: Extra,
    ) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        state, params = checked_entries(stage, state), columns.params
        updates = upcast(columns.updates)  # rounded once, at the end
        masks = stage.body.masks(updates if params is None else params)
        new_state = {}
        for name, mask in masks.items():
            member, entry = stage.body.members[name], state.get(name, {})
            g = keep_leaves(mask, updates)
            p = None if params is None else keep_leaves(mask, params)
            own_extra = restrict_extras(mask, params, extra)
            new, new_state[name] = run_inside(member, g, entry, p, own_extra)
            updates = merge(mask, new, updates)
        news = {name: new for name, new in new_state.items() if new}
        return columns.with_updates(updates), [news]
