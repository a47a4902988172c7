"""Transformations made of others: on some leaves only, or different ones for different leaves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax

from gradchain.call import selection
from gradchain.checks import quote
from gradchain.core import GradientTransformation, chain, transform
from gradchain.paths import named_leaves
from gradchain.trees import merge, only, select, value_per_leaf


@selection
def ndim_at_least(path: str, leaf: Any, ndim: int) -> bool:
    """Select the leaves with ``ndim`` dimensions or more: with 2, kernels and embeddings but no biases or scales.

    Example:
        >>> ndim_at_least(2)("dense/bias", jax.numpy.zeros(3))
        False
    """
    return jax.numpy.ndim(leaf) >= ndim


@selection
def path_matches(path: str, leaf: Any, pattern: str) -> bool:
    """Select the leaves in whose path (``encoder/layers_3/kernel``) the regular expression ``pattern`` is found.

    Example:
        >>> path_matches("bias|scale$")("norm/scale", None)
        True
    """
    return re.search(pattern, path) is not None


@transform
def masked(inner: GradientTransformation, where: Any, others: GradientTransformation | None = None) -> Any:
    """Apply ``inner`` to the leaves that ``where`` selects, and ``others`` to the rest.

    Args:
        inner: what the selected leaves go through; it sees the others as holes and keeps no state for them.
        where: a glob on paths, ``f(path, leaf) -> bool``, or a tree of bools; see ``gradchain.select``.
        others: what the other leaves go through, by default nothing (``identity()``). Where ``inner`` is a whole
            optimizer this has to be said, because to leave their gradients as they are would be to add them to the
            parameters: ``set_to_zero()`` freezes them.

    Raises:
        ValueError: if ``inner`` has a learning rate and ``others`` is not given.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.masked(gc.sgd(0.1), "*kernel", gc.set_to_zero())
    """
    if others is None and "scale_by_learning_rate" in inner.stages:
        raise ValueError(
            f"masked: {inner!r} is a whole optimizer; the leaves that 'where' leaves out would get their raw gradients"
            " as updates. Say others=set_to_zero() to freeze them, or others=identity() if another member scales them."
        )

    members = {"inner": inner, "others": chain() if others is None else others}
    return _by_label(members, lambda tree: jax.tree.map(lambda x: "inner" if x else "others", select(where, tree)))


@transform
def partition(transforms: dict[str, GradientTransformation], param_labels: Any) -> Any:
    """Apply a transformation of its own to each group of leaves.

    Args:
        transforms: a transformation for each label.
        param_labels: the label of each leaf: ``f(path, leaf) -> str``, or a tree of labels that may be a prefix.

    Raises:
        ValueError: naming the path, if a leaf has a label that ``transforms`` lacks.

    Example:
        >>> import gradchain as gc
        >>> groups = {"weights": gc.adamw(1e-3), "rest": gc.adam(1e-3)}
        >>> tx = gc.partition(groups, lambda path, x: "weights" if x.ndim > 1 else "rest")
    """
    return _by_label(transforms, lambda tree: value_per_leaf(param_labels, tree, "partition: the tree of labels"))


def _by_label(members: dict[str, GradientTransformation], labels_of: Callable) -> tuple[Callable, Callable]:
    """An ``(init, update)`` pair in which each member sees just the leaves of its label."""

    def masks(tree: Any) -> dict[str, Any]:
        labels = labels_of(tree)
        for path, label in named_leaves(labels):
            if label is not None and label not in members:
                raise ValueError(f"{path!r} has the label {label!r}, but transforms has only {quote(members)}.")
        return {name: jax.tree.map(lambda label, name=name: label == name, labels) for name in members}

    def init(params: Any) -> dict:
        states = {name: members[name].init(only(mask, params)) for name, mask in masks(params).items()}
        return {name: state for name, state in states.items() if state}

    def update(updates: Any, state: dict, params: Any = None, **extra: Any) -> tuple[Any, dict]:
        new_state = {}
        for name, mask in masks(updates if params is None else params).items():
            own = None if params is None else only(mask, params)
            new, new_state[name] = members[name].update(only(mask, updates), state.get(name, {}), own, **extra)
            updates = merge(mask, new, updates)
        return updates, {name: new for name, new in new_state.items() if new}

    return init, update
