"""Groups of parameters: train them differently, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from gradchain.core.advice import brief, pair_of_a_group
from gradchain.core.by_label import ByLabel, named_members
from gradchain.core.errors import quote
from gradchain.core.lift import PerLeaf
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, as_transformation, transform
from gradchain.core.types import Pair, Tree, Where
from gradchain.tree.mapping import tree_map_live
from gradchain.tree.paths import flatten, flatten_like, named_leaves
from gradchain.tree.selecting import select


@transform(roles="harmless")
def freeze(where: Where | None = None) -> Body:
    """Keep leaves as they are: no state, zero update.

    A frozen leaf is a hole for the whole chain in which this stands, and for all wrappers around
    it: no norm counts it, no test for finite numbers looks at it, no member has a state for it. Its
    update is zero whatever its gradient is.

    Args:
        where: which leaves (see ``gradchain.select``), by default all that it sees:
            ``groups([("encoder/*", freeze())], default=adamw(1e-3))``.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(gc.clip_by_global_norm(1.0), freeze("encoder"), gc.scale(-1.0))
        >>> grads = {"encoder": jnp.array([100.0]), "head": jnp.array([1.0])}
        >>> print(tx.update(grads, tx.init(grads), grads)[0])
        {'encoder': Array([0.], dtype=float32), 'head': Array([-1.], dtype=float32)}
    """
    return Frozen(where)


class Frozen(PerLeaf):
    """Leaves that get no update."""

    freezes = True

    def __init__(self, where: Where | None):
        super().__init__("element", lambda g: jnp.zeros_like(g), where, {})

    def frozen(self, tree: Tree) -> Tree:
        """See ``Body``."""
        return select(self.where, tree)


@transform(roles="alternatives")
def groups(
    rules: Sequence[tuple[Where, GradientTransformation | Pair | dict]],
    default: GradientTransformation | Pair | None = None,
) -> Body:
    """Train groups of parameters in different ways.

    Each leaf belongs to the first rule that fits it. Each group keeps a state of its own, under the
    name of its transformation: the one given with ``named``, else that of its factory. A
    transformation that looks at all parameters together, for example a clip by the global norm,
    stands outside.

    Args:
        rules: pairs ``(where, tx)`` in order. ``where`` is a glob on paths, a compiled regular
            expression, ``f(path, leaf) -> bool``, or a tree of bools (see ``gradchain.select``);
            ``tx`` is a transformation, or a dict of the arguments in which the group differs from
            ``default``.
        default: the transformation of leaves that no rule fits; without it such a leaf is an error.

    Raises:
        ValueError: naming the paths, if no rule fits a leaf and there is no default.
        TypeError: if a rule is not such a pair, or changes a default that is not there.

    Example:
        >>> import gradchain as gc
        >>> rules = [("encoder/*", gc.freeze()), ("*bias", {"weight_decay": 0.0})]
        >>> tx = groups(rules, default=gc.adamw(1e-3))
        >>> head = {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}
        >>> params = {"encoder": {"bias": jnp.ones(2)}, "head": head}
        >>> list(tx.init(params)["groups"])
        ['adamw_2', 'adamw']
    """
    members = _members(rules, default)
    last = None if default is None else list(members)[-1]
    chosen_by = {
        name: where
        for name, (where, _) in zip(
            members,
            rules,
            strict=False,
        )
    }

    def labels_of(tree: Tree) -> Tree:
        labels = tree_map_live(lambda _: last, tree)
        for name, where in reversed(chosen_by.items()):
            choose = lambda _, fits, label, name=name: name if fits else label
            labels = tree_map_live(choose, tree, select(where, tree), labels)
        leaves, treedef = flatten(tree)
        found = enumerate(zip(leaves, flatten_like(treedef, labels), strict=True))
        unlabelled = [i for i, (x, label) in found if x is not None and label is None]
        if unlabelled:
            paths = named_leaves(tree)
            left = [paths[i][0] for i in unlabelled]
            more = f" and {len(left) - 5} more" if len(left) > 5 else ""
            raise ValueError(
                f"groups: no rule fits {quote(left[:5])}{more}; add one, or a default=, such as"
                " freeze()."
            )
        return labels

    return ByLabel(members, labels_of, chosen_by, rest="default")


def _members(
    rules: Sequence[tuple[Where, GradientTransformation | dict[str, Any]]],
    default: GradientTransformation | None,
) -> dict[str, GradientTransformation]:
    """The transformation of each group by name, default last."""
    if not isinstance(rules, list | tuple):
        raise TypeError(
            "groups: rules are a list, in which a rule is a pair (where, transformation) such as"
            f" [('encoder/*', freeze())], not {rules!r}."
        )
    found = [_transformation_of(rule, default) for rule in rules]
    found += [] if default is None else [default]
    named = named_members(reversed(found))  # the default has the plain name
    return dict(reversed(named.items()))


def _transformation_of(
    rule: tuple[Where, GradientTransformation | dict[str, Any]],
    default: GradientTransformation | None,
) -> GradientTransformation:
    """The transformation of a rule, perhaps a changed default."""
    if not (isinstance(rule, tuple | list) and len(rule) == 2):
        raise TypeError(
            "groups: a rule is a pair (where, transformation or dict of changes), not"
            f" {brief(rule)}.{pair_of_a_group(rule)}"
        )
    tx = rule[1]
    if isinstance(tx, dict):
        if default is None:
            raise TypeError(
                f"groups: {rule!r} changes the default, but there is none; give default=..."
            )
        try:
            tx = default.replace(**tx)
        except TypeError as error:
            raise TypeError(f"groups: in the rule {rule!r}: {error}") from None
    return as_transformation(tx, f"groups: the second of the rule {rule!r}")
