"""Ways to train."""

import pytest

from tests.examples.running import numbers, run


@pytest.mark.example
def test_game(tmp_path):
    printed = run("training/game.py", tmp_path)
    found = numbers(r"^(a .*?) *: distance (\S+) at first, (\S+) at the end", printed)
    far = {" ".join(name.split()): end / first for name, (first, end) in found.items()}
    assert far["a product gradient descent"] > 3
    assert far["a product with momentum"] > 100
    assert far["a product optimistic"] < 0.3
    assert far["a Dirac-GAN gradient descent"] > 1.3
    assert far["a Dirac-GAN optimistic"] < 0.8
    for game in ("a product", "a Dirac-GAN"):
        assert far[f"{game} optimistic Adam"] < far[f"{game} Adam"]


@pytest.mark.example
def test_same_curves(tmp_path):
    printed = run("training/same_curves.py", tmp_path)
    apart = numbers(r"^(.+, \w+): at most (\S+) apart, end [\d.]+$", printed)
    assert len(apart) == 9
    assert all(x < 1e-4 for (x,) in apart.values())


@pytest.mark.example
def test_learn_rate(tmp_path):
    printed = run("training/learn_rate.py", tmp_path)
    found = numbers(
        r"^(.+?) *: loss falls to (\S+) of .* rate ([\d.]+), mean .* ([\d.]+)$", printed
    )
    grid, shared, own = (
        found[k] for k in ("best of the grid", "learned, shared", "learned, per step")
    )
    assert shared[0] < 1.3 * grid[0]  # where the grid is coarse, it is lower
    assert abs(shared[1] - grid[1]) < 0.3
    assert abs(shared[2] - grid[2]) < 0.1
    assert own[0] < 0.6 * shared[0]


@pytest.mark.example
def test_averages(tmp_path):
    printed = run("training/averages.py", tmp_path)
    found = numbers(r"^(.+?) *: test loss (\S+) half way, (\S+) at the end$", printed)
    assert len(found) == 4
    end = {name: last for name, (_, last) in found.items()}
    assert end["its moving average"] < end["constant rate"] - 0.02
    assert end["schedule-free"] < end["constant rate"]
    assert end["its moving average"] < end["cosine schedule"] + 0.02


@pytest.mark.example
def test_finetune_lora(tmp_path):
    printed = run("training/finetune_lora.py", tmp_path)
    pattern = r"^(.+?) *: (\d+) numbers, (\d+) bytes of state, accuracy (\S+)$"
    found = numbers(pattern, printed)
    few, state, score = found["LoRA, rank 4"]
    every, whole, best = found["all weights"]
    assert few < 0.1 * every
    assert state < 0.1 * whole
    assert score > best - 0.1
    base = numbers(r"^(base): accuracy (\S+) on digits, (\S+) mirrored$", printed)["base"]
    assert score > base[1] + 0.3


@pytest.mark.example
def test_sharpness_aware(tmp_path):
    printed = run("training/sharpness_aware.py", tmp_path)
    found = numbers(
        r"^AdamW, (.+): held-out accuracy (\S+)% .+, eigenvalue (\S+) \+- \S+$", printed
    )
    ((twice,),) = numbers(r"^(AdamW), twice the steps: (\S+)% ", printed).values()
    (_, sharp), (held, flat) = found["radius 0.0"], found["radius 0.4"]
    assert flat < 0.6 * sharp
    assert held > twice  # at the same number of gradients
    assert held > 92


@pytest.mark.example
def test_plot_precision(tmp_path):
    printed = run("training/plot_precision.py", tmp_path)
    found = numbers(r"^(.+?) *: final loss (\S+), (\S+) bytes of state a parameter$", printed)
    exact, size = found["float32"]
    assert size == pytest.approx(8, abs=0.01)
    assert found["bfloat16"][0] > 1.05 * exact
    for way, more in {"by chance": 0, "Kahan": 2, "split": 2, "master": 4}.items():
        end, bytes_of = found[f"bfloat16, {way}"]
        assert end == pytest.approx(exact, rel=0.1)
        assert bytes_of == pytest.approx(8 + more, abs=0.01)
    assert found["moments in 8 bits"][0] == pytest.approx(exact, rel=0.2)
    assert found["moments in 4 bits"][1] < found["moments in 8 bits"][1] < 3


@pytest.mark.example
def test_private(tmp_path):
    printed = run("training/private.py", tmp_path)
    ((free,),) = numbers(r"^(no noise): accuracy (\S+)% ", printed).values()
    found = numbers(r"^noise (\S+): epsilon (\S+), accuracy (\S+)% ", printed)
    spent, right = zip(*found.values(), strict=True)
    assert list(spent) == sorted(spent, reverse=True)
    assert found["4.0"][0] == pytest.approx(1.20, abs=0.02)
    assert min(free, right[1]) > 91
    assert right[-1] < free - 3
