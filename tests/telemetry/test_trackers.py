"""What goes to a tracker can be read there.

wandb and mlflow are in no lock, so most machines lack them. Where one is missing, a stand-in takes
its place, which has as much of it as the writers call; where it is installed, the real one runs,
without a network.
"""

import math
import sys
import time
import types
from importlib.util import find_spec
from typing import ClassVar

import jax.numpy as jnp
import pytest

import gradchain as gc

HAS_WANDB, HAS_MLFLOW = (bool(find_spec(name)) for name in ("wandb", "mlflow"))
ROWS = [
    (1, {"loss": jnp.float32(2.5), "scale_by_adam/norm_in": 0.1, "step": 1}),
    (10, {"loss": 0.5, "scale_by_adam/norm_in": math.nan}),
]


class StandInRun:
    """As much of a run of wandb as the writer and these tests use."""

    def __init__(self, **options):
        self.options, self.rows, self.steps, self.exit_code = options, [], [], None

    def log(self, metrics, step):
        self.steps.append(step)
        self.rows.append(metrics)

    def finish(self, exit_code=0):
        self.exit_code = exit_code


class StandInClient:
    """As much of a client of mlflow; runs are kept by the address of the server."""

    servers: ClassVar = {}

    def __init__(self, uri):
        self.runs = self.servers.setdefault(uri, {})

    def get_experiment_by_name(self, name):
        ids = {run["experiment"] for run in self.runs.values()}
        return types.SimpleNamespace(experiment_id=name) if name in ids else None

    def create_experiment(self, name):
        return name

    def create_run(self, experiment, run_name=None):
        run = {"experiment": experiment, "name": run_name, "status": "RUNNING", "metrics": []}
        self.runs[str(len(self.runs))] = run
        return self.get_run(str(len(self.runs) - 1))

    def get_run(self, run_id):
        run = self.runs[run_id]
        info = {"run_id": run_id, "run_name": run["name"], "status": run["status"]}
        info["experiment_id"] = run["experiment"]
        return types.SimpleNamespace(info=types.SimpleNamespace(**info))

    def update_run(self, run_id, status):
        self.runs[run_id]["status"] = status

    def log_batch(self, run_id, metrics):
        assert len(metrics) <= 1000  # as mlflow has it
        self.runs[run_id]["metrics"] += metrics

    def set_terminated(self, run_id, status="FINISHED"):
        self.runs[run_id]["status"] = status

    def get_metric_history(self, run_id, key):
        return [m for m in self.runs[run_id]["metrics"] if m.key == key]


def stand_in_metric(key, value, timestamp, step):
    return types.SimpleNamespace(key=key, value=value, timestamp=timestamp, step=step)


@pytest.fixture
def wandb(monkeypatch):
    if not HAS_WANDB:
        monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=StandInRun))
    return sys.modules.get("wandb")


@pytest.fixture
def mlflow(monkeypatch):
    if not HAS_MLFLOW:
        entities = types.SimpleNamespace(Metric=stand_in_metric)
        module = types.SimpleNamespace(MlflowClient=StandInClient, entities=entities)
        monkeypatch.setitem(sys.modules, "mlflow", module)


def write(writer, rows=ROWS):
    for step, metrics in rows:
        writer.write(step, metrics)


def write_and_fail(writer, metrics):
    with writer:
        writer.write(20, metrics)
        raise KeyError


@pytest.mark.usefixtures("wandb")
def test_a_run_of_wandb_has_the_numbers(tmp_path):
    with gc.telemetry.WandbWriter("digits", mode="offline", dir=str(tmp_path)) as writer:
        write(writer)
    if HAS_WANDB:  # a finished run shows nothing, but it has written a file
        (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
        wanted = (b"scale_by_adam/norm_in", b"2.5", b"0.5", b"NaN")
        for _ in range(100):  # its service writes the file a moment after the run has ended
            missing = [text for text in wanted if text not in file.read_bytes()]
            if not missing:
                break
            time.sleep(0.1)
        assert missing == []
    else:
        assert writer.run.steps == [1, 10]
        assert writer.run.rows[0] == {"loss": 2.5, "scale_by_adam/norm_in": 0.1}
        assert math.isnan(writer.run.rows[1]["scale_by_adam/norm_in"])


@pytest.mark.usefixtures("wandb")
def test_a_run_of_ones_own_stays_open():
    run = StandInRun()
    with gc.telemetry.WandbWriter(run=run) as writer:
        write(writer)
    assert run.exit_code is None
    assert run.steps == [1, 10]


def test_a_run_of_wandb_that_failed_says_so(monkeypatch):
    stand_in = types.SimpleNamespace(init=StandInRun)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)  # the real one does not tell its code
    good = gc.telemetry.WandbWriter("digits", name="good")
    write(good)
    good.close()
    bad = gc.telemetry.WandbWriter("digits", config={"rate": 0.1})
    with pytest.raises(KeyError):
        write_and_fail(bad, {"loss": 1.0})
    assert (good.run.exit_code, bad.run.exit_code) == (0, 1)
    assert good.run.options == {"project": "digits", "name": "good"}
    assert bad.run.options == {"project": "digits", "config": {"rate": 0.1}}


def history(writer, name):
    found = writer.client.get_metric_history(writer.run_id, name)
    return [(m.step, m.value) for m in sorted(found, key=lambda m: m.step)]


@pytest.mark.usefixtures("mlflow")
def test_a_run_of_mlflow_has_the_numbers_and_goes_on(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    status = lambda writer: writer.client.get_run(writer.run_id).info.status
    with gc.telemetry.MlflowWriter("digits", run_name="first", tracking_uri=uri) as writer:
        write(writer)
        assert status(writer) == "RUNNING"
    assert status(writer) == "FINISHED"
    assert writer.client.get_run(writer.run_id).info.run_name == "first"
    assert history(writer, "loss") == [(1, 2.5), (10, 0.5)]
    (_, first), (_, last) = history(writer, "scale_by_adam/norm_in")
    assert (first, math.isnan(last)) == (0.1, True)

    again = gc.telemetry.MlflowWriter(run_id=writer.run_id, tracking_uri=uri)
    assert status(again) == "RUNNING"
    many = {"loss": 0.25} | {f"layer_{i}": i for i in range(1500)}
    with pytest.raises(KeyError):
        write_and_fail(again, many)
    assert status(again) == "FAILED"
    assert history(again, "loss") == [(1, 2.5), (10, 0.5), (20, 0.25)]
    assert history(again, "layer_1499") == [(20, 1499.0)]

    other = gc.telemetry.MlflowWriter("digits", tracking_uri=uri)
    of = lambda run_id: other.client.get_run(run_id).info.experiment_id
    assert of(other.run_id) == of(writer.run_id)
    other.close()
    assert status(other) == "FINISHED"


@pytest.mark.parametrize(
    ("module", "make"),
    [("wandb", gc.telemetry.WandbWriter), ("mlflow", gc.telemetry.MlflowWriter)],
)
def test_the_extra_that_is_missing_is_named(monkeypatch, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ImportError, match=rf'needs {module}: pip install "gradchain\[{module}\]"'
    ):
        make()
