"""Training on many devices and in many processes."""

from tests.examples.running import both_sizes, numbers, run


@both_sizes
def test_processes(tmp_path, small):
    printed = run("distributed/processes.py", tmp_path, small=small)
    losses = numbers(r"^(\w+ processes): loss (\S+) to (\S+)$", printed)
    assert losses["three processes"][0] < losses["two processes"][0]
    assert losses["three processes"][1] < 0.8 * losses["two processes"][1]
    apart = numbers(r"^(largest difference): (\S+)$", printed)
    assert apart["largest difference"][0] < 1e-5
