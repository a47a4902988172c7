"""JAX as all tests want it: the CPU as 8 devices, and no silent broadcasting or promotion."""

import jax
import pytest

pytest.register_assert_rewrite("tests.laws")

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
