"""The gradient noise scale: how large a batch pays."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradchain.core.errors import shape_dtype
from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import PositiveInt
from gradchain.core.types import Tree
from gradchain.tree.mapping import map_leaves, upcast
from gradchain.tree.norms import dot
from gradchain.tree.paths import named_leaves


class NoiseScale(NamedTuple):
    r"""Estimates of a gradient's length and noise, and their ratio.

    Both are without bias, the ratio of two is not: that of one step is mostly noise where the
    batch is far smaller than the scale, and may be negative. Take the means over steps first.

    Attributes:
        squared_norm: :math:`|G|^2`, of the gradient of the expected loss.
        variance: :math:`\mathrm{tr}\,\Sigma`, of the gradient of one example.

    Example:
        >>> steps = NoiseScale(squared_norm=jnp.array([1.0, 3.0]), variance=jnp.array([9.0, 7.0]))
        >>> print(jax.tree.map(jnp.mean, steps).scale)
        4.0
    """

    squared_norm: jax.Array
    variance: jax.Array

    @property
    def scale(self) -> jax.Array:
        r""":math:`\mathrm{tr}\,\Sigma / |G|^2`, as a number of examples."""
        return self.variance / self.squared_norm


@checks_numbers
def gradient_noise_scale(gradients: Tree, batch_size: PositiveInt = 1) -> NoiseScale:
    r"""Estimate the gradient noise scale from several gradients.

    .. math::
        B_\text{simple} = \frac{\mathrm{tr}\,\Sigma}{|G|^2}, \qquad
        \mathrm{tr}\,\Sigma \approx \frac{|G_b|^2 - |G_{nb}|^2}{1 / b - 1 / (n b)}, \qquad
        |G|^2 \approx \frac{n b |G_{nb}|^2 - b |G_b|^2}{n b - b}

    where :math:`|G_b|^2` is the mean of the squared norms of :math:`n` gradients, each the mean
    over :math:`b` examples, and :math:`|G_{nb}|^2` the squared norm of the mean of them all. Far
    below the scale, twice the batch halves the steps and costs no more examples; far above it, a
    larger batch saves no step.

    Args:
        gradients: at least two gradients at the same parameters and of examples that are drawn
            independently, stacked along a first dimension of each leaf: those of single examples,
            ``jax.vmap(jax.grad(loss), (None, 0, 0))(params, x, y)``, of micro-batches or of
            devices.
        batch_size: the number :math:`b` of examples of which each is the mean.

    Returns:
        A ``NoiseScale``: estimates of both without bias, and their ratio as ``scale``.

    Raises:
        ValueError: if leaves hold fewer than two gradients, or not all as many.

    Source: McCandlish, Kaplan & Amodei, "An Empirical Model of Large-Batch Training", 2018,
    appendix A, https://arxiv.org/abs/1812.06162

    Example:
        >>> noise = jax.random.normal(jax.random.key(0), (10_000, 2))
        >>> found = gradient_noise_scale({"w": 1.0 + 3.0 * noise})
        >>> print(f"{found.variance:.0f} / {found.squared_norm:.0f} = {found.scale:.0f}")
        18 / 2 = 9
    """
    n = _number_of(gradients)
    wide = upcast(gradients)
    mean = map_leaves(lambda g: jnp.mean(g, axis=0, keepdims=True), wide)
    # As in the formula, but nothing cancels where the noise is small.
    noise = map_leaves(lambda g, m: g - m, wide, mean)
    spread = dot(noise, noise) / (n - 1)
    return NoiseScale(dot(mean, mean) - spread / n, batch_size * spread)


def _number_of(gradients: Tree) -> int:
    """How many gradients are stacked in each leaf."""
    leaves = [(path, x) for path, x in named_leaves(gradients) if x is not None]
    numbers = {jnp.shape(x)[0] if jnp.ndim(x) else 0 for _, x in leaves}
    if len(numbers) != 1 or min(numbers) < 2:
        found = ", ".join(f"{path or 'the whole'} {shape_dtype(x)}" for path, x in leaves[:5])
        raise ValueError(
            "gradient_noise_scale: each leaf must hold two or more gradients along its first"
            f" dimension, all leaves as many, but there are {found or 'none'}. Those of single"
            " examples: jax.vmap(jax.grad(loss), (None, 0, 0))(params, x, y)."
        )
    return numbers.pop()
