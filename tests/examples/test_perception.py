"""Perception: objects in images, symbols in sounds."""

import pytest

from tests.examples.running import numbers, run


@pytest.mark.example
def test_detect_digit(tmp_path):
    printed = run("perception/detect_digit.py", tmp_path)
    guess = numbers(r"^(middle) *: mean IoU ([\d.]+)$", printed)["middle"][0]
    found = numbers(r"^([^:]+?) *: mean IoU ([\d.]+), over one half ([\d.]+)$", printed)
    assert found.keys() == {"smooth L1", "1 - IoU"}
    assert all(iou > guess + 0.3 for iou, _ in found.values())
    assert all(share > 0.85 for _, share in found.values())


@pytest.mark.example
def test_recognise_speech(tmp_path):
    printed = run("perception/recognise_speech.py", tmp_path)
    silence = numbers(r"^(silence) *: in ([\d.]+) of the frames$", printed)["silence"][0]
    found = numbers(
        r"^(CTC|timing known) *: wrong ([\d.]+), blank in ([\d.]+) of the frames$",
        printed,
    )
    first = numbers(r"^(CTC|timing known) *: at the first look, (\d+) symbols written$", printed)
    assert first["CTC"][0] < 0.1 * first["timing known"][0]  # only blanks yet
    assert found["CTC"][0] < 0.16
    assert found["CTC"][0] < found["timing known"][0]
    assert found["CTC"][1] > 1.5 * silence
    assert abs(found["timing known"][1] - silence) < 0.05


@pytest.mark.example
def test_segment_digits(tmp_path):
    found = numbers(
        r"^(cross-entropy|focal|Dice) *: overlap ([\d.]+), at its best threshold ([\d.]+),"
        r" first third ([\d.]+), ink found ([\d.]+)$",
        run("perception/segment_digits.py", tmp_path),
    )
    assert found.keys() == {"cross-entropy", "focal", "Dice"}
    assert found["cross-entropy"][0] < 0.1  # it still answers "nothing anywhere"
    assert found["Dice"][0] > 0.2
    assert found["Dice"][2] > found["cross-entropy"][2] + 0.03
    assert all(overlap <= best for overlap, best, *_ in found.values())
