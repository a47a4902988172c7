"""What happens in a training run, as numbers: taken in the state, read from it, and written down."""

from gradchain.telemetry.metrics import unhealthy_layers as unhealthy_layers
from gradchain.telemetry.writers import (
    CsvWriter as CsvWriter,
    History as History,
    LiveTable as LiveTable,
    TensorBoardWriter as TensorBoardWriter,
    Writer as Writer,
)
