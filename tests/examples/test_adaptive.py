"""Adaptive rates: where they come from, and a comparison."""

import pytest

from tests.examples.running import numbers, run


@pytest.mark.example
def test_vanishing_rate(tmp_path):
    printed = run("adaptive/vanishing_rate.py", tmp_path)
    found = numbers(
        r"^(\w+) +rate \S+ common (\S+) to (\S+), rare (\S+) to (\S+), "
        r"loss in phase 2 (\S+), 8 (\S+)$",
        printed,
    )
    assert found.keys() == {"Adagrad", "RMSprop", "Adadelta", "Adam"}
    for name, (common, common_end, rare, rare_end, young, old) in found.items():
        assert rare > 2.5 * common
        assert rare_end > 2.5 * common_end
        if name == "Adagrad":
            assert common > 3 * common_end
            assert old > 1.7 * young
        else:
            assert common < 2 * common_end
            assert old < 1.3 * young
    young, old = ({name: row[i] for name, row in found.items()} for i in (4, 5))
    assert min(young, key=young.get) == "Adagrad"
    assert old["Adam"] < old["Adagrad"] / 1.3


@pytest.mark.example
def test_compare_adaptive(tmp_path):
    printed = run("adaptive/compare_adaptive.py", tmp_path)
    found = numbers(
        r"^(\w+) *: rate (\S+), held out (\S+)% \+- (\S+), than adam (\S+) \+- (\S+), "
        r"a step (\S+) us$",
        printed,
    )
    assert found.keys() == {"adam", "lion"}
    for _, mean, spread, more, about, cost in found.values():
        assert mean > 88
        assert abs(more) < 5
        assert spread >= 0 <= about
        assert cost > 0
    assert found["adam"][3] == 0
    assert found["lion"][0] < found["adam"][0]  # the sign of a gradient is a long step
