"""Writers to trackers of experiments: Weights & Biases, MLflow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from gradchain.core.types import Numeric
from gradchain.telemetry.writers import Writer, numbers_of

#: An MLflow server takes no more numbers at once.
_AT_ONCE = 1000


class WandbWriter(Writer):
    """A run of Weights & Biases.

    ``pip install "gradchain[wandb]"`` brings wandb. Without an account or a network, use
    ``mode="offline"``. A run that goes on from a checkpoint has ``id=`` and ``resume="allow"``.
    Steps must grow: wandb drops those that do not.

    Args:
        project: the project that the run belongs to.
        run: a run of ``wandb.init`` of your own, in the place of a new one. ``close`` leaves it
            open.
        options: further arguments of ``wandb.init``, for example ``config=`` and ``name=``.

    Raises:
        ImportError: if wandb is not installed.

    Example:
        >>> writer = WandbWriter("digits", mode="offline")  # doctest: +SKIP
    """

    def __init__(self, project: str | None = None, run: Any = None, **options: Any):
        self._is_ours = run is None
        if run is None:
            wandb = _imported("wandb", "WandbWriter")
            run = wandb.init(project=project, **options)
        self.run = run

    def write(self, step: int, metrics: Mapping[str, Numeric]) -> None:
        """See ``Writer``."""
        self.run.log(numbers_of(metrics), step=int(step))

    def close(self) -> None:
        """End the run, if the writer began it."""
        self._end(failed=False)

    def __exit__(self, *exception: object) -> None:
        self._end(failed=exception[0] is not None)

    def _end(self, failed: bool) -> None:
        if self._is_ours:
            self.run.finish(exit_code=int(failed))


class MlflowWriter(Writer):
    """A run of MLflow.

    ``pip install "gradchain[mlflow]"`` brings mlflow. The run is not the active one of
    ``mlflow.start_run``, so that several may be open at once. A database keeps an infinity as the
    largest float, and NaN as it is.

    Args:
        experiment: the name of the experiment; it is made if it is not there.
        run_id: the run to go on with, in the place of a new one.
        run_name: the name of a new run; by default MLflow finds one.
        tracking_uri: a server or a database, for example ``"sqlite:///mlflow.db"``; by default that
            of MLflow.

    Raises:
        ImportError: if mlflow is not installed.

    Example:
        >>> writer = MlflowWriter("digits", tracking_uri="sqlite:///runs.db")  # doctest: +SKIP
    """

    def __init__(
        self,
        experiment: str = "Default",
        run_id: str | None = None,
        run_name: str | None = None,
        tracking_uri: str | None = None,
    ):
        self._mlflow = _imported("mlflow", "MlflowWriter")
        self.client = self._mlflow.MlflowClient(tracking_uri)
        if run_id is None:
            found = self.client.get_experiment_by_name(experiment)
            of = found.experiment_id if found else self.client.create_experiment(experiment)
            run_id = self.client.create_run(of, run_name=run_name).info.run_id
        else:
            self.client.update_run(run_id, status="RUNNING")
        self.run_id = run_id

    def write(self, step: int, metrics: Mapping[str, Numeric]) -> None:
        """See ``Writer``."""
        now = int(1000 * time.time())
        make = self._mlflow.entities.Metric
        rows = [make(name, x, now, int(step)) for name, x in numbers_of(metrics).items()]
        for i in range(0, len(rows), _AT_ONCE):
            self.client.log_batch(self.run_id, metrics=rows[i : i + _AT_ONCE])

    def close(self) -> None:
        """End the run."""
        self.client.set_terminated(self.run_id)

    def __exit__(self, *exception: object) -> None:
        failed = exception[0] is not None
        self.client.set_terminated(self.run_id, status="FAILED" if failed else "FINISHED")


def _imported(name: str, who: str) -> Any:
    """A module of an extra of its own name."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f'{who} needs {name}: pip install "gradchain[{name}]".') from error
