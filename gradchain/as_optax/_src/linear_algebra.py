"""Eigenvalues, roots and norms."""

from gradchain.as_optax.linear_algebra import (
    get_spectral_radius_upper_bound as get_spectral_radius_upper_bound,
    matrix_inverse_pth_root as matrix_inverse_pth_root,
    nnls as nnls,
    power_iteration as power_iteration,
)
from gradchain.as_optax.updates import (
    global_norm as global_norm,
)
