"""Hyperparameters: searched, swept, found."""

import re

import pytest

from tests.examples.running import accuracy, numbers, run


@pytest.mark.rotated(3)
def test_sweep_learning_rates(tmp_path):
    printed = run("tuning/sweep_learning_rates.py", tmp_path, small=False)
    assert "learning rates: 32, compiled programs: 1\n" in printed
    assert 1e-3 < float(re.search(r"^best learning rate: (.+)$", printed, re.MULTILINE)[1]) < 0.2
    assert accuracy(printed) >= 0.95
    assert (tmp_path / "out" / "sweep_learning_rates.png").stat().st_size > 20_000


@pytest.mark.example
def test_population(tmp_path):
    printed = run("tuning/population.py", tmp_path)
    found = numbers(r"^(fixed rates|copies): winner (\S+), median (\S+)$", printed)
    (_, fixed), (winner, copied) = found["fixed rates"], found["copies"]
    assert copied < fixed / 3  # most random rates are bad, and are replaced
    assert winner < found["fixed rates"][0] + 0.02
    rates = numbers(r"^(\w+): highest (\S+), last (\S+) to (\S+)$", printed)
    assert 3e-3 < rates["learning_rate"][0] < 0.2  # the middle of the random ones is 3e-3
