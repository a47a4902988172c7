"""The benchmarks run, and what they count is as promised. What they time is nobody's business
here.
"""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import pytest

from benchmarks import __main__ as command, time_large
from benchmarks.cases import CASES, QUICK_CASES, TRANSFORMER, Case
from benchmarks.frame import Contestant, Settings, interleave, per_call, summarize, table
from benchmarks.measures import MEASURES, compilations
from benchmarks.optimizers import OPTIMIZERS

TINY = Case("tiny", "3 leaves", lambda: {"w": (4, 3), "b": (3,), "deep": {"e": (5,)}})
SETTINGS = Settings(runs=2, slow_runs=2, seconds=0.0, libraries=frozenset({"gradchain", "optax"}))


@pytest.fixture(autouse=True)
def standard_promotion():
    """Optax mixes dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def test_the_trees_are_as_large_as_their_titles_say():
    cases = CASES | {"transformer": TRANSFORMER}
    sizes = {
        name: [math.prod(x.shape) for x in jax.tree.leaves(case.structs())]
        for name, case in cases.items()
    }
    assert sizes["one_leaf"] == [2**25]
    assert len(sizes["gpt2"]) == 100 and 29.9e6 < sum(sizes["gpt2"]) < 30.1e6
    assert len(sizes["small_leaves"]) == 2000 and sum(sizes["small_leaves"]) == 72_000
    assert len(sizes["transformer"]) == 100 and 18.85e6 < sum(sizes["transformer"]) < 18.95e6
    assert CASES.keys() == QUICK_CASES.keys()


def test_turns_are_interleaved_and_ratios_taken_within_a_round():
    order = []
    values = {"a": iter([99.0, 1.0, 10.0, 3.0]), "b": iter([99.0, 2.0, 20.0, 3.0])}

    def contestant(name):
        def turn():
            order.append(name)
            return {"x": next(values[name])}

        return Contestant(name, turn, baseline="b")

    both = [contestant("a"), contestant("b")]
    samples = interleave(both, runs=3)
    assert "".join(order) == "abbaabba"
    assert samples == {"a": {"x": [1.0, 10.0, 3.0]}, "b": {"x": [2.0, 20.0, 3.0]}}
    a, b = summarize(both, samples, optimizer="o", measure="m", case="c", unit="ms")
    assert (a.median, a.low, a.high, a.ratio, b.ratio) == (3.0, 2.0, 6.5, 0.5, 1.0)
    assert "3.00 ± 2.25  0.50x  b" in table([a, b])


def test_a_turn_repeats_a_short_call():
    calls = []
    turn = per_call(lambda: calls.append(None), seconds=1e-3)
    assert turn()["step"] >= 0 and len(calls) > 4


@pytest.mark.rotated(3)
@pytest.mark.parametrize(
    "measure", [name for name, measure in MEASURES.items() if measure.unit == "ms"]
)
def test_every_timed_measure_runs(measure, monkeypatch):
    monkeypatch.setitem(MEASURES, measure, dataclasses.replace(MEASURES[measure], cases=()))
    results = command.run("adamw", measure, [TINY], SETTINGS)
    assert {r.case for r in results} == {"tiny"}
    assert any(r.contestant.startswith("gradchain") for r in results)
    assert any(r.contestant.startswith("optax") for r in results)
    for r in results:
        assert r.low <= r.median <= r.high and len(r.samples) == 2
        assert r.contestant in table(results)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_counts_are_as_promised(name):
    found = {
        r.column: r.median
        for r in command.run(name, "counts", [], SETTINGS)
        if r.contestant == "gradchain"
    }
    assert found.pop("3 equal ones, static: traces") == 1
    assert found.pop("10 rates, as an argument: traces") == 1
    assert found.pop("100 eager steps: programs") <= 2
    assert found.pop("100 tx.step: programs") == 1
    assert not found


def test_compilations_are_seen_only_while_asked_for():
    with compilations() as names:
        jax.jit(lambda x: 2 * x)(jnp.ones(3))
    assert any("lambda" in name for name in names)
    before = list(names)
    jax.jit(lambda x: 3 * x)(jnp.ones(3))
    assert names == before


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    path = tmp_path / "deep" / "bench.json"
    command.main(
        ["--quick", "--runs", "1", "--only", "counts", "--only", "adamw", "--out", str(path)]
    )
    written = json.loads(path.read_text())
    assert (
        written["versions"]["optax"]
        and written["cpu_count"] >= 1
        and written["date"].startswith("20")
    )
    assert {r["measure"] for r in written["results"]} == {"counts"}
    assert {r["contestant"] for r in written["results"]} == {"gradchain", "optax"}
    assert "few_leaves" in capsys.readouterr().out


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["--only", "adamv"])
    assert "'adamw'" in capsys.readouterr().err


@pytest.mark.slow
def test_torch_takes_part_where_it_is_installed():
    pytest.importorskip("torch")
    settings = dataclasses.replace(SETTINGS, libraries=SETTINGS.libraries | {"torch"})
    contestants = {r.contestant for r in command.run("adamw", "step", [TINY], settings)}
    assert contestants == {"gradchain", "optax", "torch fused", "torch foreach"}


@pytest.mark.slow
def test_every_method_for_many_parameters_goes_down():
    start = float(time_large.ripples(jnp.ones(50), jnp.geomspace(1.0, 1e4, 50)))
    _, _, _, *rows = time_large.measure(50, 1)
    assert len(rows) == len(time_large.METHODS)
    for row in rows:
        evaluations, value = row.strip("| ").split(" | ")[-2:]
        assert int(evaluations) > time_large.STEPS and float(value) < 0.01 * start
