"""The tables of the page "Coming from optax" show what both libraries do today."""

import json
import re
import sys
from pathlib import Path

import optax
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import dialect_tables
import peer_results

import gradchain.as_optax as dialect
from benchmarks import compare_dialect as benchmark

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")
ERRORS = dialect_tables.record()["errors"]
RUN = [
    {"id": "_src/alias_test.py::AliasTest::test_a0", "out": "pass", "err": ""},
    {"id": "_src/alias_test.py::AliasTest::test_a1", "out": "fail", "err": "E: a | b\nmore"},
    {"id": "_src/alias_test.py::AliasTest::test_a2", "out": "fail", "err": "E: a | b\nmore"},
    {"id": "contrib/_muon_test.py::MuonTest::test_b", "out": "missing", "err": None},
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of four tests, kept as the page's own."""
    file = tmp_path / "kept.json"
    file.write_text(json.dumps(peer_results.kept({"tests": RUN})))
    monkeypatch.setattr(peer_results, "FILE", file)
    return tmp_path


def test_every_table_that_the_page_includes_is_written(tmp_path):
    dialect_tables.write(tmp_path)
    peer_results.write(tmp_path)
    page = (peer_results.FILE.parents[1] / "coming_from_optax.md").read_text()
    included = set(re.findall(r"include} generated/dialect/(\S+)", page))
    assert included == {file.name for file in tmp_path.iterdir()}


def test_passes_are_counted_by_the_module_that_is_tested(run):
    assert peer_results.total() == "Of 4 tests of behaviour, 1 pass.\n"
    assert "| `alias` | 3 | 1 |\n| `contrib/muon` | 1 | 0 |" in peer_results.passes()


def test_cases_of_one_test_share_a_line_and_without_a_reason_show_their_error(run, monkeypatch):
    assert "| `alias`: `Alias.a` | 2 | E: a \\| b |" in peer_results.failures()
    assert len(peer_results.unexplained()) == 3
    monkeypatch.setattr(peer_results, "REASONS", {"alias::*": "it is so", "other::*": "or so"})
    assert "| `alias`: `Alias.a` | 2 | it is so |" in peer_results.failures()
    assert peer_results.unexplained() == ["contrib/muon::MuonTest::test_b"]
    assert peer_results.idle() == ["other::*"]


def test_each_failure_has_a_reason_and_each_reason_a_failure():
    assert peer_results.unexplained() == []
    assert peer_results.idle() == []


@pytest.mark.parametrize("call", dialect_tables.DIFFERENCES)
def test_what_is_said_to_differ_does(call):
    answers = [dialect_tables.answer(call, library) for library in (optax, dialect)]
    assert answers[0] != answers[1], answers


def test_lacking_names_are_lacking():
    for module, (count, lacking) in dialect_tables.lists().items():
        ours = getattr(dialect, module, None) if module else dialect
        assert not [name for name in lacking if hasattr(ours, name)]
        assert len(lacking) <= count


def test_the_record_has_every_call_and_numbers_are_as_near_to_float64_as_those_of_optax():
    assert tuple(ERRORS) == benchmark.CALLS
    for call, found in ERRORS.items():
        theirs, ours = found["float64"]
        assert theirs == 0 and ours < 1e-7, call
        assert all(ours <= 1.5 * theirs for theirs, ours in (found["float32"], found["bfloat16"]))
    theirs, ours = ERRORS["adam(1e-3)"]["float32"]
    assert ours < theirs / 10


@pytest.mark.slow
def test_numbers_are_as_near_when_they_are_measured_anew():
    theirs, ours = benchmark.errors("adam(1e-3)", steps=30)["float32"]
    assert ours < theirs / 3
