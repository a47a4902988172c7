"""Users' type checkers: no fault in code that is right, one in each line that is wrong."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMMANDS = {
    "pyright": ["pyright"],
    "mypy": ["mypy", "--follow-imports=silent", "--ignore-missing-imports"],
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each checker says of the files: file, line, kind and text."""
    cache = tmp_path_factory.mktemp("types")

    def run(checker):
        command = [sys.executable, "-m", *COMMANDS[checker]]
        command += ["--cache-dir", str(cache)] if checker == "mypy" else []
        files = ["correct.py", "wrong.py", *(["shown.py"] if checker == "pyright" else [])]
        command += [str(HERE / name) for name in files]
        output = subprocess.run(command, cwd=HERE.parent.parent, capture_output=True, text=True)
        line = r"(\w+)\.py:(\d+)(?::\d+)?(?: -)?:? (\w+): (.*)"
        return re.findall(line, output.stdout)

    return {checker: run(checker) for checker in COMMANDS}


def faults(said, file):
    return {int(line) for name, line, kind, _ in said if (name, kind) == (file, "error")}


@pytest.mark.parametrize("checker", COMMANDS)
def test_what_is_right_is_clean(said, checker):
    assert not faults(said[checker], "correct")


@pytest.mark.parametrize("checker", COMMANDS)
def test_what_is_wrong_is_seen(said, checker):
    lines = enumerate((HERE / "wrong.py").read_text().splitlines(), start=1)
    marked = {i for i, line in lines if line.endswith(("# wrong", f"# wrong: {checker}"))}
    assert len(marked) > 20
    assert faults(said[checker], "wrong") == marked


def test_an_editor_shows_names_types_and_defaults(said):
    lines = (HERE / "shown.py").read_text().splitlines()
    shown = {int(i): text for name, i, _, text in said["pyright"] if name == "shown"}
    expected = {i: line.split("  # ")[1] for i, line in enumerate(lines, 1) if "  # " in line}
    assert shown.keys() == expected.keys()
    assert not {i: shown[i] for i, part in expected.items() if part not in shown[i]}


@pytest.mark.usefixtures("jax_as_users_have_it")
def test_what_is_right_runs():
    importlib.import_module("tests.typing.correct")


def test_an_editable_install_is_found_from_elsewhere(tmp_path):
    (tmp_path / "elsewhere.py").write_text(
        "import gradchain as gc\n\nreveal_type(gc.adam(0.1))\n"
    )
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "elsewhere.py"]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert 'is "GradientTransformation"' in output.stdout, output.stdout
