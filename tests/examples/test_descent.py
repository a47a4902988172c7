"""Gradient descent and its variants, on small problems."""

import re

import pytest

from tests.examples.running import run


@pytest.mark.rotated(3)
def test_plot_schedules(tmp_path):
    printed = run("descent/plot_schedules.py", tmp_path, small=False)
    begin, below = map(
        float, re.search(r"begin with ([\d.]+), stay below ([\d.]+)", printed).groups()
    )
    assert 0.01 < begin < 1
    assert begin < below
