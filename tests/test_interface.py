"""What users hold on to stays: names, signatures, config tags, paths of states."""

import json

import pytest

from tests.golden import interface

RECORDED = json.loads(interface.FILE.read_text())
FOUND = interface.found()


@pytest.mark.parametrize("part", RECORDED)
def test_nothing_changed(part):
    assert FOUND[part] == RECORDED[part]
