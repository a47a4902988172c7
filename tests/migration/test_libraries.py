"""The comparison of libraries: each name is there, and the curves that were recorded agree."""

import importlib
import importlib.util
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import libraries  # noqa: E402 - it lies beside the pages

ROWS = {name: row for rows in libraries.FEATURES.values() for name, row in rows.items()}


def found(module, path):
    """What a dotted path means in a library; rooms are imported on the way."""
    at, where = module, module.__name__
    for part in path.split("."):
        where = f"{where}.{part}"
        if not hasattr(at, part):
            importlib.import_module(where)
        at = getattr(at, part)
    return at


@pytest.mark.parametrize("library", libraries.LIBRARIES)
def test_each_name_of_the_table_is_in_its_library(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    module = importlib.import_module(library)
    for row in ROWS.values():
        path, _, argument = row[libraries.LIBRARIES.index(library)].partition(" ")
        if not path or path.endswith("param_groups"):  # of an instance
            continue
        thing = found(module, path)
        if argument:
            taken = inspect.signature(thing).parameters
            assert argument in taken or "kwargs" in taken, (path, argument)


def test_a_name_that_is_not_there_is_found_out():
    with pytest.raises(ImportError):
        found(importlib.import_module("gradchain"), "no_such_name")


def test_the_page_holds_both_tables():
    page = (DOCS / "comparison.md").read_text()
    for file in ("features.md", "measured.md"):
        assert f"```{{include}} generated/{file}\n```" in page


def test_the_curves_that_were_recorded_lie_within_1e_4():
    runs = json.loads(libraries.FILE.read_text())["libraries"]
    assert runs.keys() == set(libraries.LIBRARIES)
    for name, ours in runs["gradchain"]["runs"].items():
        for library, run in runs.items():
            theirs = run["runs"][name]["loss"]
            assert len(theirs) == 200
            assert np.max(np.abs(np.subtract(theirs, ours["loss"]))) < 1e-4, (library, name)
            assert theirs[-1] < theirs[0] / 4


def test_the_table_says_what_was_recorded():
    table = libraries.measured()
    assert "| adam: largest distance of a loss | 0 | 6e-06 | 5e-07 | 2e-05 |" in table
    assert table.count("\n| ") == 11
