"""Transformations made of others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from gradchain.as_optax.adapters import accept_any_extra, where_of
from gradchain.as_optax.base import MaskOrFn
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.shown import shown_as
from gradchain.core.partition import masked as native_masked, partition as native_partition
from gradchain.core.transformation import (
    GradientTransformation,
    as_transformation,
    chain as native_chain,
)
from gradchain.core.types import Pair as AnyPair, Params, Tree
from gradchain.transforms.scaling import identity
from gradchain.tree.selecting import OfTree
from gradchain.wrappers.groups import freeze as freeze_leaves


def chain(*args: GradientTransformation | AnyPair) -> GradientTransformationExtraArgs:
    """Transformations in order; ``update`` takes any extra argument."""
    return accept_any_extra(native_chain(*args))


def named_chain(*args: tuple[str, Any]) -> GradientTransformationExtraArgs:
    """Transformations in order, each with a name.

    The name is that of its entry in the state.
    """
    made = [(name, as_transformation(tx, f"named_chain: {name!r}")) for name, tx in args]
    return chain(*(tx.named(name) for name, tx in made))


def masked(
    inner: GradientTransformation | AnyPair,
    mask: MaskOrFn,
    *,
    mask_compatible_extra_args: bool = False,
) -> GradientTransformationExtraArgs:
    """``inner`` where a mask is true; other updates pass unchanged."""
    _refuse_masked_extra_args(mask_compatible_extra_args)
    return accept_any_extra(native_masked(inner, where_of(mask), identity()))


@dataclass(frozen=True)
class _Labels(OfTree):
    """Labels of any type, kept as text."""

    def __call__(self, tree: Tree) -> Any:
        labels = self.function(tree) if callable(self.function) else self.function
        return jax.tree.map(str, labels)


def partition(
    transforms: Mapping[Any, GradientTransformation | AnyPair],
    param_labels: Callable[[Params], Tree] | Tree,
    *,
    mask_compatible_extra_args: bool = False,
) -> GradientTransformationExtraArgs:
    """A transformation for each label.

    Labels are a tree, or a function of the parameters that returns one.
    """
    _refuse_masked_extra_args(mask_compatible_extra_args)
    by_text = {str(label): tx for label, tx in transforms.items()}
    if len(by_text) < len(transforms):
        found = list(transforms)
        raise ValueError(f"partition: labels that read the same, among {found!r}.")
    is_function = callable(param_labels)
    labels = _Labels(param_labels) if is_function else jax.tree.map(str, param_labels)
    made = native_partition(by_text, labels)
    return accept_any_extra(shown_as(made, "labels", tuple(transforms)))


multi_transform = partition


def _refuse_masked_extra_args(wanted: bool) -> None:
    if wanted:
        raise NotImplementedError(
            "mask_compatible_extra_args: extra arguments are passed on whole, never masked."
        )


def freeze(mask: MaskOrFn) -> GradientTransformationExtraArgs:
    """Zero updates where a mask is true; others pass unchanged."""
    return accept_any_extra(shown_as(freeze_leaves(where_of(mask)), "masked"))


def selective_transform(
    optimizer: GradientTransformation | AnyPair, *, freeze_mask: MaskOrFn
) -> GradientTransformationExtraArgs:
    """An optimizer where a mask is false, zeros elsewhere."""

    def labels(mask: Tree) -> Tree:
        return jax.tree.map(lambda frozen: "freeze" if frozen else "train", mask)

    wanted = where_of(freeze_mask)
    chosen = labels(wanted)
    if isinstance(wanted, OfTree):
        chosen = _Labels(lambda tree: labels(wanted(tree)))
    return accept_any_extra(
        native_partition({"train": optimizer, "freeze": freeze_leaves()}, chosen)
    )
