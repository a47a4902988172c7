"""Gradients of single examples: a leading dimension counts them, and what comes out has it no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.call import Hyper
from gradchain.core.lift import PerTree
from gradchain.core.stage import Body, Stage
from gradchain.core.transformation import transform
from gradchain.numerics.arithmetic import abs2, compute_dtype, real_dtype, shrink
from gradchain.numerics.reductions import varying_axes
from gradchain.tree.mapping import map_leaves, tree_map_live
from gradchain.tree.paths import flatten, flatten_like, named_leaves
from gradchain.tree.random import normal_like, step_key


def stacked(rule: Callable) -> Body:
    """Lift a rule on a tree whose leaves have a leading dimension more than the parameters, and
    that takes it away.

    Arguments as for ``treewise``; without slots. It has to be the first member of a chain.
    """
    return Stacked("tree", rule, None, {})


class Stacked(PerTree):
    """A rule that takes away a leading dimension."""

    reduces_examples = True

    @classmethod
    def run(
        cls, stages: list[Stage], updates: Any, states: list, params: Any, extra: dict
    ) -> tuple[Any, list]:
        """See ``Body``."""
        (stage,) = stages
        check_stack(stage.name, updates, params)
        dtype = compute_dtype(*(x.dtype for x in jax.tree.leaves(updates)))
        up = lambda x: x.astype(compute_dtype(x.dtype, real_dtype(dtype)))
        made, _ = stage.in_precision_of(dtype).call(
            stage, dtype, extra, g=jax.tree.map(up, updates), s={}, p=params
        )
        return made, [{}]


def check_stack(what: str, tree: Any, params: Any = None) -> None:
    """All leaves have the same leading dimension, and beside it the shapes of ``params`` if there
    are any.
    """
    leaves, treedef = flatten(tree)
    length = next((x.shape[:1] for x in leaves if x is not None), ())
    for i, (x, p) in enumerate(zip(leaves, flatten_like(treedef, params), strict=True)):
        if x is None or (
            length and x.shape == length + (x.shape[1:] if p is None else jnp.shape(p))
        ):
            continue
        beside = "" if p is None else f" beside the shape {list(jnp.shape(p))} of its parameter"
        raise ValueError(
            f"{what}: {named_leaves(tree)[i][0]!r} has a gradient of shape {list(x.shape)}, but each needs the same"
            f" leading dimension{beside}: one gradient per example, as jax.vmap(jax.grad(loss), (None, 0)) makes."
        )


def per_example_global_norm_clip(grads: Any, l2_norm_clip: Any) -> tuple[Any, jax.Array]:
    r"""Clip the gradient of each example to a norm, over all leaves together, and add them up.

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
        >>> clipped, count = per_example_global_norm_clip({"w": jnp.array([[3.0, 4.0], [0.0, 0.5]])}, 1.0)
        >>> print(clipped["w"], count)
        [0.6 1.3] 1
    """
    check_stack("per_example_global_norm_clip", grads)
    return _clip_together(grads, None, l2_norm_clip)


def per_example_layer_norm_clip(
    grads: Any, global_l2_norm_clip: Any, uniform: bool = True
) -> tuple[Any, Any]:
    r"""Clip the gradient of each example to a norm, leaf by leaf, and add them up.

    Each of :math:`K` leaves may have the norm :math:`C / \sqrt K`, or :math:`C \sqrt{D_k / D}` if
    it has :math:`D_k` of the :math:`D` numbers; so that all together have :math:`C` at most.

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
        >>> clipped, count = per_example_layer_norm_clip({"w": jnp.array([[3.0, 4.0], [0.0, 0.5]])}, 1.0)
        >>> print(clipped["w"], count["w"])
        [0.6 1.3] 1
    """
    check_stack("per_example_layer_norm_clip", grads)
    return _clip_apart(grads, None, global_l2_norm_clip, uniform)


def _clip_together(grads: Any, params: Any, limit: Any) -> tuple[Any, jax.Array]:
    leaves, treedef = flatten(grads)
    pairs = [
        (x, p) for x, p in zip(leaves, flatten_like(treedef, params), strict=True) if x is not None
    ]
    if not pairs:
        return grads, jnp.zeros((), jnp.int32)
    lengths = jnp.sqrt(sum(_squares(x, p) for x, p in pairs))
    clipped = tree_map_live(lambda x, p: _weighted_sum(shrink(lengths, limit), x, p), grads, params)
    x, p = pairs[0]
    return clipped, _over_examples(jnp.sum(lengths > limit, dtype=jnp.int32), x, p)


def _clip_apart(grads: Any, params: Any, limit: Any, uniform: bool) -> tuple[Any, Any]:
    leaves, treedef = flatten(grads)
    sizes = [0 if x is None else math.prod(x.shape[1:]) for x in leaves]
    parts = [1 if uniform else size for size in sizes]
    whole = sum(part for part, x in zip(parts, leaves, strict=True) if x is not None)
    columns = zip(leaves, flatten_like(treedef, params), parts, strict=True)
    share = lambda part: limit * math.sqrt(part / max(whole, 1))
    pairs = [
        (None, None) if x is None else _clip_together(x, p, share(part)) for x, p, part in columns
    ]
    return treedef.unflatten([a for a, _ in pairs]), treedef.unflatten([b for _, b in pairs])


def _squares(x: jax.Array, p: Any) -> jax.Array:
    """The squared norm of each example's part of a leaf."""
    squares = jnp.sum(abs2(x), tuple(range(1, x.ndim)))
    axes = () if p is None else tuple(sorted(varying_axes(p)))
    return lax.psum(squares, axes) if axes else squares


def _weighted_sum(weights: jax.Array, x: jax.Array, p: Any) -> jax.Array:
    spread = weights.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
    return _over_examples(jnp.sum(spread * x, axis=0), x, p)


def _example_axes(x: jax.Array, p: Any) -> tuple[str, ...]:
    """The mesh axes over which the examples are split: those of the gradient that are not of its
    parameter.
    """
    return tuple(sorted(varying_axes(x) - (frozenset() if p is None else varying_axes(p))))


def _over_examples(partial: jax.Array, x: jax.Array, p: Any) -> jax.Array:
    axes = _example_axes(x, p)
    return lax.psum(partial, axes) if axes else partial


@transform
def differentially_private_aggregate(
    l2_norm_clip: Hyper, noise_multiplier: Hyper, seed: int = 0, layerwise: bool = False
) -> Any:
    r"""The mean of the gradients of single examples, each clipped, with noise that hides any one of
    them.

    .. math::
        u = \frac1B \left( \sum_{i=1}^B g_i \min(1, C / \lVert g_i \rVert) + \sigma C\, n \right),
        \quad n \sim N(0, 1)

    The first member of a chain: gradients come in with a leading dimension of examples, as
    ``jax.vmap(jax.grad(loss), (None, 0))`` makes them, and go on without. The noise of a step
    depends on the seed, the step and the path of a leaf alone; ``update(..., key=key)`` draws from
    a key of your own instead, which for privacy in earnest has to be secret. What privacy it gives
    depends on how examples are drawn: that is not computed here.

    Args:
        l2_norm_clip: the largest norm :math:`C` of an example's gradient.
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

    def rule(g, t, p=None, key=None):
        leaves, params = jax.tree.leaves(g), jax.tree.leaves(p)
        if not leaves:
            return g
        clipped, _ = (
            _clip_apart(g, p, l2_norm_clip, True)
            if layerwise
            else _clip_together(g, p, l2_norm_clip)
        )
        axes = _example_axes(leaves[0], params[0] if params else None)
        count = len(leaves[0]) * math.prod(lax.axis_size(axis) for axis in axes)
        deviation = noise_multiplier * jnp.minimum(
            l2_norm_clip, jnp.finfo(t.dtype).max
        )  # 0 for no noise, no bound
        mean = lambda x, noise: (x + deviation * noise) / max(count, 1)
        return map_leaves(mean, clipped, normal_like(step_key(seed, t, key), clipped))

    return stacked(rule)
