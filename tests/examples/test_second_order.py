"""Curvature, line searches, least squares."""

import re

import pytest

from tests.examples.running import both_sizes, numbers, run


@pytest.mark.slow
def test_plot_fit_curve(tmp_path):
    printed = run("second_order/plot_fit_curve.py", tmp_path, small=False)
    assert 1 < int(re.match(r"(\d+) of 60 starts", printed)[1]) < 60
    found = re.findall(r"^peak at ([\d.]+) ± ([\d.]+)$", printed, re.MULTILINE)
    assert all(
        abs(float(x) - center) < 3 * float(error)
        for (x, error), center in zip(found, (2, 4.6, 7), strict=True)
    )
    off = {
        name: float(x)
        for name, x in re.findall(r"^(\w+) +is off by ([\d.]+)", printed, re.MULTILINE)
    }
    assert off["cauchy"] < 0.15 < 0.4 < off["squares"]


@pytest.mark.example
def test_plot_line_search(tmp_path):
    printed = run("second_order/plot_line_search.py", tmp_path)
    found = re.findall(r"^(\w+).* tries ([\d., ]+)$", printed, re.MULTILINE)
    tried = [[float(step) for step in steps.split(", ")] for _, steps in found]
    assert [name for name, _ in found] == [
        "backtracking",
        "backtracking",
        "hager_zhang",
        "strong_wolfe",
    ] * 2
    assert tried[0] == [0.25]  # which Armijo's condition does not find too short
    assert all(steps[0] == 0.25 and 1 < steps[-1] < 4 for steps in tried[1:4])
    assert all(steps[0] == 5.8 and 1 < steps[-1] < 4 for steps in tried[4:])


@pytest.mark.slow
def test_plot_minimizers(tmp_path):
    printed = run("second_order/plot_minimizers.py", tmp_path, small=False)
    evals = {}
    for title, part in re.findall(r"^(\S.*)\n((?:  .*\n)+)", printed, re.MULTILINE):
        evals[title] = {
            k: int(n) for k, n in re.findall(r"^  (.*?) +(\d+) evaluations", part, re.MULTILINE)
        }
    valley = evals["Rosenbrock's valley"]
    assert valley["L-BFGS"] < valley["conjugate gradients"] < valley["steepest descent"]
    losses = dict(re.findall(r"^  (.*?) +loss ([\d.]+)", printed, re.MULTILINE))
    assert float(losses["L-BFGS"]) < float(losses["Adam"]) < float(losses["gradient descent"])


@both_sizes
def test_plot_spectrum(tmp_path, small):
    printed = run("second_order/plot_spectrum.py", tmp_path, small=small)
    found = re.findall(
        r"^learning rate ([\d.]+): loss ([\d.]+), sharpness ([\d.]+)", printed, re.MULTILINE
    )
    gentle, middle, hasty = ([float(x) for x in row] for row in found)
    assert gentle[2] < 10  # far below 2 / 0.1
    assert abs(hasty[2] - 2 / hasty[0]) < 0.5
    assert hasty[1] < middle[1] < gentle[1] < (0.2 if small else 0.1)
    ends = {
        k: float(v)
        for k, v in re.findall(r"^(.+): eigenvalues from ([-\d.]+)", printed, re.MULTILINE)
    }
    assert ends["at the start"] < -0.5 < ends["after training"]


@pytest.mark.example
def test_physics(tmp_path):
    printed = run("second_order/physics.py", tmp_path)
    shares = numbers(
        r"^(\w+ +\w+) *: ([\d.]+) % within one error, ([\d.]+) % within two", printed
    )
    kinds = {name.split()[0]: [] for name in shares}
    for name, found in shares.items():
        kinds[name.split()[0]].append(found)
    assert len(kinds["independent"]) == len(kinds["drifting"]) == 5
    assert all(60 < one < 76 and two > 90 for one, two in kinds["independent"])
    assert all(one < 55 and two < 85 for one, two in kinds["drifting"])


@pytest.mark.example
def test_plot_fit_curve_small(tmp_path):
    printed = run("second_order/plot_fit_curve.py", tmp_path)
    off = numbers(r"^(\w+) +is off by ([\d.]+)", printed)
    assert off["cauchy"][0] < 0.15 < 0.4 < off["squares"][0]


@pytest.mark.example
def test_plot_minimizers_small(tmp_path):
    printed = run("second_order/plot_minimizers.py", tmp_path)
    valley = numbers(r"^  (.*?) +(\d+) evaluations", printed.partition("Beale")[0])
    assert valley["L-BFGS"][0] < valley["Adam"][0] / 4
    loss = numbers(r"^  (.*?) +loss ([\d.]+)", printed)
    assert loss["L-BFGS"][0] < loss["Adam"][0]
