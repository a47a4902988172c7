"""Training on many devices and in many processes."""

import pytest

from tests.examples.running import numbers, run


@pytest.mark.example
def test_processes(tmp_path):
    printed = run("distributed/processes.py", tmp_path)
    losses = numbers(r"^(\w+ processes): loss (\S+) to (\S+)$", printed)
    assert losses["three processes"][0] < losses["two processes"][0]
    assert losses["three processes"][1] < 0.8 * losses["two processes"][1]
    apart = numbers(r"^(largest difference): (\S+)$", printed)
    assert apart["largest difference"][0] < 1e-5
