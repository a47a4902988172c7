"""The page "Planning" shows what was compiled, and that is still so."""

import importlib.metadata
import re
import sys
from pathlib import Path

import jax
import pytest
from jax.sharding import AbstractMesh

import gradchain as gc
from gradchain.distributed import fsdp_specs
from gradchain.inspection import transformer_shapes

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import plan_tables

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")
MODELS = {"124M": ("float32", 124e6), "7B": ("bfloat16", 7e9), "70B": ("bfloat16", 70e9)}
ROWS = [*plan_tables.rows("plans"), *plan_tables.rows("optimizers")]


def test_tables_and_the_picture_are_written(tmp_path):
    plan_tables.write(tmp_path)
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes.keys() == {"models.md", "optimizers.md", "recipes.md", "plans.png"}
    assert sizes["plans.png"] > 15_000
    lines = (tmp_path / "models.md").read_text().splitlines()
    assert len(lines) == 2 + 3 * 3 * 3
    assert sum("| by formula |" in line for line in lines) == 9  # of 4,096 chips


def test_every_layout_has_the_bytes_that_were_recorded(monkeypatch):
    monkeypatch.setattr(sys.modules[gc.distributed.plan.__module__], "mesh_to_compile_for", far)
    for row in ROWS:
        dtype, count = MODELS[row.model]
        shapes = transformer_shapes(count, dtype)
        mesh = AbstractMesh((row.plan.devices,), ("data",))
        specs = fsdp_specs(shapes, mesh) if row.layout == "FSDP" else None
        policy = "zero" if row.layout == "ZeRO-1" else "like_params"
        found = gc.distributed.plan(getattr(gc, row.optimizer)(1e-3), shapes, mesh, specs, policy)
        assert found.argument_bytes == row.plan.argument_bytes, row
        assert found.formula == row.plan.formula, row


def far(mesh, backend):
    """There are no such devices."""


def test_tpu_sends_what_the_formula_says_and_scatters():
    for row in plan_tables.rows("optimizers"):
        if row.optimizer in ("adamw", "lion"):
            assert row.plan.wire_bytes == pytest.approx(row.plan.formula_wire_bytes, rel=0.05)
            kinds = {one.kind for one in row.plan.exchanges}
            assert ("reduce-scatter" in kinds) == (row.layout != "data parallel")


def test_recipes_move_the_bytes_of_those_of_optax():
    rows = {row["name"]: row for row in plan_tables.recorded()["recipes"]}
    assert len(rows) == 10
    for name in ("adamw", "lion", "sgd"):
        ours, theirs = rows[name]["ours"], rows[name]["optax"]
        assert ours["accessed_bytes"] == pytest.approx(theirs["accessed_bytes"], rel=1e-5)


def test_the_demo_sums_its_gradients():
    (row,) = plan_tables.recorded()["demo"]
    assert row["exchanges"].keys() == {"all-reduce"}


def test_the_compiler_is_the_one_that_jax_names():
    lock = (ROOT / "requirements" / "tpu.lock").read_text().strip()
    needs = importlib.metadata.requires("jax") or []
    (named,) = [re.split(r"[;\s]", need)[0] for need in needs if need.startswith("libtpu")]
    assert lock.startswith(named.removesuffix("*")), f"jax {jax.__version__} names {named}"
