"""What the pages on PyTorch and Keras say is so: each line of their tables is a test."""

import importlib
import importlib.util

import jax
import pytest

import gradchain as gc
from tests.migration import keras_rows, pages, pytorch_rows
from tests.migration.case import Row, error, recorded, value_of
from tests.migration.our_loops import train

ROWS = {"pytorch": pytorch_rows.ROWS, "keras": keras_rows.ROWS}
PACKAGES = {"pytorch": "torch", "keras": "keras"}
each_row = pytest.mark.parametrize(
    ("library", "row"),
    [(library, row) for library, rows in ROWS.items() for row in rows if row.ours],
    ids=lambda x: x.theirs if isinstance(x, Row) else x,
)


@pytest.fixture(autouse=True)
def in_float64(jax_as_users_have_it):
    with jax.enable_x64(True):
        yield


@pytest.mark.rotated(1)
@each_row
def test_ours_follows_their_recorded_numbers(library, row):
    theirs = recorded(library)["rows"][row.theirs]
    assert error((row.follow or train)(value_of(row), theirs), theirs) <= row.tolerance


@each_row
def test_ours_follows_theirs_where_it_is_installed(library, row):
    if importlib.util.find_spec(PACKAGES[library]) is None:  # to import it would choose a backend
        pytest.skip(f"{PACKAGES[library]} is not installed")
    theirs = importlib.import_module(f"tests.migration.{library}_loops").numbers(row)
    assert error((row.follow or train)(value_of(row), theirs), theirs) <= row.tolerance


@pytest.mark.parametrize("library", ROWS)
def test_the_record_is_of_the_rows(library):
    record = recorded(library)
    assert set(record["rows"]) == {row.theirs for row in ROWS[library] if row.ours}
    assert record["origin"].startswith(f"{PACKAGES[library]} ")


@pytest.mark.parametrize("library", ROWS)
def test_what_is_said_to_be_missing_is_missing(library):
    for row in ROWS[library]:
        assert row.ours or row.lacks
        assert not [name for name in row.lacks if hasattr(gc, name)], "it is there: mend the row"


@pytest.mark.parametrize("library", ROWS)
def test_the_tables_of_the_page_are_those_of_the_rows(library):
    page = pages.page(library)
    assert page.read_text() == pages.with_tables(page.read_text(), ROWS[library]), (
        "write them with: python -m tests.migration.pages"
    )
