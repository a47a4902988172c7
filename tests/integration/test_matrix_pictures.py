"""The pictures of the page "Matrix methods" show what the page says."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import matrix_pictures

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")


def test_the_pictures_are_drawn(tmp_path):
    matrix_pictures.write(tmp_path)
    assert {file.stem for file in tmp_path.iterdir()} == {
        "singular_values",
        "equilibrate",
        "operations",
    }
    assert min(file.stat().st_size for file in tmp_path.iterdir()) > 15_000


@pytest.mark.parametrize("name", matrix_pictures.SETS)
def test_singular_values_come_near_one_and_small_ones_grow(name):
    values = np.array([1e-3, 1e-2, 0.1, 1.0])
    made = matrix_pictures.mapped(name, values)
    assert made[0] > 80 * values[0]
    assert ((made[1:] > 0.65) & (made[1:] < 1.2)).all()


def test_equal_rows_have_no_short_row():
    lengths = {name: x.min() / x.max() for name, x in matrix_pictures.row_lengths().items()}
    assert lengths["orthogonalize"] < 0.1
    assert lengths["equilibrate, then orthogonalize"] > 0.3
