"""Controllers and motions through a differentiable simulator."""

import pytest

from tests.examples.running import numbers, run


@pytest.mark.example
def test_balance_pole(tmp_path):
    printed = run("control/balance_pole.py", tmp_path)
    clipped = numbers(r"^clipped +(rate [\d.]+): ([\d.]+) balanced", printed)
    free = numbers(r"^not clipped +(rate [\d.]+): ([\d.]+) balanced", printed)
    assert max(share for (share,) in clipped.values()) > 0.8
    assert max(share for (share,) in free.values()) < 0.3
    norms = numbers(r"^(untrained|trained, clipped) +gradients .*: (\S+), .*, (\S+)$", printed)
    first, last = norms["untrained"]
    assert last > 100 * first
    assert norms["trained, clipped"][1] < 0.01 * last


@pytest.mark.example
def test_reach(tmp_path):
    printed = run("control/reach.py", tmp_path)
    found = numbers(r"^(\S+) *: +([\d.]+) mm off at most, turns at ([\d.]+) rad/s", printed)
    assert found.keys() == {"momentum", "Adam", "L-BFGS"}
    assert all(off < 50 for off, _ in found.values())
    assert found["L-BFGS"][0] < 5
    assert found["L-BFGS"][1] < 0.1
