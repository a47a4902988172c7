"""Groups of parameters: which leaves are trained how, and which are not trained at all."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gradchain.core.by_label import ByLabel
from gradchain.core.errors import quote
from gradchain.core.lift import PerLeaf
from gradchain.core.stage import named_members
from gradchain.core.transformation import GradientTransformation, as_transformation, transform
from gradchain.tree.mapping import tree_map_live
from gradchain.tree.paths import flatten, flatten_like, named_leaves
from gradchain.tree.reductions import Where
from gradchain.tree.selecting import select


@transform
def freeze(where: Any = None) -> Any:
    """Keep leaves as they are: no state, an update of zero, and no part in anything.

    A frozen leaf is a hole for the whole chain in which this stands, and for what is around that:
    no norm counts it, no test for finite numbers looks at it, no member has a state for it. Its
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

    def __init__(self, where: Any):
        super().__init__("element", lambda g: jnp.zeros_like(g), where, {})

    def frozen(self, tree: Any) -> Any:
        """See ``Body``."""
        return select(self.where, tree)


@transform
def groups(
    rules: list[tuple[Where, GradientTransformation | dict]],
    default: GradientTransformation | None = None,
) -> Any:
    """Train groups of parameters in different ways: each leaf goes by the first rule that fits it.

    Each group keeps a state of its own, under the name of its transformation: the one given with
    ``named``, else that of its factory. What looks at all parameters together, a clip by the global
    norm say, stands outside.

    Args:
        rules: pairs ``(where, tx)`` in order. ``where`` is a glob on paths, a compiled regular
            expression, ``f(path, leaf) -> bool``, or a tree of bools (see ``gradchain.select``);
            ``tx`` is a transformation, or a dict of the arguments in which the group differs from
            ``default``.
        default: what the leaves go through that no rule fits; without it such a leaf is an error.

    Raises:
        ValueError: naming the paths, if no rule fits a leaf and there is no default.
        TypeError: if a rule is not such a pair, or changes a default that is not there.

    Example:
        >>> import gradchain as gc
        >>> tx = groups([("encoder/*", gc.freeze()), ("*bias", {"weight_decay": 0.0})], default=gc.adamw(1e-3))
        >>> params = {"encoder": {"bias": jnp.ones(2)}, "head": {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}}
        >>> list(tx.init(params)["groups"])
        ['adamw_2', 'adamw']
    """
    members = _members(rules, default)
    last = None if default is None else list(members)[-1]
    chosen_by = {name: where for name, (where, _) in zip(members, rules, strict=False)}

    def labels_of(tree: Any) -> Any:
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
                f"groups: no rule fits {quote(left[:5])}{more}; add one, or a default=, such as freeze()."
            )
        return labels

    return ByLabel(members, labels_of, chosen_by)


def _members(
    rules: Any, default: GradientTransformation | None
) -> dict[str, GradientTransformation]:
    """The transformation of each group by its name, in the order of the rules; the default comes
    last.
    """
    found = []
    if not isinstance(rules, list | tuple):
        raise TypeError(
            f"groups: rules are a list, in which a rule is a pair (where, transformation), not {rules!r}."
        )
    for rule in rules:
        if not (isinstance(rule, tuple | list) and len(rule) == 2):
            raise TypeError(
                f"groups: a rule is a pair (where, transformation or dict of changes), not {rule!r}."
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
        found.append(as_transformation(tx, f"groups: the second of the rule {rule!r}"))
    found += [] if default is None else [default]
    named = named_members(reversed(found))  # the default has the plain name
    return dict(reversed(named.items()))
