"""Transformations on some leaves only, or different ones by leaf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from gradchain.core.by_label import ByLabel
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, transform
from gradchain.core.types import Pair, Tree, Where
from gradchain.core.walk import is_optimizer
from gradchain.tree.selecting import select, value_per_leaf


@transform
def masked(
    inner: GradientTransformation | Pair,
    where: Where,
    others: GradientTransformation | Pair | None = None,
) -> Body:
    """Apply ``inner`` to some leaves, and ``others`` to the rest.

    Args:
        inner: the transformation of the selected leaves; it sees the others as holes and keeps no
            state for them.
        where: a glob on paths, ``f(path, leaf) -> bool``, or a tree of bools; see
            ``gradchain.select``.
        others: the transformation of the other leaves, by default none (``identity()``). Where
            ``inner`` is a whole optimizer this has to be said, because to leave their gradients as
            they are would be to add them to the parameters: ``freeze()`` freezes them.

    Raises:
        ValueError: if ``inner`` has a learning rate and ``others`` is not given.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.masked(gc.sgd(0.1), "*kernel", gc.freeze())
    """
    if others is None and is_optimizer(inner):
        raise ValueError(
            f"masked: {inner!r} is a whole optimizer; the leaves that 'where' leaves"
            " out would get their raw gradients as updates. Say others=freeze() to"
            " freeze them, or others=identity() if another member scales them."
        )

    members = {"inner": inner, "others": chain() if others is None else others}
    label = lambda is_selected: "inner" if is_selected else "others"
    labels_of = lambda tree: jax.tree.map(label, select(where, tree))
    return ByLabel(members, labels_of, {"inner": where}, rest="the others")


@transform(roles="alternatives")
def partition(
    transforms: Mapping[str, GradientTransformation | Pair],
    param_labels: Callable[[str, Any], str] | Tree,
) -> Body:
    """Apply a different transformation to each group of leaves.

    Args:
        transforms: a transformation for each label.
        param_labels: the label of each leaf: ``f(path, leaf) -> str``, or a tree of labels that may
            be a prefix.

    Raises:
        ValueError: naming the path, if a leaf has a label that ``transforms`` lacks.
        TypeError: if ``transforms`` is not a dict, or a label not a string.

    Example:
        >>> import gradchain as gc
        >>> groups = {"weights": gc.adamw(1e-3), "rest": gc.adam(1e-3)}
        >>> tx = gc.partition(groups, lambda path, x: "weights" if x.ndim > 1 else "rest")
    """
    is_dict = isinstance(transforms, dict)
    if not is_dict or not all(isinstance(label, str) for label in transforms):
        raise TypeError(
            "partition: transforms are a dict of transformations by label, a string,"
            f" not {transforms!r}."
        )
    name = "partition: the tree of labels"
    return ByLabel(transforms, lambda tree: value_per_leaf(param_labels, tree, name))
