"""What users hold on to stays: names, signatures, config tags, paths of states.

What changed since it was recorded stands in the tables of the CHANGELOG.
"""

import json
import operator
import re
from pathlib import Path

import pytest

import gradchain as gc
from tests.golden import interface

RECORDED = json.loads(interface.FILE.read_text())
FOUND = interface.found()
CHANGELOG = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
MOVED = dict(re.findall(r"^\| `gc\.(\w+)` \| `gc\.([\w.]+)` \|$", CHANGELOG, re.MULTILINE))
ARGUMENTS = dict(re.findall(r"^\| `(\w+\.\w+)` \| `\w+\.(\w+)` \|$", CHANGELOG, re.MULTILINE))
NEW = {"Params", "Updates", "State"}
NEW_ARGUMENTS = {
    "transform": "(function=None, *, roles='')"
}  # @transform, or @transform(roles=...)


def as_renamed(name, signature):
    for old, new in ARGUMENTS.items():
        if old.startswith(f"{name}."):
            signature = re.sub(rf"\b{old.split('.')[1]}\b", new, signature)
    return signature


def test_flat_names_are_as_they_were_or_stand_in_the_changelog():
    recorded = {k: as_renamed(k, v) for k, v in RECORDED["gradchain"].items() if k not in MOVED}
    found = {k: v for k, v in FOUND["gradchain"].items() if k not in NEW}
    assert found == recorded | NEW_ARGUMENTS


@pytest.mark.parametrize("name", MOVED)
def test_what_moved_is_there(name):
    found = interface.signature(operator.attrgetter(MOVED[name])(gc))
    assert not hasattr(gc, name)
    assert found == as_renamed(name, RECORDED["gradchain"][name])


@pytest.mark.parametrize("part", sorted(RECORDED.keys() - {"gradchain"}))
def test_nothing_else_changed(part):
    assert FOUND[part] == RECORDED[part]


def test_few_names_are_flat_and_no_internal_module_shows():
    shown = {name: getattr(gc, name) for name in dir(gc)}
    rooms = {name for name, value in shown.items() if interface.signature(value) == "module"}
    assert len(shown) - len(rooms) <= 270
    assert not rooms & {"core", "optimizers", "transforms", "wrappers", "config", "cli"}
