"""Learning rates per leaf: multipliers by path and by depth."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import jax

from gradchain.core.ranges import Finite, NonNegative
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.trees import treewise
from gradchain.core.types import Glob, Numeric, Tree
from gradchain.numerics.arithmetic import real_dtype
from gradchain.tree.paths import named_leaves
from gradchain.tree.selecting import path_test, value_per_leaf


@transform
def scale_by_path(
    factors: dict[Glob, Annotated[Numeric, "(-inf, inf)"]],
    default: Finite = 1.0,
) -> Body:
    """Multiply each leaf by the factor of its path.

    Args:
        factors: from a glob on paths such as ``"*/kernel"`` to a number; ``*`` crosses ``/``. If
            several globs match, the longest counts.
        default: the factor of leaves that match none.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_path({"head/*": 10.0})
        >>> g = {"body": {"kernel": jnp.ones(1)}, "head": {"kernel": jnp.ones(1)}}
        >>> updates, _ = tx.update(g, tx.init(g))
        >>> print(updates["body"]["kernel"], updates["head"]["kernel"])
        [1.] [10.]
    """
    factor = lambda path, _: _of_longest(factors, path, default)
    return _each_by(lambda tree: value_per_leaf(factor, tree, "scale_by_path"))


def _of_longest(choices: dict[str, Any], path: str, default: Any) -> Any:
    """The choice of the longest glob that matches."""
    # The first one would depend on the order, which a dict loses on its way through ``jit``.
    matching = [glob for glob in choices if path_test(glob)(path)]
    return choices[max(matching, key=len)] if matching else default


@transform
def layerwise_decay(
    decay: NonNegative,
    depth: Callable[[str], int | None] | dict[Glob, int] | None = None,
    last: int | None = None,
) -> Body:
    r"""Multiply each leaf by :math:`\gamma^{D - d}`, where :math:`d` is its depth.

    The deepest layer, of depth :math:`D`, has the whole learning rate, and each one before it less.
    It stands anywhere after an adaptive direction.

    Args:
        decay: the factor :math:`\gamma` from one layer to the one before, for example 0.8.
        depth: the depth of a leaf: ``f(path) -> int | None``, or a dict from globs on paths to
            depths, for those that the default gets wrong; the default is the first number of the
            path, 3 for ``encoder/layers_3/kernel``. A leaf without a depth has the factor 1: where
            the embeddings come before layer 0, give ``{"*embed*": -1}``.
        last: the depth :math:`D`, by default the largest that is found.

    Source: Clark et al., "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
    Generators", 2020, https://arxiv.org/abs/2003.10555

    Example:
        >>> import jax.numpy as jnp
        >>> tx = layerwise_decay(0.5)
        >>> g = {"layers_0": jnp.ones(1), "layers_1": jnp.ones(1), "head": jnp.ones(1)}
        >>> updates, _ = tx.update(g, tx.init(g))
        >>> print(updates["layers_0"], updates["layers_1"], updates["head"])
        [0.5] [1.] [1.]
    """

    def depth_of(path: str) -> int | None:
        if callable(depth):
            return depth(path)
        found = re.search(r"\d+", path)
        first_number = None if found is None else int(found.group())
        return _of_longest(depth or {}, path, first_number)

    def factors(tree: Tree) -> Tree:
        paths = [path for path, x in named_leaves(tree) if x is not None]
        depths = {path: depth_of(path) for path in paths}
        known = [d for d in depths.values() if d is not None]
        deepest = max(known, default=0) if last is None else last
        below = {path: 0 if d is None else deepest - d for path, d in depths.items()}
        powers = {n: decay**n if n else 1.0 for n in set(below.values())}
        factor = lambda path, _: powers[below[path]]
        return value_per_leaf(factor, tree, "layerwise_decay")

    return _each_by(factors)


def _each_by(factors_of: Callable[[Tree], Tree]) -> Body:
    """Each leaf times its number in the tree ``factors_of(updates)``."""

    def scaled(x: jax.Array, factor: Numeric) -> jax.Array:
        if isinstance(factor, jax.Array):
            factor = factor.astype(real_dtype(x.dtype))
        return x * factor

    body = treewise(lambda g: jax.tree.map(scaled, g, factors_of(g)))
    body.locality = "element"  # the factors depend on paths, not on other elements
    return body
