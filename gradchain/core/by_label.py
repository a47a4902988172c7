"""How different leaves go through different transformations: a label for each leaf, a
transformation for each label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax

from gradchain.core.columns import Columns
from gradchain.core.errors import quote
from gradchain.core.run import checked_entries, restrict_extras
from gradchain.core.stage import Body, Stage, run_inside, widest
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Where
from gradchain.tree.mapping import tree_map_live, upcast
from gradchain.tree.paths import flatten, named_leaves
from gradchain.tree.selecting import keep_leaves, merge


class ByLabel(Body):
    """Transformations by label, each of which sees just the leaves of its label; the others are
    holes for it.

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
        labels_of: Callable[[Any], Any],
        rules: Mapping[str, Where] = MappingProxyType({}),
        rest: str = "",
    ):
        self.members, self.labels_of, self.rules, self.rest = members, labels_of, rules, rest
        self.locality = widest(m.locality for m in members.values())
        self.extras = frozenset().union(*(m.extras for m in members.values()))
        self.freezes = any(m.freezes for m in members.values())

    def masks(self, tree: Any) -> dict[str, Any]:
        """For each label the tree of bools that says which leaves have it.

        Raises:
            ValueError: naming the path, if a leaf has a label that is not known.
        """
        labels = self.labels_of(tree)
        for i, (label, x) in enumerate(zip(flatten(labels)[0], flatten(tree)[0], strict=True)):
            if x is not None and label not in self.members:
                path = named_leaves(labels)[i][0]
                raise ValueError(
                    f"{path!r} has the label {label!r}, but transforms has only {quote(self.members)}."
                )
        return {
            name: jax.tree.map(lambda label, name=name: label == name, labels)
            for name in self.members
        }

    def frozen(self, tree: Any) -> Any:
        """See ``Body``; each member decides for its leaves."""
        result = tree_map_live(lambda _: False, tree)
        for name, mask in self.masks(tree).items():
            if self.members[name].freezes:
                result = merge(mask, self.members[name].frozen(keep_leaves(mask, tree)), result)
        return result

    def init(self, params: Any) -> dict[str, Any]:
        """See ``Body``."""
        states = {
            name: self.members[name].init(keep_leaves(mask, params))
            for name, mask in self.masks(params).items()
        }
        return {name: state for name, state in states.items() if state}

    @classmethod
    def run(
        cls, stages: list[Stage], columns: Columns, states: list[Any], extra: dict[str, Any]
    ) -> tuple[Columns, list[Any]]:
        """See ``Body``."""
        (stage,), (state,), new_state = stages, states, {}
        state, params = checked_entries(stage, state), columns.params
        updates = upcast(columns.updates)  # rounded once, at the end
        for name, mask in stage.body.masks(updates if params is None else params).items():
            member, g = stage.body.members[name], keep_leaves(mask, updates)
            own = None if params is None else keep_leaves(mask, params)
            own_extra = restrict_extras(mask, params, extra)
            new, new_state[name] = run_inside(member, g, state.get(name, {}), own, own_extra)
            updates = merge(mask, new, updates)
        return columns.with_updates(updates), [{k: new for k, new in new_state.items() if new}]
