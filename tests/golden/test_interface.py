"""What users hold on to stays: names, signatures, config tags, paths of states.

New names are welcome. What changed since it was recorded stands in the tables of the CHANGELOG.
"""

import json
import operator
import re
from pathlib import Path

import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES
from tests.golden import interface

RECORDED = json.loads(interface.FILE.read_text())
FOUND = interface.found()
CHANGELOG = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
MOVED = dict(re.findall(r"^\| `gc\.(\w+)` \| `gc\.([\w.]+)` \|$", CHANGELOG, re.MULTILINE))
ARGUMENTS = dict(re.findall(r"^\| `(\w+\.\w+)` \| `\w+\.(\w+)` \|$", CHANGELOG, re.MULTILINE))
NEW_ARGUMENTS = dict(
    re.findall(r"^\| `\w+\(.*\)` \| `(\w+)(\(.*\))` \|$", CHANGELOG, re.MULTILINE)
)


def changes(recorded, found):
    """What is gone, or is another thing now."""
    return {k: (v, found.get(k)) for k, v in recorded.items() if found.get(k) != v}


def as_renamed(name, signature):
    for old, new in ARGUMENTS.items():
        if old.startswith(f"{name}."):
            signature = re.sub(rf"\b{old.split('.')[1]}\b", new, signature)
    return signature


def test_flat_names_are_as_they_were_or_stand_in_the_changelog():
    recorded = {k: as_renamed(k, v) for k, v in RECORDED["gradchain"].items()} | NEW_ARGUMENTS
    flat = {k: v for k, v in recorded.items() if k not in MOVED}
    assert changes(flat, FOUND["gradchain"]) == {}


@pytest.mark.parametrize("name", MOVED)
def test_what_moved_is_there(name):
    found = interface.signature(operator.attrgetter(MOVED[name])(gc))
    assert not hasattr(gc, name)
    assert found == NEW_ARGUMENTS.get(name, as_renamed(name, RECORDED["gradchain"][name]))


@pytest.mark.parametrize("part", sorted(RECORDED.keys() - {"gradchain"}))
def test_nothing_else_changed(part):
    assert changes(RECORDED[part], FOUND[part]) == {}


def test_a_name_that_is_gone_or_changed_is_found():
    recorded = {"adam": "(learning_rate)", "sgd": "(learning_rate)"}
    assert changes(recorded, recorded | {"new": "()"}) == {}
    assert changes(recorded, {"adam": "(rate)"}).keys() == {"adam", "sgd"}


def test_few_names_are_flat_and_no_internal_module_shows():
    shown = {name: getattr(gc, name) for name in dir(gc)}
    rooms = {name for name, value in shown.items() if interface.signature(value) == "module"}
    made = {f.name for f in FACTORIES.values() if f.kind is gc.GradientTransformation}
    assert len(shown.keys() - rooms - made) <= 60
    assert not rooms & {"core", "optimizers", "transforms", "wrappers", "config", "cli"}
