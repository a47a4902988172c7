"""JAX as all tests want it: the CPU as 8 devices, and no silent broadcasting or promotion."""

import os
import warnings
from pathlib import Path

# These tests compile thousands of small programs and run each for microseconds. Without LLVM's
# optimizations, with XLA's older code for fusions, and in one piece, that is four times faster. To
# test with the full ones: XLA_FLAGS= make test
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1",
)

import jax
import pytest

from tests import garbage

pytest_plugins = ["tests.rotation"]
collect_ignore_glob = ["typing/[csw]*.py"]  # code for type checkers, some of it wrong
pytest.register_assert_rewrite("tests.laws.laws", "tests.laws.sharded", "tests.laws.samples")

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_collection_finish():
    garbage.set_aside()


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


# Of memory maps Linux grants a process 65,530; eight thousand hold two to three gigabytes.
MAPS_KEPT = 8_000
TESTS_DONE = pytest.StashKey[list]()


@pytest.fixture(autouse=True)
def forget_old_programs(request):
    """Let go of compiled programs in time: each holds a few memory maps."""
    yield
    done = request.config.stash.setdefault(TESTS_DONE, [0])
    done[0] += 1
    if done[0] % 10 == 0 and _number_of_maps() > MAPS_KEPT:
        jax.clear_caches()
        garbage.look_again()


def _number_of_maps():
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0
