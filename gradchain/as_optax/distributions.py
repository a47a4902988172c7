"""Normal distributions by their logarithms of scales."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gradchain.core.types import Numeric


class MultiNormalDiagFromLogScale:
    """Independent normal numbers, as a distribution.

    Args:
        loc: the means.
        log_scale: the logarithms of the standard deviations, which broadcast with the means.

    Raises:
        ValueError: if they do not.
    """

    def __init__(self, loc: Numeric, log_scale: Numeric):
        dtype = jnp.promote_types(jnp.result_type(loc), jnp.result_type(log_scale))
        if not jnp.issubdtype(dtype, jnp.floating):
            dtype = jnp.result_type(float)
        self._mean = jnp.asarray(loc, dtype)
        self._log_scale = jnp.asarray(log_scale, dtype)
        self._shape = jnp.broadcast_shapes(self._mean.shape, self._log_scale.shape)

    def sample(self, shape: Sequence[int], key: jax.Array) -> jax.Array:
        """Samples in a shape, with slopes."""
        whole = (*shape, *self._shape)
        drawn = jax.random.normal(key, whole, self._mean.dtype)
        mean, log_scale = self._params_in(whole)
        return drawn * jnp.exp(log_scale) + mean

    def log_prob(self, x: jax.Array) -> jax.Array:
        """The logarithm of the density of each sample."""
        mean, log_scale = self._params_in(jnp.broadcast_shapes(jnp.shape(x), self._shape))
        z = (x - mean) * jnp.exp(-log_scale)
        each = -jnp.square(z) / 2 - log_scale - math.log(2 * math.pi) / 2
        return jnp.sum(each, axis=tuple(range(-len(self._shape), 0)))

    def _params_in(self, shape: Sequence[int]) -> list[jax.Array]:
        return [jnp.broadcast_to(x, shape) for x in self.params]

    @property
    def log_scale(self) -> jax.Array:
        """The logarithms of the standard deviations."""
        return self._log_scale

    @property
    def params(self) -> list[jax.Array]:
        """Both arguments, to differentiate by."""
        return [self._mean, self._log_scale]


def multi_normal(loc: Numeric, log_scale: Numeric) -> MultiNormalDiagFromLogScale:
    r"""Independent normal numbers, of mean and log scale.

    .. math:: x_i \sim \mathcal N(\mu_i, e^{2 s_i})

    Args:
        loc: the means :math:`\mu`.
        log_scale: the logarithms :math:`s` of the standard deviations.

    Returns:
        The distribution, with ``sample(shape, key)`` and ``log_prob(x)``.

    Example:
        >>> noise = multi_normal(jnp.zeros(3), jnp.zeros(3))
        >>> noise.sample((5,), jax.random.key(0)).shape, noise.log_prob(jnp.ones((5, 3))).shape
        ((5, 3), (5,))
    """
    return MultiNormalDiagFromLogScale(loc, log_scale)
