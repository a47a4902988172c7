"""JAX as all tests want it: the CPU as 8 devices, and no silent broadcasting or promotion."""

import os
import warnings

# These tests compile thousands of small programs and run each for microseconds. Without LLVM's
# optimizations, and with XLA's older code for fusions, that is three times faster. To test with the
# full ones: XLA_FLAGS= make test
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)

import jax
import pytest

pytest.register_assert_rewrite("tests.laws.laws", "tests.laws.sharded", "tests.laws.samples")

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="module")
def without_jit():
    """One operation after another: to compile each of many trees would take most of the time."""
    with jax.disable_jit():
        yield


@pytest.fixture
def jax_as_users_have_it():
    """Broadcasting, promotion and warnings as they are without the settings above."""
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


TESTS_DONE = pytest.StashKey[list]()
PROGRAMS_KEPT = 400  # tests whose programs stay in memory


@pytest.fixture(autouse=True)
def forget_old_programs(request):
    """Each compiled program holds a few memory maps, of which Linux grants a process 65,530."""
    yield
    done = request.config.stash.setdefault(TESTS_DONE, [])
    done.append(request.node.name)
    if len(done) >= PROGRAMS_KEPT:
        done.clear()
        jax.clear_caches()
