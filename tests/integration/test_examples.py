"""The examples run as a user runs them, and reach what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, folder):
    """What the example prints when it runs in ``folder``, on the CPU and without a screen."""
    env = os.environ | {"MPLBACKEND": "Agg", "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "error"}
    env.pop("XLA_FLAGS", None)  # those of the tests are for programs that run for microseconds
    command = [sys.executable, str(EXAMPLES / name)]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def accuracy(printed):
    return float(re.search(r"^held-out accuracy: ([\d.]+)$", printed, re.MULTILINE)[1])


@pytest.mark.slow
def test_train_digits(tmp_path):
    printed = run("train_digits.py", tmp_path)
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
    printed = run("train_linen.py", tmp_path)
    assert accuracy(printed) >= 0.95
    assert re.search(r"^scale_by_adam/mu/Dense_0/kernel ", printed, re.MULTILINE)


@pytest.mark.slow
def test_train_text(tmp_path):
    printed = run("train_text.py", tmp_path)
    found = re.findall(
        r"^(\w+) +(clipped|not clipped) *: loss (\S+) nats, longest gradient (\S+)$",
        printed,
        re.M,
    )
    loss = {(name, kind): float(value) for name, kind, value, _ in found}
    longest = {(name, kind): float(norm) for name, kind, _, norm in found}
    assert len(loss) == 6
    # Where the run without a clip ends is chance, 4.5 to 47 nats by rounding; it may even be NaN.
    assert not longest["RNN", "not clipped"] < 10 * longest["RNN", "clipped"]
    assert not loss["RNN", "not clipped"] < loss["RNN", "clipped"] + 1
    assert all(loss[name, "clipped"] < 2.6 for name in ("RNN", "LSTM", "GRU"))
    assert (tmp_path / "out" / "train_text.png").stat().st_size > 20_000


@pytest.mark.rotated(3)
def test_plot_schedules(tmp_path):
    printed = run("plot_schedules.py", tmp_path)
    begin, below = map(
        float, re.search(r"begin with ([\d.]+), stay below ([\d.]+)", printed).groups()
    )
    assert 0.01 < begin < 1
    assert begin < below


@pytest.mark.slow
def test_plot_spectrum(tmp_path):
    printed = run("plot_spectrum.py", tmp_path)
    found = re.findall(
        r"^learning rate ([\d.]+): loss ([\d.]+), sharpness ([\d.]+)", printed, re.MULTILINE
    )
    gentle, middle, hasty = ([float(x) for x in row] for row in found)
    assert gentle[2] < 10  # far below 2 / 0.1
    assert abs(hasty[2] - 2 / hasty[0]) < 0.5
    assert hasty[1] < middle[1] < gentle[1] < 0.1
    ends = {
        k: float(v)
        for k, v in re.findall(r"^(.+): eigenvalues from ([-\d.]+)", printed, re.MULTILINE)
    }
    assert ends["at the start"] < -0.5 < ends["after training"]


@pytest.mark.rotated(3)
def test_plot_line_search(tmp_path):
    printed = run("plot_line_search.py", tmp_path)
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
def test_plot_fit_curve(tmp_path):
    printed = run("plot_fit_curve.py", tmp_path)
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


@pytest.mark.slow
def test_train_words(tmp_path):
    printed = run("train_words.py", tmp_path)
    found = re.findall(
        r"^(\w+) *: rare words ([\d.]+), all words ([\d.]+) nats; a row moves ([\d.]+)",
        printed,
        re.M,
    )
    rare, loss, drift = ({name: float(row[i]) for name, *row in found} for i in range(3))
    assert loss.keys() == {"adam", "lazy_adam", "adagrad"}
    assert all(x < 3.1 for x in loss.values())
    assert rare["adagrad"] < rare["lazy_adam"]
    assert drift["adam"] > 1.0
    assert drift["lazy_adam"] == drift["adagrad"] == 0.0
    assert (tmp_path / "out" / "train_words.png").stat().st_size > 20_000


@pytest.mark.rotated(3)
def test_sweep_learning_rates(tmp_path):
    printed = run("sweep_learning_rates.py", tmp_path)
    assert "learning rates: 32, compiled programs: 1\n" in printed
    assert 1e-3 < float(re.search(r"^best learning rate: (.+)$", printed, re.MULTILINE)[1]) < 0.2
    assert accuracy(printed) >= 0.95
    assert (tmp_path / "out" / "sweep_learning_rates.png").stat().st_size > 20_000


@pytest.mark.slow
def test_watch_training(tmp_path):
    printed = run("watch_training.py", tmp_path)
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


def test_every_example_is_run_here():
    names = [name for name in globals() if re.match("test_(train|plot|sweep|watch)_", name)]
    tested = {name.removeprefix("test_") + ".py" for name in names}
    assert tested == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_begins_with_a_title(path):
    text = path.read_text()
    assert re.match(r'"""\n(.+)\n(=+)\n\n', text)
    assert len(text.splitlines()) <= 160


@pytest.mark.slow
def test_plot_minimizers(tmp_path):
    printed = run("plot_minimizers.py", tmp_path)
    evals = {}
    for title, part in re.findall(r"^(\S.*)\n((?:  .*\n)+)", printed, re.MULTILINE):
        evals[title] = {
            k: int(n) for k, n in re.findall(r"^  (.*?) +(\d+) evaluations", part, re.MULTILINE)
        }
    valley = evals["Rosenbrock's valley"]
    assert valley["L-BFGS"] < valley["conjugate gradients"] < valley["steepest descent"]
    losses = dict(re.findall(r"^  (.*?) +loss ([\d.]+)", printed, re.MULTILINE))
    assert float(losses["L-BFGS"]) < float(losses["Adam"]) < float(losses["gradient descent"])
