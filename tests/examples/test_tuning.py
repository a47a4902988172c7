"""Hyperparameters: searched, swept, found."""

import re

import pytest

from tests.examples.running import accuracy, run


@pytest.mark.rotated(3)
def test_sweep_learning_rates(tmp_path):
    printed = run("tuning/sweep_learning_rates.py", tmp_path, small=False)
    assert "learning rates: 32, compiled programs: 1\n" in printed
    assert 1e-3 < float(re.search(r"^best learning rate: (.+)$", printed, re.MULTILINE)[1]) < 0.2
    assert accuracy(printed) >= 0.95
    assert (tmp_path / "out" / "sweep_learning_rates.png").stat().st_size > 20_000
