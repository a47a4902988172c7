"""Networks for images and tables, and what happens in them."""

import re

import pytest

from tests.examples.running import accuracy, numbers, run


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


@pytest.mark.example
def test_train_digits_small(tmp_path):
    printed = run("networks/train_digits.py", tmp_path)
    assert accuracy(printed) >= 0.85
    assert printed.startswith("chain(")


@pytest.mark.parametrize(
    ("small", "least"),
    [
        pytest.param(True, 0.93, marks=pytest.mark.example),
        pytest.param(False, 0.95, marks=pytest.mark.rotated(3)),
    ],
)
def test_train_linen(tmp_path, small, least):
    printed = run("networks/train_linen.py", tmp_path, small=small)
    assert accuracy(printed) >= least
    assert re.search(r"^scale_by_adam/mu/Dense_0/kernel ", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("small", "least"),
    [
        pytest.param(True, 0.8, marks=pytest.mark.example),
        pytest.param(False, 0.93, marks=pytest.mark.slow),
    ],
)
def test_watch_training(tmp_path, small, least):
    printed = run("networks/watch_training.py", tmp_path, small=small)
    found = re.findall(
        r"^(.+): loss ([\d.]+), held-out accuracy ([\d.]+); unhealthy at first: (.+)$",
        printed,
        re.M,
    )
    sigmoids, rectifiers = ((float(row[1]), float(row[2]), row[3]) for row in found)
    assert sigmoids[0] > 2.2
    assert sigmoids[2].startswith("{'layer_0': 'vanishing'")
    assert rectifiers[1] > least
    assert rectifiers[2] == "no layer"
    assert all(
        (tmp_path / "out" / f"watch_{name}.png").stat().st_size > 20_000
        for name in ("sigmoids", "rectifiers")
    )


@pytest.mark.example
def test_vanishing_gradients(tmp_path):
    printed = run("networks/vanishing_gradients.py", tmp_path)
    norms = numbers(r"^(.+?) *: norm (\S+) in the first layer, (\S+) in the last", printed)
    ratio = {name: first / last for name, (first, last) in norms.items()}
    loss = {k: v for k, (v,) in numbers(r"^(.+?) *: loss at the end (\S+)$", printed).items()}
    assert ratio["small weights"] < 1e-4
    assert ratio["large weights"] == ratio["large + clipping"] > 1e2
    assert all(0.1 < ratio[name] < 300 for name in ("right weights", "small + batch norm"))
    assert 0.1 < ratio["small + residual"] < 300
    assert loss["small weights"] > 2.25
    assert not loss["large weights"] < 100  # most often not a number
    assert loss["small + residual"] < 1.0
    assert loss["small + batch norm"] < 2.1


@pytest.mark.example
def test_batch_norm(tmp_path):
    found = numbers(
        r"^(\w+) +batch norm: (\d+) of .+ train, (\S+) to (\S+); .+ accuracy (\S+)$",
        run("networks/batch_norm.py", tmp_path),
    )
    assert found["with"][0] > found["without"][0]
    assert found["with"][2] > 3 * found["without"][2]
    assert found["with"][3] > 0.9


@pytest.mark.example
def test_dropout(tmp_path):
    found = numbers(
        r"^dropout (\S+): loss in training (\S+) after \d+ steps, (\S+) at .+ gap (\S+), .+$",
        run("networks/dropout.py", tmp_path),
    )
    early, _, gap = zip(*found.values(), strict=True)
    assert list(early) == sorted(early)
    assert gap[3] < 0.8 * gap[0]


@pytest.mark.example
def test_overfitting(tmp_path):
    found = numbers(
        r"^(.+?) *: test loss (\S+), gap (\S+), (\d+) of (\d+) weights are zero$",
        run("networks/overfitting.py", tmp_path),
    )
    gap = {name: row[1] for name, row in found.items()}
    zeros = {name: row[2] / row[3] for name, row in found.items()}
    assert all(gap[name] < 0.9 * gap["nothing"] for name in gap if name != "nothing")
    assert found["early stopping"][0] < found["nothing"][0]
    assert zeros["L1"] > 0.1
    assert all(zeros[name] < 0.01 for name in zeros if name != "L1")


@pytest.mark.example
def test_convolutions(tmp_path):
    printed = run("networks/convolutions.py", tmp_path)
    kinds = numbers(r"^(\w+): best rate (\S+), held out, shifted: (\S+) (\S+)$", printed)
    assert all(held > 0.75 and held > moved + 0.1 for _, held, moved in kinds.values())
    rows = numbers(r"^(depth +\d+): (\S+) (\S+) (\S+)$", printed)
    assert all(row[1] > row[0] - 0.05 and row[2] < 0.5 for row in rows.values())


@pytest.mark.example
def test_wide(tmp_path):
    printed = run("networks/wide.py", tmp_path)
    found = numbers(
        r"^(\w+) *: state .+ bytes, (\S+) times .+ step (\S+) ms; loss (\S+), .+ (\S+)$", printed
    )
    parameters = int(re.search(r"^parameters: (\S+),", printed, re.M)[1].replace(",", ""))
    ratio = {name: row[0] for name, row in found.items()}
    assert parameters > 1_000_000
    assert ratio["sgd"] < 0.001
    assert ratio["momentum"] == pytest.approx(1, abs=0.01)
    assert ratio["adam"] == pytest.approx(2, abs=0.01)
    assert ratio["adafactor"] < 0.1
    assert all(row[3] > 0.8 for row in found.values())
