"""Networks for images and tables, and what happens in them."""

import re

import pytest

from tests.examples.running import run


def accuracy(printed):
    return float(re.search(r"^held-out accuracy: ([\d.]+)$", printed, re.MULTILINE)[1])


@pytest.mark.slow
def test_train_digits(tmp_path):
    printed = run("networks/train_digits.py", tmp_path, small=False)
    assert accuracy(printed) >= 0.98
    assert printed.startswith(
        "chain(\n    clip_by_global_norm(max_norm=1.0, eps=0.0),\n    scale_by_adam("
    )
    assert re.search(r"^optimizer state: [\d,]+ bytes$", printed, re.MULTILINE)
    assert re.search(r"loss [\d.]+ +rate [\d.e+-]+ +gradient norm [\d.]+", printed)
    picture = (tmp_path / "out" / "train_digits.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["train_digits.png"]


@pytest.mark.rotated(3)
def test_train_linen(tmp_path):
    printed = run("networks/train_linen.py", tmp_path, small=False)
    assert accuracy(printed) >= 0.95
    assert re.search(r"^scale_by_adam/mu/Dense_0/kernel ", printed, re.MULTILINE)


@pytest.mark.slow
def test_watch_training(tmp_path):
    printed = run("networks/watch_training.py", tmp_path, small=False)
    found = re.findall(
        r"^(.+): loss ([\d.]+), held-out accuracy ([\d.]+); unhealthy at first: (.+)$",
        printed,
        re.M,
    )
    sigmoids, rectifiers = ((float(row[1]), float(row[2]), row[3]) for row in found)
    assert sigmoids[0] > 2.2
    assert sigmoids[2].startswith("{'layer_0': 'vanishing'")
    assert rectifiers[1] > 0.93
    assert rectifiers[2] == "no layer"
    assert all(
        (tmp_path / "out" / f"watch_{name}.png").stat().st_size > 20_000
        for name in ("sigmoids", "rectifiers")
    )
