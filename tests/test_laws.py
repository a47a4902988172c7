"""The laws over the table."""

import flax.serialization
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest

from gradchain.call import FACTORIES
from gradchain.core import GradientTransformation
from tests import laws
from tests.table import ROWS

DTYPES = [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64, jnp.complex64]
each_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
each_law = pytest.mark.parametrize("law", laws.LAWS, ids=[law.__name__ for law in laws.LAWS])
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[dtype.__name__ for dtype in DTYPES])


def test_every_factory_has_a_row():
    ours = {f.name for f in FACTORIES.values() if f.function.__module__.startswith("gradchain.")}
    transformations = {name for name in ours if FACTORIES[name].kind is GradientTransformation}
    assert transformations <= {row.make().factory.name for row in ROWS}


def test_rows_are_called_by_their_factories_and_only_once():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(row.name.split("-")[0] == row.make().factory.name for row in ROWS)


def test_reasons_are_for_laws_that_exist():
    assert {law for row in ROWS for law in row.reasons} <= {law.__name__ for law in laws.LAWS}


@each_row
@each_law
def test_law(row, law):
    if law.__name__ in row.reasons:
        pytest.skip(row.reasons[law.__name__])
    law(row)


@each_row
@each_dtype
def test_numbers(row, dtype):
    laws.has_the_numbers_of_its_twin(row, dtype)


@each_row
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-6), (jnp.float64, 1e-12)], ids=["float32", "float64"]
)
def test_trajectory(row, dtype, tolerance):
    laws.follows_its_twin(row, dtype, tolerance)


@each_row
def test_goes_on_from_msgpack(row):
    def save_and_restore(state):
        return flax.serialization.msgpack_restore(flax.serialization.msgpack_serialize(state))

    laws.goes_on_from_a_checkpoint(row, save_and_restore)


@each_row
def test_goes_on_from_orbax(row, tmp_path):
    def save_and_restore(state):
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / "state", {"state": state})
            checkpointer.wait_until_finished()
            return checkpointer.restore(tmp_path / "state")["state"]

    laws.goes_on_from_a_checkpoint(row, save_and_restore)
