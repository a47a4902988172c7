"""The tables and pictures of the page "Precision and memory" show what the page says."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import precision_tables

from benchmarks import compare_memory
from benchmarks.compare_precision import POLICIES, PROBLEMS

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")


def test_tables_and_pictures_are_written(tmp_path):
    precision_tables.write(tmp_path)
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes.keys() == {
        *("codecs.md", "recipes.md", "measured.md", "memory.md"),
        *("bars.png", "rounding.png"),
    }
    assert min(size for name, size in sizes.items() if name.endswith("png")) > 15_000


@pytest.mark.parametrize("recipe", precision_tables.RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_has_the_bytes_of_its_formula(recipe):
    found = precision_tables.state_bytes(recipe)
    assert recipe.expected <= found < recipe.expected + 0.01


def test_codecs_that_the_page_recommends_are_the_finest():
    errors = precision_tables.errors()
    assert max(errors[name][0] for name in ("int8_dynamic", "int8_log")) < 0.05
    assert min(errors[name][0] for name in ("int8_companded", "int8")) > 0.05
    of_nu = [errors[name][1] for name in ("uint8_log", "uint8_dynamic", "uint8_root")]
    assert of_nu == sorted(of_nu)
    assert of_nu[0] < 0.01
    assert errors["uint4_log"][1] < 0.13


def test_all_but_plain_bfloat16_follow_float32():
    end = {name: path[-1] for name, path in precision_tables.stairs().items()}
    exact = end.pop("float32")[0]
    assert (end.pop("bfloat16") == 1).all()
    for path in end.values():
        assert np.mean(path) == pytest.approx(exact, abs=2e-3)


def test_the_record_has_all_policies():
    record = precision_tables.record_of("precision")
    assert record["problems"].keys() == PROBLEMS.keys()
    for rows in record["problems"].values():
        assert list(rows) == list(POLICIES)


def test_no_way_of_rounding_is_a_hundredth_worse_and_plain_bfloat16_is():
    for rows in precision_tables.record_of("precision")["problems"].values():
        mean = {name: np.mean(row["trained"]) for name, row in rows.items()}
        exact = mean["float32"]
        for name in ("stochastic_rounding", "kahan", "split_weights", "master_weights"):
            assert 0.98 * exact < mean[name] < 1.01 * exact
        assert mean["nothing"] > 1.01 * exact


def test_eight_bits_end_within_the_spread_of_the_seeds():
    for rows in precision_tables.record_of("precision")["problems"].values():
        exact = rows["float32"]["trained"]
        for name, row in rows.items():
            if "int8" in name:
                assert min(exact) < np.mean(row["trained"]) < max(exact)


def test_the_record_of_memory_has_bytes_by_formula_and_no_tree_of_temporaries():
    rows = {row["name"]: row for row in precision_tables.record_of("memory")["rows"]}
    bits = {"bfloat16": 4, "int8 and int8_log": 2 + 8 / 256, "int4 and uint4_log": 1 + 8 / 256}
    for name, state in bits.items():
        row = rows[f"adamw, {name}"]
        assert row["state"] == pytest.approx(state, abs=1e-3)
        assert row["temporaries"] < 4 < rows["optax adamw"]["temporaries"]


def test_memory_is_measured_with_nothing_allocated(monkeypatch):
    monkeypatch.setattr(compare_memory, "SHAPE", (64, 256))
    monkeypatch.setattr(compare_memory, "LEAF", 4 * 64 * 256)
    dtype, make = compare_memory.contestants()["adamw, int8 and int8_log"]
    found = compare_memory.measure(dtype, *make())
    assert found["state"] == pytest.approx(2 + 8 / 256, abs=1e-3)
    assert found["temporaries"] > 0
