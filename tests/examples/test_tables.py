"""Tables: rare events, recommendation."""

import pytest

from tests.examples.running import numbers, run


@pytest.mark.example
def test_detect_fraud(tmp_path):
    printed = run("tables/detect_fraud.py", tmp_path)
    found = numbers(
        r"^(\w[\w -]+?) *: accuracy ([\d.]+), recall ([\d.]+), precision ([\d.]+),"
        r" average precision ([\d.]+)$",
        printed,
    )
    best = numbers(r"^(best possible) *: average precision ([\d.]+)$", printed)
    plain, weighted, undone = (
        found[name] for name in ("cross-entropy", "class weights", "weights undone")
    )
    assert weighted[0] < 0.999 <= plain[0]  # the one that finds most is the least accurate
    assert weighted[1] > plain[1] + 0.4
    assert weighted[2] < 0.4 < undone[2]
    assert undone[0] > weighted[0]
    assert undone[3] == weighted[3] < best["best possible"][0]
    assert weighted[3] > 0.5


@pytest.mark.example
def test_recommend(tmp_path):
    found = numbers(
        r"^(adam|lazy_adam) *: error ([\d.]+), rare films ([\d.]+), rows move ([\d.]+)",
        run("tables/recommend.py", tmp_path),
    )
    assert found["lazy_adam"][2] == 0.0
    assert found["adam"][2] > 1.0
    assert abs(found["adam"][0] - found["lazy_adam"][0]) < 0.05
    assert all(0.45 < error < 0.65 for error, *_ in found.values())
