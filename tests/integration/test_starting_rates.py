"""Every optimizer has a starting rate: measured, on the page, and found again by a small sweep."""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import gradchain as gc
from benchmarks import starting_rates as sweeps

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import catalogue  # noqa: E402 - they lie beside the pages
import starting_rates  # noqa: E402

RECORD = json.loads(sweeps.FILE.read_text())
CALLS = starting_rates.calls()
SWEPT = {call: row for call, row in RECORD["rows"].items() if row is not None}


def test_every_optimizer_has_a_row():
    assert set(RECORD["rows"]) == set(sweeps.calls()) == set(CALLS)
    assert {call for call in CALLS if not sweeps.rates_of(call)} == set(CALLS) - set(SWEPT)
    assert {"adam", "natural_gradient"} < set(SWEPT) and "lbfgs" not in SWEPT


def test_the_data_say_where_they_come_from():
    assert RECORD["origin"] == "python -m benchmarks.starting_rates --write"
    assert {"date", "machine", "versions", "process"} < set(RECORD)
    settings = (sweeps.STEPS, sweeps.BATCH, sweeps.SEEDS, sweeps.FACTOR, list(sweeps.RATES))
    names = ("steps", "batch", "seeds", "factor", "rates")
    assert settings == tuple(RECORD[name] for name in names)


@pytest.mark.parametrize("call", SWEPT)
def test_the_best_rate_is_inside_the_grid_and_within_its_range(call):
    row = SWEPT[call]
    losses = [math.inf if loss is None else loss for loss in row["losses"]]
    assert sweeps.row(losses) == row
    assert sweeps.RATES[0] < row["best"] < sweeps.RATES[-1]
    assert row["low"] <= row["best"] <= row["high"]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.9, 0.2, 0.1, 0.15, math.inf, 0.1], (3, 2, 4)),  # the first of two that are best
        ([0.1, 0.9, 0.1, 0.1], (1, 1, 1)),  # what works beyond a gap does not count
        ([0.12, 0.1, 0.11], (2, 1, 3)),
    ],
)
def test_the_range_ends_where_a_rate_fails(losses, expected):
    found = sweeps.row(losses, rates=range(1, len(losses) + 1))
    assert (found["best"], found["low"], found["high"]) == expected


def test_the_table_is_that_of_the_data(tmp_path):
    starting_rates.write(tmp_path)
    lines = (tmp_path / "starting_rates.md").read_text().splitlines()
    assert len(lines) == 2 + len(CALLS)
    for call, line in zip(starting_rates.calls(), lines[2:], strict=True):
        reference, best, works, loss, *_ = line.removeprefix("| ").split(" | ")
        assert reference == catalogue.reference(call)
        assert [best, works, loss] == starting_rates.measured(
            RECORD["rows"][call], RECORD["rates"]
        )
    assert "| 0.001 | [Kingma & Ba, 2015](https://arxiv.org/abs/1412.6980) |" in "\n".join(lines)


def test_the_page_takes_the_table_in_at_its_end_and_links_to_it():
    page = (DOCS / "which_optimizer.md").read_text()
    top, _, end = page.rpartition("\n## ")
    assert end.startswith("Starting rates\n")
    assert "{include} generated/starting_rates.md" in end
    assert "](#starting-rates)" in top.split("\n## ")[0]
    assert sweeps.FACTOR == 2
    sizes = f"{sweeps.STEPS} steps", f"batches of {sweeps.BATCH}", "at most twice that"
    assert not [text for text in sizes if text not in " ".join(end.split())]


def test_what_is_published_belongs_to_a_row_that_has_a_rate():
    assert set(starting_rates.PUBLISHED) <= set(SWEPT)


def test_an_optimizer_without_a_row_stops_the_build_by_name(monkeypatch):
    monkeypatch.setitem(catalogue.FAMILIES["Signs"], "brandnew", "never")
    with pytest.raises(ValueError, match="lacks brandnew: run python -m benchmarks"):
        starting_rates.table()


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2.0, 0.1, 2.0], ["0.5", "0.5", "0.10"]),
        ([2.0, 0.1, 0.2, 2.0], ["0.5", "0.5 to 0.00001", "0.10"]),
        ([2.0, 0.1, 0.1], ["each of them", "from 0.5", "0.10"]),
        ([0.1, 0.1, 0.1], ["each of them", "any", "0.10"]),
        ([2.0, 1.5, None], ["none trains", "", "1.50"]),
    ],
)
def test_a_row_says_what_was_found(losses, expected):
    rates = [3.0, 0.5, 0.00001, 7.0][: len(losses)]
    row = sweeps.row([math.inf if loss is None else loss for loss in losses], rates)
    assert starting_rates.measured(row, rates) == expected


def test_an_optimizer_without_a_rate_says_so():
    assert starting_rates.measured(None, [1.0]) == ["takes none", "", ""]


@pytest.mark.parametrize("call", ["adam", "sgd(momentum=0.9)", "lion"])
def test_a_small_sweep_finds_the_rate_within_a_decade(call):
    rates = sweeps.RATES[4::2]
    losses = sweeps.sweep(call, rates, seeds=1, steps=100)
    best = rates[int(np.argmin(losses))]
    assert abs(math.log10(best / SWEPT[call]["best"])) < 1.01


def test_acprop_trains_with_the_larger_eps_that_the_page_names():
    assert "`eps=0.001` it trains" in (DOCS / "which_optimizer.md").read_text()
    (loss,) = sweeps.sweep("acprop(eps=0.001)", [0.003], seeds=1)
    assert loss < 0.3 * min(loss for loss in SWEPT["acprop"]["losses"] if loss is not None)


def test_the_command_refuses_what_is_no_optimizer(capsys):
    with pytest.raises(SystemExit):
        sweeps.main(["adamv"])
    assert "adamv" in capsys.readouterr().err


@pytest.mark.parametrize("name", catalogue.FAMILIES["Matrix methods"])
def test_a_matrix_method_says_a_starting_rate_and_a_measured_one_is_that_of_the_table(name):
    found = re.search(r"learning_rate: (.*?)\n +\w+: ", getattr(gc, name).__doc__, re.DOTALL)
    said = " ".join(found[1].split())
    if name == "spectral_sphere":
        pytest.skip("it trains at no rate here")
    assert re.search(r"AdamW|\d\.\d|smoothness", said), said
    measured = re.search(r"([\d.]+) in the table of starting rates", said)
    assert measured is None or float(measured[1]) == RECORD["rows"][name]["best"]
