"""An editor shows the arguments of every name of the dialect, as they are when it runs."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import optax
import pytest

import gradchain.as_optax as spoken
from tests.as_optax.test_names import modules

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def functions(module):
    """Names of what is called with arguments; classes and aliases of types are left out."""
    found = {name: x for name, x in vars(module).items() if name[0] != "_"}
    return {name: x for name, x in found.items() if inspect.isfunction(x)}


def paths():
    """The functions of the dialect that optax has too, by their paths, each with optax's."""
    found = {}
    for module, (theirs, ours) in modules().items():
        own = {} if ours is None else functions(ours)
        for name in sorted(own.keys() & vars(theirs).keys()):
            found[f"{module}.{name}".lstrip(".")] = own[name], getattr(theirs, name)
    return found


FUNCTIONS = paths()


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The text of each function's type, by its path."""
    file = tmp_path_factory.mktemp("types") / "hovering.py"
    lines = ["from typing import reveal_type", "import gradchain.as_optax as optax"]
    lines += [f"reveal_type(optax.{path})" for path in FUNCTIONS]
    file.write_text("\n".join(lines))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(file)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return dict(re.findall(r'Type of "optax\.([\w.]+)" is "(.*)"', output.stdout))


def shown_names(text):
    """The names of a signature: what follows its outermost commas, up to the colon."""
    depth, parts = 0, [""]
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0:
            break
        if letter == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += letter
    found = [re.match(r"\(?\s*\**(\w+|\.\.\.)?", part) for part in parts]
    return [match[1] for match in found if match and match[1]]


def names(function):
    return list(inspect.signature(function).parameters)


def test_names_are_read_from_the_text_of_a_type():
    text = "(a: dict[str, int], /, f: (...) -> Any, *rest: Any, *, key: int = 0) -> (x: int)"
    assert shown_names(text) == ["a", "f", "rest", "key"]
    assert shown_names("(...) -> Any") == ["..."]
    assert shown_names("() -> Any") == []


def test_the_arguments_shown_are_those_that_are_taken(shown):
    assert len(FUNCTIONS) > 300
    assert shown.keys() == FUNCTIONS.keys()
    taken = {path: names(ours) for path, (ours, _) in FUNCTIONS.items()}
    found = {path: shown_names(text) for path, text in shown.items()}
    assert {path: (found[path], own) for path, own in taken.items() if found[path] != own} == {}


def test_the_arguments_shown_begin_with_those_of_optax(shown):
    if optax.__version__ != "0.2.8":
        pytest.skip("the arguments of another version")
    for path, (_, theirs) in FUNCTIONS.items():
        first = names(theirs)
        assert shown_names(shown[path])[: len(first)] == first, path


def test_factories_are_shown_to_make_what_they_make(shown):
    made = {path: text for path, text in shown.items() if "-> GradientTransf" in text}
    assert len(made) > 100
    exact = f"-> {spoken.GradientTransformationExtraArgs.__name__}"
    assert [path for path, text in made.items() if not text.endswith((exact, f"{exact})"))] == []
