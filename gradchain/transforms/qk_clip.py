"""QK-Clip: shrink heads of attention whose logits grow too large."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Fraction, Positive, StaticPositiveInt
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.trees import treewise
from gradchain.core.types import Glob, Numeric, Shape
from gradchain.numerics.roots import power
from gradchain.tree.paths import Leaf, flatten, flatten_like, named_leaves


@transform(roles="final")
def qk_clip(
    threshold: Positive = 100.0,
    balance: Fraction = 0.5,
    query: str = "query",
    key: str = "key",
    queries_per_key: StaticPositiveInt = 1,
) -> Body:
    r"""Shrink queries and keys of heads with large logits.

    .. math::
        \gamma_h = \min\left(1, \frac{\tau}{S_h}\right), \quad W^q_h \leftarrow \gamma_h^{\alpha}
        W^q_h, \quad W^k_h \leftarrow \gamma_h^{1-\alpha} W^k_h

    after each step, where :math:`S_h` is the largest logit of head :math:`h` in the batch. A model
    returns these numbers beside its loss; ``update(..., max_logits={"*/attention": logits})``
    names modules by globs, each with an array ``(heads,)``, or ``(layers, heads)`` if layers are
    stacked. Kernels are ``(inputs, heads, size)`` or ``(inputs, heads * size)``; biases are scaled
    with them. Heads whose logits are not finite stay as they are.

    It is the last member of its chain; wrappers that average weights or skip steps stand around the
    chain. ``hyperball`` and ``on_sphere`` keep the norms of weights, and would undo it in the next
    step. The page on matrix methods shows how to get the logits of ``nnx.MultiHeadAttention``.

    Args:
        threshold: the largest logit :math:`\tau` that passes.
        balance: the share :math:`\alpha` of the queries in the shrinking.
        query: the name of the queries' part within a module.
        key: that of the keys.
        queries_per_key: how many heads of queries share one of keys; it shrinks by the smallest
            factor among them.

    Raises:
        TypeError: if ``update`` is called without ``params`` or ``max_logits``.
        ValueError: if a glob names no queries or keys, or the number of heads does not fit them.

    Source: Kimi Team, "Kimi K2: Open Agentic Intelligence", 2025,
    https://arxiv.org/abs/2507.20534

    Example:
        >>> tx = qk_clip(100.0)
        >>> params = {"attention": {"query": jnp.ones((1, 2, 1)), "key": jnp.ones((1, 2, 1))}}
        >>> grads, logits = jax.tree.map(jnp.zeros_like, params), jnp.array([50.0, 400.0])
        >>> u, _ = tx.update(grads, tx.init(params), params, max_logits={"attention": logits})
        >>> print(u["attention"]["query"].ravel())
        [ 0.  -0.5]
    """

    def factor_of(path, max_logits, dtype):
        for glob, logits in max_logits.items():
            gamma = _shrinking(jnp.asarray(logits).astype(dtype), threshold)
            if _is_part(path, glob, query):
                return power(gamma, balance)
            if _is_part(path, glob, key):
                return power(_least_of_groups(glob, gamma, queries_per_key), 1 - balance)
        return None

    def shrunk(path: str, u: Any, x: Any, max_logits: Mapping[Glob, jax.Array]) -> Leaf:
        if u is None:
            return None
        factor = factor_of(path, max_logits, u.real.dtype)
        if factor is None:
            return u
        factor = _beside(path, factor, u.shape)
        return factor * u - (1 - factor) * x

    def rule(g, p, max_logits):
        paths = [path for path, _ in named_leaves(g)]
        _check_globs(paths, max_logits, (query, key))
        leaves, treedef = flatten(g)
        rows = zip(paths, leaves, flatten_like(treedef, p), strict=True)
        return treedef.unflatten([shrunk(*row, max_logits) for row in rows])

    return treewise(rule)


def _shrinking(logits: jax.Array, threshold: Numeric) -> jax.Array:
    """The factors, at most 1, that bring logits down."""
    is_over = (logits > threshold) & jnp.isfinite(logits)
    return jnp.where(is_over, threshold / jnp.where(is_over, logits, 1.0), 1.0)


def _is_part(path: str, module: Glob, name: str) -> bool:
    own = f"{module}/{name}"
    return fnmatch.fnmatchcase(path, own) or fnmatch.fnmatchcase(path, f"{own}/*")


def _check_globs(paths: list[str], modules: Mapping[Glob, jax.Array], names: tuple) -> None:
    for module in modules:
        for name in names:
            if not any(_is_part(path, module, name) for path in paths):
                raise ValueError(
                    f"qk_clip: max_logits has {module!r}, but no parameter is called"
                    f" '{module}/{name}'; the arguments query= and key= say what these parts of a"
                    " module are called."
                )


def _least_of_groups(module: Glob, gamma: jax.Array, size: int) -> jax.Array:
    """The smallest factor of each group of heads."""
    heads = gamma.shape[-1]
    if heads % size:
        raise ValueError(
            f"qk_clip: max_logits[{module!r}] has {heads} heads, which are not groups of"
            f" queries_per_key={size}."
        )
    return jnp.min(
        gamma.reshape(*gamma.shape[:-1], heads // size, size),
        axis=-1,
    )


def _beside(path: str, factor: jax.Array, shape: Shape) -> jax.Array:
    """Factors ``(layers, heads)`` in a shape that multiplies a leaf."""
    *layers, heads = factor.shape
    depth = len(layers)
    rest = shape[depth:]
    is_bias = path.rpartition("/")[2] == "bias"
    is_apart = len(rest) > (1 if is_bias else 2)
    place = len(shape) - (2 if is_apart else 1)
    fits = rest and shape[:depth] == (*layers,)
    if not fits or (shape[place] != heads if is_apart else shape[place] % heads):
        raise ValueError(
            f"qk_clip: {path!r} of shape {list(shape)} has not the heads of max_logits, of shape"
            f" {list(factor.shape)}."
        )
    wide = (
        factor
        if is_apart
        else jnp.repeat(
            factor,
            shape[place] // heads,
            axis=-1,
        )
    )
    between, after = place - depth, len(shape) - place - 1
    return wide.reshape(
        *layers,
        *(1,) * between,
        shape[place],
        *(1,) * after,
    )
