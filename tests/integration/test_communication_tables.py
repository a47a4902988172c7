"""The tables and pictures of the page "Communication" show what the page says."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import communication_tables

from benchmarks import compare_communication as benchmark

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")
FOUND = communication_tables.record()
end = lambda row: np.mean(row["losses"])


def test_tables_and_pictures_are_written(tmp_path):
    communication_tables.write(tmp_path)
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes.keys() == {"wires.md", "local.md", "bytes.png", "staleness.png"}
    assert min(size for name, size in sizes.items() if name.endswith("png")) > 15_000


def test_the_record_has_every_wire_and_the_bytes_of_today():
    assert FOUND["wires"].keys() == benchmark.WIRES.keys()
    for name in ('"int8"', "top_k()", "power_sgd(2)"):
        assert FOUND["wires"][name]["bytes_2"] == benchmark.bytes_of(benchmark.WIRES[name], 2)


def test_error_feedback_is_needed_and_enough_on_digits():
    plain = end(FOUND["wires"]["mean()"]["without"])
    for name in ("sign()", "top_k()", "power_sgd(1)", "power_sgd(2)"):
        row = FOUND["wires"][name]
        assert end(row["feedback"]) < 0.7 * end(row["without"]), name
    for name in ('"int8"', '"int4"', "power_sgd(2)"):
        assert end(FOUND["wires"][name]["feedback"]) < 1.02 * plain, name


@pytest.mark.slow
def test_error_feedback_is_needed_and_enough_when_it_is_measured_anew():
    wire = benchmark.WIRES["power_sgd(2)"]
    ends = {
        feedback: benchmark.losses(
            benchmark.exchanging(wire, feedback, 200), "data", (0.3,), 200, 1, 4
        ).mean()
        for feedback in (None, 1.0)
    }
    assert ends[1.0] < 0.7 * ends[None]
