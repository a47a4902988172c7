"""Sums and means of per-example gradients, clipped and with noise.

Gradients come in with a leading dimension of examples, and come out without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.columns import Columns
from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import Limit, NonNegative
from gradchain.core.stage import Body, Stage
from gradchain.core.transformation import transform
from gradchain.core.trees import PerTree
from gradchain.core.types import Number, Params, Tree, Updates
from gradchain.numerics.arithmetic import abs2, cast, compute_dtype, real_dtype
from gradchain.numerics.lengths import Factor, root_of_squares, scaled, shortening
from gradchain.numerics.reductions import split_axes, varying_axes
from gradchain.tree.mapping import map_leaves, tree_map_live
from gradchain.tree.paths import flatten, flatten_like, named_leaves
from gradchain.tree.random import normal_like, step_key


def stacked(rule: Callable[..., Tree]) -> Body:
    """Lift a rule that reduces a leading dimension.

    The rule sees a tree whose leaves have one dimension more than the parameters, and returns one
    like the parameters. Arguments as for ``treewise``; without slots. It has to be the first member
    of a chain.
    """
    return Stacked("tree", rule, None, {})


class Stacked(PerTree):
    """A rule that reduces a leading dimension of the updates."""

    reduces_examples = True

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: dict[str, Any],
    ) -> tuple[Columns, list[Any]]:
        """See ``Body``."""
        (stage,) = stages
        check_stack(stage.name, columns.updates, columns.params)
        dtype = compute_dtype(*(x.dtype for x in columns.g if x is not None))
        up = lambda x: x.astype(compute_dtype(x.dtype, real_dtype(dtype)))
        g = jax.tree.map(up, columns.updates)
        body = stage.in_precision_of(dtype)
        made, _ = body.call(stage, dtype, extra, g=g, s={}, p=columns.params)
        return columns.with_updates(made), [{}]


def check_stack(name: str, tree: Tree, params: Params | None = None) -> None:
    """Check that all leaves have the same leading dimension.

    Beside it they must have the shapes of ``params``, if those are given. ``name`` begins the
    message.
    """
    leaves, treedef = flatten(tree)
    length = next((x.shape[:1] for x in leaves if x is not None), ())
    pairs = zip(leaves, flatten_like(treedef, params), strict=True)
    for i, (x, p) in enumerate(pairs):
        if x is None:
            continue
        beside = x.shape[1:] if p is None else jnp.shape(p)
        if length and x.shape == length + beside:
            continue
        of_param = "" if p is None else f" beside the shape {list(beside)} of its parameter"
        raise ValueError(
            f"{name}: {named_leaves(tree)[i][0]!r} has a gradient of shape"
            f" {list(x.shape)}, but each needs the same leading dimension{of_param}:"
            " one gradient per example, as jax.vmap(jax.grad(loss), (None, 0)) makes."
        )


@checks_numbers
def per_example_global_norm_clip(
    grads: Updates, l2_norm_clip: Annotated[Number, "[0, inf]"]
) -> tuple[Updates, jax.Array]:
    r"""Sum of per-example gradients, each clipped by its global norm.

    .. math::
        \sum_i g_i \min(1, C / \lVert g_i \rVert)

    Args:
        grads: tree of gradients whose leading dimension counts the examples. Inside ``shard_map``
            that may be split.
        l2_norm_clip: the largest norm :math:`C` of an example's gradient.

    Returns:
        The sum, and how many examples were clipped.

    Raises:
        ValueError: naming the path, if the leaves have not the same leading dimension.

    Source: Abadi et al., "Deep Learning with Differential Privacy", 2016,
    https://arxiv.org/abs/1607.00133

    Example:
        >>> grads = {"w": jnp.array([[3.0, 4.0], [0.0, 0.5]])}
        >>> clipped, count = per_example_global_norm_clip(grads, 1.0)
        >>> print(clipped["w"], count)
        [0.6 1.3] 1
    """
    check_stack("per_example_global_norm_clip", grads)
    return clip_together(grads, None, l2_norm_clip)


@checks_numbers
def per_example_layer_norm_clip(
    grads: Updates,
    global_l2_norm_clip: Annotated[Number, "[0, inf]"],
    uniform: bool = True,
) -> tuple[Updates, Tree]:
    r"""Sum of per-example gradients, each clipped leaf by leaf.

    Each of :math:`K` leaves may have the norm :math:`C / \sqrt K`, or :math:`C \sqrt{D_k / D}` if
    it has :math:`D_k` of the :math:`D` elements, so that the norm of all together is at most
    :math:`C`.

    Args:
        grads: see ``per_example_global_norm_clip``.
        global_l2_norm_clip: the largest norm :math:`C` of an example's gradient.
        uniform: whether each leaf has the same share; else by its size.

    Returns:
        The sum, and the tree of how many examples were clipped.

    Raises:
        ValueError: naming the path, if the leaves have not the same leading dimension.

    Source: McMahan et al., "Learning Differentially Private Recurrent Language Models", 2018,
    https://arxiv.org/abs/1710.06963

    Example:
        >>> grads = {"w": jnp.array([[3.0, 4.0], [0.0, 0.5]])}
        >>> clipped, count = per_example_layer_norm_clip(grads, 1.0)
        >>> print(clipped["w"], count["w"])
        [0.6 1.3] 1
    """
    check_stack("per_example_layer_norm_clip", grads)
    return _clip_apart(grads, None, global_l2_norm_clip, uniform)


def clip_together(
    grads: Updates, params: Params | None, limit: float | jax.Array
) -> tuple[Updates, jax.Array]:
    """Sum the gradients of examples, each clipped by its norm."""
    leaves, treedef = flatten(grads)
    columns = zip(leaves, flatten_like(treedef, params), strict=True)
    pairs = [(x, p) for x, p in columns if x is not None]
    if not pairs:
        return grads, jnp.zeros((), jnp.int32)
    squares = lambda by: sum(_squares(x, p, by) for x, p in pairs)
    lengths = root_of_squares(squares).with_constant_unit
    factor = shortening(lengths, limit)
    clipped = tree_map_live(lambda x, p: _weighted_sum(factor, x, p), grads, params)
    x, p = pairs[0]
    is_clipped = lengths.number > limit
    return clipped, _over_examples(jnp.sum(is_clipped, dtype=jnp.int32), x, p)


def _clip_apart(
    grads: Updates, params: Params | None, limit: float | jax.Array, uniform: bool
) -> tuple[Updates, Tree]:
    """Sum the gradients of examples, each clipped leaf by leaf."""
    leaves, treedef = flatten(grads)
    part_of = lambda x: 1 if uniform else math.prod(x.shape[1:])
    parts = [0 if x is None else part_of(x) for x in leaves]
    whole = max(sum(parts), 1)

    def clip(x, p, part):
        if x is None:
            return None, None
        return clip_together(x, p, limit * math.sqrt(part / whole))

    columns = zip(leaves, flatten_like(treedef, params), parts, strict=True)
    made = [clip(*row) for row in columns]
    sums, counts = zip(*made, strict=True) if made else ((), ())
    return treedef.unflatten(sums), treedef.unflatten(counts)


def _squares(x: jax.Array, p: jax.Array | None, by: jax.Array | None) -> jax.Array:
    """The squared norms of examples' scaled gradients."""
    x = cast(x, compute_dtype(x.dtype))
    if by is not None:
        x = scaled(x, _spread(by, x).real)
    squares = jnp.sum(abs2(x), tuple(range(1, x.ndim)))
    axes = () if p is None else tuple(sorted(split_axes(p)))
    return lax.psum(squares, axes) if axes else squares


def _weighted_sum(weights: Factor, x: jax.Array, p: jax.Array | None) -> jax.Array:
    spread = Factor(_spread(weights.shrinking, x), _spread(weights.ratio, x))
    made = jnp.sum(spread.times(cast(x, compute_dtype(x.dtype))), axis=0)
    return _over_examples(cast(made, x.dtype), x, p)


def _spread(weights: jax.Array, x: jax.Array) -> jax.Array:
    """A number for each example, broadcast to a leaf."""
    return weights.reshape(-1, *[1] * (x.ndim - 1)).astype(compute_dtype(x.dtype))


def _example_axes(x: jax.Array, p: jax.Array | None) -> tuple[str, ...]:
    """The mesh axes over which the examples are split.

    They are the axes of the gradient that its parameter does not have.
    """
    own = frozenset() if p is None else varying_axes(p)
    return tuple(sorted(varying_axes(x) - own))


def _over_examples(
    partial: jax.Array,
    x: jax.Array,
    p: jax.Array | None,
) -> jax.Array:
    axes = _example_axes(x, p)
    return lax.psum(partial, axes) if axes else partial


def over_number_of_examples(summed: Tree, grads: Updates, params: Params | None) -> Tree:
    """A sum over examples through their number, on all shards."""
    x, p = (next(iter(jax.tree.leaves(tree)), None) for tree in (grads, params))
    if x is None:
        return summed
    split = math.prod(lax.axis_size(axis) for axis in _example_axes(x, p))
    return tree_map_live(lambda total: total / max(len(x) * split, 1), summed)


@transform
def differentially_private_aggregate(
    l2_norm_clip: Limit, noise_multiplier: NonNegative, seed: int = 0, layerwise: bool = False
) -> Body:
    r"""Mean of clipped per-example gradients with noise for privacy (DP-SGD).

    The noise hides the gradient of any single example.

    .. math::
        u = \frac1B \left( \sum_{i=1}^B g_i \min(1, C / \lVert g_i \rVert) + \sigma C\, n \right),
        \quad n \sim N(0, 1)

    The first member of a chain: gradients come in with a leading dimension of examples, as
    ``jax.vmap(jax.grad(loss), (None, 0))`` makes them, and come out without it. The noise of a step
    depends on the seed, the step and the path of a leaf alone; ``update(..., key=key)`` draws from
    a key of your own instead, which for privacy in earnest has to be secret. The privacy guarantee
    depends on how examples are drawn, and is not computed here.

    Args:
        l2_norm_clip: the largest norm :math:`C` of an example's gradient; infinite for no bound.
        noise_multiplier: the standard deviation :math:`\sigma` of the noise, in units of :math:`C`.
        seed: chooses the noise.
        layerwise: whether to clip leaf by leaf, as ``per_example_layer_norm_clip``.

    Raises:
        ValueError: naming the path, if a gradient has no leading dimension of examples.

    Source: Abadi et al., "Deep Learning with Differential Privacy", 2016,
    https://arxiv.org/abs/1607.00133

    Example:
        >>> tx, params = differentially_private_aggregate(1.0, 0.0), jnp.zeros(2)
        >>> print(tx.update(jnp.array([[3.0, 4.0], [0.4, 0.0]]), tx.init(params), params)[0])
        [0.5 0.4]
    """

    def rule(g, t, count, p=None, key=None):
        if not jax.tree.leaves(g):
            return g
        if layerwise:
            clipped, _ = _clip_apart(g, p, l2_norm_clip, True)
        else:
            clipped, _ = clip_together(g, p, l2_norm_clip)
        # An infinite bound becomes a finite number, so that a multiplier of 0 makes no noise.
        bound = jnp.minimum(l2_norm_clip, jnp.finfo(t.dtype).max)
        noise = normal_like(step_key(seed, count, key), clipped)
        noisy = map_leaves(lambda x, n: x + noise_multiplier * bound * n, clipped, noise)
        return over_number_of_examples(noisy, g, p)

    return stacked(rule)
