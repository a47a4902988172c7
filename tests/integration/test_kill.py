"""A process that is killed again and again while it writes checkpoints ends where an undisturbed
one does.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "integration" / "crash_training.py"


def start(folder):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), str(folder)]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run_to_the_end(folder):
    """The step from which the run went on, and the bytes of its parameters at the end."""
    output, errors = start(folder).communicate()
    lines = output.splitlines()
    assert lines and lines[-1].startswith("done"), errors
    return int(lines[0].removeprefix("from ")), lines[-1]


def run_and_kill(folder, steps, delay):
    """Let the run make some steps, and kill it a moment later, while it writes."""
    with start(folder) as process:
        for _ in process.stdout:
            steps -= 1
            if steps < 0:
                break
        else:
            raise AssertionError(f"it ended by itself:\n{process.stderr.read()}")
        time.sleep(delay)
        process.kill()


def assert_survives(folder, steps):
    """Killed after so many steps each time, a random moment later."""
    rng = random.Random(0)
    _, expected = run_to_the_end(folder / "undisturbed")
    for n in steps:
        run_and_kill(folder / "killed", n, delay=rng.uniform(0.0, 0.05))
    went_on, found = run_to_the_end(folder / "killed")
    assert went_on > 0  # from a checkpoint of a killed process
    assert found == expected


@pytest.mark.slow
def test_a_killed_run_ends_bit_for_bit_the_same(tmp_path):
    assert_survives(tmp_path, steps=[10, 8])


@pytest.mark.slow
def test_a_run_killed_20_times_ends_bit_for_bit_the_same(tmp_path):
    rng = random.Random(1)
    assert_survives(tmp_path, steps=[rng.randint(0, 6) for _ in range(20)])
