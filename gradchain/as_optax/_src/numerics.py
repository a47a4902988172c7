"""Norms and counters that are safe."""

from gradchain.as_optax.numerics import (
    abs_sq as abs_sq,
    safe_increment as safe_increment,
    safe_int32_increment as safe_int32_increment,
    safe_norm as safe_norm,
    safe_root_mean_squares as safe_root_mean_squares,
)
