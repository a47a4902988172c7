"""Metrics of a training run: measure, read and write them."""

from gradchain.telemetry.metrics import unhealthy_layers as unhealthy_layers
from gradchain.telemetry.trackers import (
    MlflowWriter as MlflowWriter,
    WandbWriter as WandbWriter,
)
from gradchain.telemetry.writers import (
    CsvWriter as CsvWriter,
    History as History,
    LiveTable as LiveTable,
    TensorBoardWriter as TensorBoardWriter,
    Writer as Writer,
)
