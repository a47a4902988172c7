"""Run an example as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PNG = b"\x89PNG"

#: Small beside all other examples, at full size among the slow tests.
both_sizes = pytest.mark.parametrize(
    "small",
    [pytest.param(True, marks=pytest.mark.example), pytest.param(False, marks=pytest.mark.slow)],
    ids=["small", "full"],
)


def run(name: str, folder: Path, *, small: bool = True) -> str:
    """What an example prints when it runs in ``folder``, on the CPU and without a screen.

    Args:
        name: its path below ``examples/``.
        folder: an empty folder, where it writes its picture.
        small: whether it runs at small size, with ``--small``.
    """
    env = os.environ | {"MPLBACKEND": "Agg", "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "error"}
    env.pop("XLA_FLAGS", None)  # those of the tests are for programs that run for microseconds
    command = [sys.executable, str(EXAMPLES / name), *["--small"] * small]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    for path in re.findall(r"^picture: (\S+)$", done.stdout, re.MULTILINE):
        picture = (folder / path).read_bytes()
        assert picture.startswith(PNG)
        assert len(picture) > 15_000
    return done.stdout


def accuracy(printed: str) -> float:
    """What an example prints as its accuracy on held-out data."""
    found = re.search(r"^held-out accuracy: ([\d.]+)$", printed, re.MULTILINE)
    assert found, printed
    return float(found[1])


def numbers(pattern: str, printed: str) -> dict[str, list[float]]:
    """The numbers of the lines that fit: by the first group, those of the others."""
    rows = re.findall(pattern, printed, re.MULTILINE)
    assert rows, f"no line fits {pattern!r} in:\n{printed}"
    return {name.strip(): [float(x.replace(",", "")) for x in row] for name, *row in rows}
