"""An exponential to fit to data."""

import jax.numpy as jnp
import numpy as np

from gradchain.curvature.vectors import to_vector


def residuals(p):
    """An exponential fitted to ten points."""
    t = jnp.linspace(0.0, 1.0, 10, dtype=p["rate"].dtype)
    return p["size"] * jnp.exp(p["rate"] * t) + p["rest"] - (2.0 * jnp.exp(-1.5 * t) + 0.5)


def half_square(p):
    return 0.5 * jnp.sum(residuals(p) ** 2)


def start():
    return {"rate": jnp.array(-1.0), "rest": jnp.array(0.0), "size": jnp.array(1.0)}


def vector(tree):
    return np.asarray(to_vector(tree)[0])
