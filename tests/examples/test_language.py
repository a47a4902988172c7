"""Text: characters, words, sequences."""

import re

import pytest

from tests.examples.running import numbers, run


def text(printed):
    """Losses and longest gradients, by network and by whether they were clipped."""
    found = re.findall(
        r"^(\w+) +(clipped|not clipped) *: loss (\S+) nats, longest gradient (\S+)$",
        printed,
        re.MULTILINE,
    )
    loss = {(name, kind): float(value) for name, kind, value, _ in found}
    longest = {(name, kind): float(norm) for name, kind, _, norm in found}
    assert len(loss) == 6
    # Where the run without a clip ends is chance, 4.5 to 50 nats by rounding; it may even be NaN.
    assert not loss["RNN", "not clipped"] < loss["RNN", "clipped"] + 1
    assert not longest["RNN", "not clipped"] < 2.5 * longest["RNN", "clipped"]
    return [loss[name, "clipped"] for name in ("RNN", "LSTM", "GRU")]


@pytest.mark.example
def test_train_text(tmp_path):
    assert max(text(run("language/train_text.py", tmp_path))) < 3.6  # a guess: 4.6


@pytest.mark.slow
def test_train_text_at_full_size(tmp_path):
    assert max(text(run("language/train_text.py", tmp_path, small=False))) < 2.6


def words(printed):
    """The losses of rare and of all words, and how far a row moves, by optimizer."""
    found = numbers(
        r"^(\w+) *: rare words ([\d.]+), all words ([\d.]+) nats; a row moves ([\d.]+)", printed
    )
    assert found.keys() == {"adam", "lazy_adam", "adagrad"}
    rare, loss, drift = ({name: row[i] for name, row in found.items()} for i in range(3))
    assert rare["adagrad"] < rare["lazy_adam"]
    assert drift["lazy_adam"] == drift["adagrad"] == 0.0
    return loss, drift


@pytest.mark.example
def test_train_words(tmp_path):
    loss, drift = words(run("language/train_words.py", tmp_path))
    assert max(loss.values()) < 3.8
    assert drift["adam"] > 0.3


@pytest.mark.slow
def test_train_words_at_full_size(tmp_path):
    loss, drift = words(run("language/train_words.py", tmp_path, small=False))
    assert max(loss.values()) < 3.1
    assert drift["adam"] > 1.0


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


def share_of_muon(printed):
    """The share of the steps after which Muon has the last loss of AdamW, with its interval."""
    found = numbers(r"^(muon) has the last loss of adamw after ([\d.]+) ± ([\d.]+) of", printed)
    assert numbers(r"^(\w+) *: best rate ([\d.]+),", printed).keys() == {"adamw", "muon"}
    return found["muon"]


@pytest.mark.example
def test_muon(tmp_path):
    share, _ = share_of_muon(run("language/muon.py", tmp_path))
    assert share < 0.95


@pytest.mark.slow
def test_muon_at_full_size(tmp_path):
    share, half = share_of_muon(run("language/muon.py", tmp_path, small=False))
    assert share + half < 1.0
