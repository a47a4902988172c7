"""Gradient descent and its variants, on small problems."""

import re

import pytest

from tests.examples.running import numbers, run


@pytest.mark.rotated(3)
def test_plot_schedules(tmp_path):
    printed = run("descent/plot_schedules.py", tmp_path, small=False)
    begin, below = map(
        float, re.search(r"begin with ([\d.]+), stay below ([\d.]+)", printed).groups()
    )
    assert 0.01 < begin < 1
    assert begin < below


@pytest.mark.example
def test_batches(tmp_path):
    printed = run("descent/batches.py", tmp_path)
    found = numbers(
        r"^batch ([\w ]+): noise (\S+), within 20% after +(\d+) examples, "
        r"ends above the minimum by (\S+) \(fixed\), (\S+) \(decaying\)",
        printed,
    )
    noise, seen, fixed, decaying = ({n: row[i] for n, row in found.items()} for i in range(4))
    assert noise["all 442"] == 0 < 4 * noise["32"] < noise["1"]
    assert 10 * seen["1"] < 5 * seen["32"] < seen["all 442"]
    assert fixed["32"] < fixed["1"] / 5
    assert decaying["1"] < fixed["1"] / 20
    assert fixed["all 442"] < decaying["all 442"]


@pytest.mark.example
def test_oscillation(tmp_path):
    printed = run("descent/oscillation.py", tmp_path)
    found = numbers(
        r"^([\w ]+): stable below (\S+) \(theory (\S+)\), best rate (\S+), "
        r"loss (\S+), overshoots by (\S+) at rate 0.3$",
        printed,
    )
    assert all(abs(row[0] - row[1]) < 0.08 for row in found.values())
    loss, beyond = ({name: row[i] for name, row in found.items()} for i in (3, 4))
    assert 10 * loss["Nesterov"] < loss["heavy ball"] < loss["plain"] / 10
    assert beyond["plain"] == 0 < 0.3 < min(beyond["Nesterov"], beyond["heavy ball"])
