"""Each example has a test, a title, a place and a size."""

import re
from pathlib import Path

import pytest

from tests.examples.running import EXAMPLES

ALL = sorted(EXAMPLES.glob("*/*.py"))
TESTS = sorted(Path(__file__).parent.glob("test_*.py"))


def test_every_example_is_run_by_a_test_of_its_folder():
    runs = {p.stem.removeprefix("test_"): p.read_text() for p in TESTS}
    tested = {
        f"{folder}/{name}.py"
        for folder, text in runs.items()
        for name in re.findall(rf'run\(\s*"{folder}/(\w+)\.py"', text)
    }
    assert tested == {path.relative_to(EXAMPLES).as_posix() for path in ALL}
    assert not list(EXAMPLES.glob("*.py")), "an example stands in the folder of its subject"


def test_make_examples_runs_every_one():
    run_by_it = set()
    for path in TESTS:
        for test in path.read_text().split("\n\n\n"):
            if "mark.example" in test or "@both_sizes" in test:
                run_by_it |= set(re.findall(r'run\(\s*"(\w+/\w+)\.py"', test))
    assert run_by_it == {path.relative_to(EXAMPLES).with_suffix("").as_posix() for path in ALL}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_an_example_is_short_and_begins_with_a_title(path):
    text = path.read_text()
    assert re.match(r'"""\n(.+)\n(=+)\n\n', text)
    assert len(text.splitlines()) <= 120
    assert "__file__" not in text.replace("gc.__file__", ""), "the gallery runs it without a file"
