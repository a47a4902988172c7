"""Gradient descent and its variants, on small problems."""

import re

import pytest

from tests.examples.running import numbers, run


@pytest.mark.example
def test_plot_schedules(tmp_path):
    printed = run("descent/plot_schedules.py", tmp_path)
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


@pytest.mark.example
def test_batch_size(tmp_path):
    printed = run("descent/batch_size.py", tmp_path)
    found = numbers(r"^batch +(\d+): +(\d+) steps, +(\d+) examples", printed)
    steps, seen = ({int(n): row[i] for n, row in found.items()} for i in range(2))
    assert steps[4] > 3 * steps[32]  # up to the bend larger batches save steps
    assert steps[32] < 5 * steps[512]  # beyond it they do not: 16 times the batch
    assert seen[512] > 3 * seen[4]
    scale, bend = map(
        float, re.search(r"noise scale: mean (\d+), bend of the steps: (\d+)", printed).groups()
    )
    assert bend / 4 < scale < 12 * bend


@pytest.mark.example
def test_momentum_variants(tmp_path):
    printed = run("descent/momentum_variants.py", tmp_path)
    found = numbers(
        r"^([\w. ]+): still (\S+) at best, noisy (\S+) at best, (\S+) at rate 0.3, "
        r"circling (\S+) at best, (\S+) at rate 0.03$",
        printed,
    )
    standing = float(re.search(r"center of the circle: (\S+)", printed)[1])
    still, _, noisy, _, circling = ({n: row[i] for n, row in found.items()} for i in range(5))
    assert 10 * max(still["heavy ball 0.9"], still["Nesterov 0.9"]) < still["plain"]
    assert still["heavy ball 0.99"] > 1000 * still["plain"]
    assert noisy["heavy ball 0.9"] > 2 * noisy["plain"]
    assert circling["heavy ball 0.99"] > 3 * max(standing, circling["plain"])


@pytest.mark.example
def test_escaping(tmp_path):
    printed = run("descent/escaping.py", tmp_path)
    found = numbers(
        r"^([\w, ]+): +(\S+) % left the saddle, +(\S+) % in the lowest minimum$", printed
    )
    left, lowest = ({name: row[i] for name, row in found.items()} for i in range(2))
    assert left["plain"] == left["momentum"] == 0
    assert min(left["noise"], left["noise, momentum"]) > 95
    assert lowest["plain"] < 15 < 20 < lowest["momentum"]
    assert min(lowest["noise"], lowest["noise, momentum"]) > 2 * lowest["plain"] + 10


@pytest.mark.example
def test_sharp_minima(tmp_path):
    printed = run("descent/sharp_minima.py", tmp_path)
    found = numbers(
        r"^batches of ([\w ]+): +(\d+)% start in the sharp valley, +(\d+)% end there", printed
    )
    start, end = ({name: row[i] for name, row in found.items()} for i in range(2))
    assert abs(start["all 256"] - end["all 256"]) < 2  # one start is on the border
    assert end["all 256"] > 20
    assert end["1"] < 3


@pytest.mark.example
def test_paths(tmp_path):
    printed = run("descent/paths.py", tmp_path)
    found = numbers(r"^([\w., ]+?) *: +(\S+) at rate \S+ +(\S+) at rate", printed)
    valley, minima = ({name: row[i] for name, row in found.items()} for i in range(2))
    assert len(found) == 7
    assert valley["sgd, momentum 0.9"] < 0.01 < valley["sgd"] / 3  # a valley asks for momentum
    assert sum(loss < 0.01 for loss in minima.values()) >= 5
    assert printed.count("picture: ") == 2
