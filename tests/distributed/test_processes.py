"""Two processes train as one does, and end when one of them dies."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from jax.sharding import AxisType

from tests.distributed.process_worker import train

ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


@pytest.fixture
def start():
    """Start processes that train together; those that are left at the end are ended."""
    started = []

    def start_together(count, mode):
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
        environment.pop("XLA_FLAGS", None)
        address = f"localhost:{free_port()}"
        words = [sys.executable, "-m", "tests.distributed.process_worker", address, str(count)]
        for number in range(count):
            process = subprocess.Popen(
                [*words, str(number), mode],
                cwd=ROOT,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            started.append(process)
        return started

    yield start_together
    for process in started:
        process.kill()
        process.communicate()


def numbers(output):
    return [float(found) for found in re.findall(r"^step \d+: (\S+)$", output, re.M)]


def test_two_processes_train_as_one(start):
    ends = [process.communicate(timeout=120) for process in start(2, "together")]
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    alone = list(train(mesh, steps=4))
    for output, errors in ends:
        assert numbers(output) == pytest.approx(alone, abs=2e-5), errors
    said = [
        re.findall(r"^(\w+): (\S+) times fewer bytes, cosine (\S+)$", o, re.M) for o, _ in ends
    ]
    assert said[0] == said[1]  # both have the same result
    found = {name: (float(ratio), float(cosine)) for name, ratio, cosine in said[0]}
    least = {"int8": 3.9, "sign": 31.9, "vote": 31.9, "top_k": 45, "power_sgd": 100}
    assert {name: found[name][0] >= ratio for name, ratio in least.items()} == dict.fromkeys(
        least, True
    ), found
    assert found["int8"][1] > 0.999
    assert all(cosine > 0.05 for _, cosine in found.values()), found


def test_the_others_end_soon_after_one_is_killed(start):
    left, killed = start(2, "killed")
    assert killed.wait(timeout=120) < 0
    before = time.monotonic()
    output, errors = left.communicate(timeout=30)
    assert left.returncode != 0
    assert len(numbers(output)) >= 2
    print(f"ended with {left.returncode} after {time.monotonic() - before:.1f} s\n{errors}")
