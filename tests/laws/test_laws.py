"""The laws over the table."""

import operator
import sys
from functools import partial

import jax.numpy as jnp
import pytest

from gradchain.core.factory import FACTORIES
from tests.core.refresh import POLICIES
from tests.distributed.wires import WIRES
from tests.laws import in_storage, laws, on_meshes, sharded
from tests.laws.table import ROWS
from tests.precision.codecs import CODECS
from tests.schedules.table import SCHEDULES, SELECTIONS
from tests.support.checkpoints import through_msgpack, through_orbax
from tests.transforms.constraints import CONSTRAINTS
from tests.transforms.penalties import PENALTIES

DTYPES = [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64, jnp.complex64]
LAWS_WITH_DTYPES = [laws.has_the_numbers_of_its_twin, laws.follows_its_twin]
LAWS_OF_SIZES = [laws.survives_a_spike]
LAWS_WITH_FILES = [laws.goes_on_from_a_checkpoint, *in_storage.LAWS_WITH_FILES]
# A variant has another formula in the same form: its form is a slow test. A recipe is a chain of
# members that have rows of their own: its trajectory in float64 is always tested; that in float32,
# its form and its numbers in every dtype are slow tests. So are those of second order, whose loops
# are compiled for seconds each; there all of recipes is slow.
names = {row.name for row in ROWS}
is_variant = lambda row: row.name.split("-")[0] in names - {row.name}
is_recipe = lambda row: row.make().factory.composite and row.name.split("-")[0] != "chain"
is_long = operator.attrgetter("is_second_order")
slow_if = lambda is_slow: [
    pytest.param(row, id=row.name, marks=[pytest.mark.slow] * is_slow(row)) for row in ROWS
]
each_row = pytest.mark.parametrize("row", slow_if(lambda row: is_recipe(row) and is_long(row)))
each_simple_row = pytest.mark.parametrize("row", slow_if(is_recipe))
each_direction = pytest.mark.parametrize(
    "row", slow_if(lambda row: is_recipe(row) or is_long(row))
)
each_main_row = pytest.mark.parametrize(
    "row", slow_if(lambda row: is_variant(row) or is_recipe(row) or is_long(row))
)
LAWS = [*laws.LAWS, *sharded.LAWS, *on_meshes.LAWS]
each_law = pytest.mark.parametrize("law", LAWS, ids=[law.__name__ for law in LAWS])
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[dtype.__name__ for dtype in DTYPES])


def skip_with_reason(row, law):
    if law in row.reasons:
        pytest.skip(row.reasons[law])


ALL_ROWS = (*ROWS, *SCHEDULES, *SELECTIONS, *CONSTRAINTS, *PENALTIES, *POLICIES, *CODECS, *WIRES)


def test_every_factory_has_a_row():
    modules = {name: f.function.__module__ for name, f in FACTORIES.items()}
    ours = {
        name
        for name, module in modules.items()
        if module.startswith("gradchain.") and ".as_optax" not in module
    }
    ours = {
        name for name in ours if hasattr(sys.modules[modules[name]], name)
    }  # not those of a docstring's example
    with_a_row = {row.name.split("-")[0] for row in ALL_ROWS}
    assert ours - with_a_row == set()


def test_rows_are_called_by_their_factories_and_only_once():
    assert len({row.name for row in ALL_ROWS}) == len(ALL_ROWS)
    assert all(row.name.split("-")[0] == row.make().factory.name for row in ALL_ROWS)


def test_reasons_are_for_laws_that_exist():
    assert {law for row in ROWS for law in row.reasons} <= {
        law.__name__
        for law in (
            *LAWS,
            *LAWS_WITH_DTYPES,
            *LAWS_OF_SIZES,
            *LAWS_WITH_FILES,
            *in_storage.LAWS,
        )
    }


@pytest.mark.rotated(25)
@each_law
@each_main_row
def test_law(row, law):
    skip_with_reason(row, law.__name__)
    law(row)


@pytest.mark.rotated(20)
@each_dtype
@each_direction
def test_numbers(row, dtype):
    skip_with_reason(row, "has_the_numbers_of_its_twin")
    laws.has_the_numbers_of_its_twin(row, dtype)


#: Rules that divide by lengths, or are there for spikes. Plain second moments are in range up to
#: gradients of 1.8e19.
OF_SPIKES = (
    "scale_by_stable_adam scale_by_spam scale_by_stable_spam scale_by_novograd scale_by_momo"
    " scale_by_momo_adam scale_by_distance_over_gradients scale_by_dowg clip_by_global_norm"
    " clip_by_norm clip_by_block_rms adaptive_grad_clip normalize scale_by_factored_rms"
    " scale_by_came scale_by_amos scale_by_adam_mini scale_by_qhadam scale_by_ftrl"
)


@pytest.mark.rotated(4)
@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.name.split("-")[0] in OF_SPIKES.split()],
    ids=lambda r: r.name,
)
def test_spikes(row):
    skip_with_reason(row, "survives_a_spike")
    laws.survives_a_spike(row)


@pytest.mark.rotated(14)
@each_simple_row
def test_trajectory_in_float32(row):
    skip_with_reason(row, "follows_its_twin")
    laws.follows_its_twin(row, jnp.float32, 1e-6)


@pytest.mark.rotated(4)
@each_row
def test_trajectory_in_float64(row):
    skip_with_reason(row, "follows_its_twin")
    laws.follows_its_twin(row, jnp.float64, 1e-12)


@pytest.mark.rotated(20)
@each_main_row
def test_goes_on_from_a_checkpoint(row, tmp_path):
    skip_with_reason(row, "goes_on_from_a_checkpoint")
    ways = [
        partial(save_and_restore, folder=tmp_path)
        for save_and_restore in (through_msgpack, through_orbax)
    ]
    laws.goes_on_from_a_checkpoint(row, ways)


@pytest.mark.rotated(30)
@pytest.mark.parametrize("law", in_storage.LAWS, ids=[law.__name__ for law in in_storage.LAWS])
@each_main_row
def test_law_of_storage(row, law):
    skip_with_reason(row, law.__name__)
    law(row)


@pytest.mark.rotated(30)
@each_main_row
def test_goes_on_from_a_checkpoint_in_eight_bits(row, tmp_path):
    skip_with_reason(row, "goes_on_from_a_checkpoint")
    skip_with_reason(row, "goes_on_from_a_checkpoint_in_eight_bits")
    ways = [
        partial(save_and_restore, folder=tmp_path)
        for save_and_restore in (through_msgpack, through_orbax)
    ]
    in_storage.goes_on_from_a_checkpoint_in_eight_bits(row, ways)
