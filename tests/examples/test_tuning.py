"""Hyperparameters: searched, swept, found."""

import re

import pytest

from tests.examples.running import accuracy, both_sizes, numbers, run


@both_sizes
def test_sweep_learning_rates(tmp_path, small):
    printed = run("tuning/sweep_learning_rates.py", tmp_path, small=small)
    assert "learning rates: 32, compiled programs: 1\n" in printed
    assert 1e-3 < float(re.search(r"^best learning rate: (.+)$", printed, re.MULTILINE)[1]) < 0.2
    assert accuracy(printed) >= 0.95
    assert (tmp_path / "out" / "sweep_learning_rates.png").stat().st_size > 20_000


@pytest.mark.example
def test_random_search(tmp_path):
    printed = run("tuning/random_search.py", tmp_path)
    found = numbers(
        r"^(\w+) *: discrepancy (\S+) to (\S+), best validation loss (\S+), from (\S+) to (\S+), "
        r"held out (\S+)%$",
        printed,
    )
    assert found.keys() == {"random", "Sobol"}
    assert found["Sobol"][1] < 0.6 * found["random"][0]  # the least even against the most even
    for _, _, mean, least, most, held in found.values():
        assert 0 < least < mean < most < 1
        assert held > 75


@pytest.mark.example
def test_halving(tmp_path):
    printed = run("tuning/halving.py", tmp_path)
    found = numbers(
        r"^(\w+): (\d+) settings, validation loss (\S+), above 0.5 in (\d+) repeats, "
        r"held out (\S+)%$",
        printed,
    )
    halving, random = found["halving"], found["random"]
    assert (halving[0], random[0]) == (16, 2)  # at equal cost
    # Which of them is better is chance: the interval of the difference holds zero.
    assert halving[1] < random[1] + 0.1
    assert halving[3] > 85


@pytest.mark.example
def test_width(tmp_path):
    printed = run("tuning/width.py", tmp_path)
    shift = numbers(r"^(.+): best rate, narrowest over widest ([\d.]+)$", printed)
    moved = numbers(r"^(.+): hidden units move ([\d.]+) times as far in the widest$", printed)
    one, mup = "one rate for all layers", "muP"
    assert shift[one][0] > 3 > shift[mup][0]
    assert moved[one][0] > 1.5 > moved[mup][0] > 0.5


@pytest.mark.example
def test_population(tmp_path):
    printed = run("tuning/population.py", tmp_path)
    found = numbers(r"^(fixed rates|copies): winner (\S+), median (\S+)$", printed)
    (_, fixed), (winner, copied) = found["fixed rates"], found["copies"]
    assert copied < fixed / 3  # most random rates are bad, and are replaced
    assert winner < found["fixed rates"][0] + 0.02
    rates = numbers(r"^(\w+): highest (\S+), last (\S+) to (\S+)$", printed)
    assert 3e-3 < rates["learning_rate"][0] < 0.2  # the middle of the random ones is 3e-3
