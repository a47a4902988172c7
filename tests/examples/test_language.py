"""Text: characters, words, sequences."""

import re

import pytest

from tests.examples.running import numbers, run


@pytest.mark.example
def test_train_text(tmp_path):
    printed = run("language/train_text.py", tmp_path)
    found = re.findall(
        r"^(\w+) +(clipped|not clipped) *: loss (\S+) nats, longest gradient (\S+)$",
        printed,
        re.M,
    )
    loss = {(name, kind): float(value) for name, kind, value, _ in found}
    longest = {(name, kind): float(norm) for name, kind, _, norm in found}
    assert len(loss) == 6
    # Where the run without a clip ends is chance, 4.5 to 50 nats by rounding; it may even be NaN.
    assert not longest["RNN", "not clipped"] < 2.5 * longest["RNN", "clipped"]
    assert not loss["RNN", "not clipped"] < loss["RNN", "clipped"] + 1
    assert all(loss[name, "clipped"] < 3.6 for name in ("RNN", "LSTM", "GRU"))  # a guess: 4.6


@pytest.mark.example
def test_train_words(tmp_path):
    printed = run("language/train_words.py", tmp_path)
    found = re.findall(
        r"^(\w+) *: rare words ([\d.]+), all words ([\d.]+) nats; a row moves ([\d.]+)",
        printed,
        re.M,
    )
    rare, loss, drift = ({name: float(row[i]) for name, *row in found} for i in range(3))
    assert loss.keys() == {"adam", "lazy_adam", "adagrad"}
    assert all(x < 3.8 for x in loss.values())
    assert rare["adagrad"] < rare["lazy_adam"] - 0.2
    assert drift["adam"] > 0.3
    assert drift["lazy_adam"] == drift["adagrad"] == 0.0


@pytest.mark.example
def test_transformer(tmp_path):
    printed = run("language/transformer.py", tmp_path)
    bits = numbers(r"^(half-way|at the end) *: trained ([\d.]+), averaged ([\d.]+) bits", printed)
    letters_alone = 4.7  # the entropy of single letters
    assert max(bits["half-way"]) < letters_alone
    assert max(bits["at the end"]) < min(bits["half-way"])
    trained, averaged = bits["at the end"]
    assert abs(trained - averaged) < 0.03  # the rate has fallen, so both are the same


@pytest.mark.example
def test_classify_text(tmp_path):
    printed = run("language/classify_text.py", tmp_path)
    accuracy = numbers(r"^(bag|convolution) *: training ([\d.]+), held out ([\d.]+)$", printed)
    assert len(accuracy) == 2
    for training, held_out in accuracy.values():
        assert training > held_out + 0.05
        assert held_out > 0.6  # the largest chapter has a quarter of the sentences
    assert accuracy["bag"][1] > accuracy["convolution"][1] - 0.04


@pytest.mark.example
def test_translate_dates(tmp_path):
    printed = run("language/translate_dates.py", tmp_path)
    right = numbers(r"^(attention|mean) *: ([\d.]+) of the held-out dates are right$", printed)
    assert right["attention"][0] > 0.9
    assert right["mean"][0] < 0.5


@pytest.mark.example
def test_summarise(tmp_path):
    printed = run("language/summarise.py", tmp_path)
    rate = numbers(r"^([a-z ]+?) *: ([\d.]+) of the first lines found in (\d+)", printed)
    assert rate["the network"][0] > rate["the shortest"][0] + 0.1
    assert rate["the shortest"][0] > rate["a guess"][0] > rate["the longest"][0]
