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


@pytest.mark.example
def test_data_parallel(tmp_path):
    printed = run("distributed/data_parallel.py", tmp_path)
    found = numbers(
        r"^(data parallel|ZeRO-1): parameters ([\d,]+), state ([\d,]+), sent ([\d,]+)", printed
    )
    whole, parts = found["data parallel"], found["ZeRO-1"]
    assert parts[0] == whole[0]
    assert parts[1] <= whole[1] * (1 / 8 + 0.01)
    losses = numbers(r"^(data parallel|ZeRO-1): loss (\S+) to (\S+)$", printed)
    assert losses["ZeRO-1"][1] < 0.5 * losses["ZeRO-1"][0]
    apart = numbers(r"^(largest difference): (\S+)$", printed)
    assert apart["largest difference"][0] < 1e-5


@pytest.mark.example
def test_fsdp(tmp_path):
    printed = run("distributed/fsdp.py", tmp_path)
    found = numbers(r"^(\w+ devices): parameters ([\d,]+), state ([\d,]+)", printed)
    assert found["four devices"][0] == 2 * found["eight devices"][0]
    assert abs(found["four devices"][1] - 2 * found["eight devices"][1]) < 16
    losses = numbers(r"^(loss) (\S+), saved at (\S+), at the end (\S+)$", printed)["loss"]
    assert losses[1] < 0.3 * losses[0]
    assert losses[2] < 2 * losses[1]


@pytest.mark.example
def test_tensor_parallel(tmp_path):
    printed = run("distributed/tensor_parallel.py", tmp_path)
    assert "average_updates/average/up: (128, 512), (128, 128)" in printed
    assert "scale_by_adam/mu/head: (128, 10), (128, 10)" in printed
    losses = numbers(r"^(2 x 4 devices|one device): loss (\S+) to (\S+)$", printed)
    assert abs(losses["2 x 4 devices"][1] - losses["one device"][1]) < 0.05
    assert losses["one device"][1] < 0.5 * losses["one device"][0]


@pytest.mark.example
def test_local_training(tmp_path):
    printed = run("distributed/local_training.py", tmp_path)
    found = numbers(r"^([\w ,]+): loss (\S+) to (\S+), sent ([\d,]+) bytes a step$", printed)
    each, few, outer, coded = (
        found[name] for name in ("each step", "local SGD", "DiLoCo", "DiLoCo, int8")
    )
    assert each[1] < 0.2 * each[0]
    assert few[1] < 1.3 * each[1]
    assert outer[1] < 1.1 * each[1]
    assert abs(coded[1] - outer[1]) < 0.01
    assert few[2] == outer[2] == each[2] / 10
    assert coded[2] < 0.27 * outer[2]
