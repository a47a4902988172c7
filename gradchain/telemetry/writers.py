"""Writers of metrics: to the screen, TensorBoard, CSV or memory.

A writer takes the numbers of one step, ``writer.write(step, metrics)``, and is closed at the end,
as ``with`` does::

    with gc.telemetry.CsvWriter("run.csv") as writer:
        for step in range(1, steps + 1):
            ...
            if step % 100 == 0:
                writer.write(step, {"loss": loss, **gc.metrics(state)})

Whatever has these two methods is a writer too.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import jax.numpy as jnp
import numpy as np

from gradchain.core.advice import nearest_names
from gradchain.core.errors import first_names
from gradchain.telemetry.layers import TOTALS
from gradchain.telemetry.metrics import COUNTERS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class Writer:
    """The base of writers: a context manager that closes itself."""

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Write the numbers of one step, by name."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the rest, and let go of files and screen."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one step as Python numbers, without ``step``."""
    found = {name: np.asarray(x) for name, x in metrics.items() if name != "step"}
    for name, x in found.items():
        if x.ndim:
            raise ValueError(
                f"write: {name!r} has shape {list(x.shape)}, but a writer takes one"
                " number by name. Of the metrics of a scan, write each step, or make a"
                " History.stacked(metrics)."
            )
        kinds = (jnp.floating, jnp.integer, jnp.bool_)
        if not any(jnp.issubdtype(x.dtype, kind) for kind in kinds):
            raise TypeError(
                f"write: {name!r} is {metrics[name]!r}, but a writer takes one number by name."
            )
    return {name: float(x) for name, x in found.items()}


def _whole_rows(path: Path) -> str:
    """The content of a file, without an incomplete row."""
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1].decode()


class CsvWriter(Writer):
    """A CSV file with a row for each step.

    A row has ``step`` and the metrics of the first row, in their order. Each row is on disk before
    ``write`` returns. Where the file is there already, rows are added to it, and a last row that
    was cut short is dropped.

    Args:
        path: the file; folders on the way to it are made.

    Raises:
        ValueError: by ``write``, if the names are not those of the first row.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/run.csv"
        >>> with CsvWriter(path) as writer:
        ...     writer.write(1, {"loss": 2.5, "gradient_norm": 0.1})
        >>> print(Path(path).read_text())
        step,loss,gradient_norm
        1,2.5,0.1
        <BLANKLINE>
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = ""
        if self.path.exists():
            whole = _whole_rows(self.path)
            os.truncate(self.path, len(whole.encode()))
        self._names = next(csv.reader(io.StringIO(whole, newline="")), None)

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """See ``Writer``."""
        row = {"step": int(step)} | numbers_of(metrics)
        is_new = self._names is None
        names = list(row) if self._names is None else self._names
        missing = [name for name in names if name not in row]
        strange = [name for name in row if name not in names]
        if missing or strange:
            faults = []
            if strange:
                faults.append(f"has no column for {first_names(strange)}")
            if missing:
                faults.append(f"got no number for the column {first_names(missing)}")
            raise ValueError(
                f"CsvWriter: {str(self.path)!r} {' and '.join(faults)}. A file has the same metrics"
                " in every row: write these to another file, or nan where there is no number."
            )
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if is_new:
                writer.writerow(names)
            writer.writerow([row[name] for name in names])
        self._names = names


class TensorBoardWriter(Writer):
    """Event files for TensorBoard.

    ``pip install "gradchain[telemetry]"`` brings tensorboardX, which writes them.

    Args:
        folder: the folder of the run; ``tensorboard --logdir`` takes it or one above.

    Example:
        >>> writer = TensorBoardWriter("runs/first")  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                'TensorBoardWriter needs tensorboardX: pip install "gradchain[telemetry]".'
            ) from error
        self._writer = SummaryWriter(str(folder))

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """See ``Writer``."""
        for name, value in numbers_of(metrics).items():
            self._writer.add_scalar(name, value, int(step))
        self._writer.flush()

    def close(self) -> None:
        """See ``Writer``."""
        self._writer.close()


#: The ends of names that a table shows by default.
_SHOWN = {*TOTALS, "vanishing", "exploding", "learning_rate", "clip_factor", *COUNTERS}


class LiveTable(Writer):
    """A table on the screen, redrawn at each step.

    A row shows the number now and its last steps. ``pip install "gradchain[telemetry]"`` brings
    rich, which it needs. Where the output is no terminal, the last
    table alone is printed.

    Args:
        show: globs on the names that are shown; by default all names without ``/``, and of those
            inside of wrappers the norms over all leaves, learning rates, clip factors and counters
            of skipped steps, by the ends of their names where these differ.
        width: how many of the last steps a row shows.
        console: a ``rich.console.Console`` of your own.
    """

    def __init__(
        self,
        show: Sequence[str] | None = None,
        width: int = 30,
        console: Console | None = None,
    ):
        try:
            from rich.live import Live
        except ImportError as error:
            raise ImportError(
                'LiveTable needs rich: pip install "gradchain[telemetry]".'
            ) from error
        self.show = show
        self.width = width
        self.history = History()
        self._live = Live(self.table(), console=console, auto_refresh=False)
        self._live.start()

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """See ``Writer``."""
        self.history.write(step, metrics)
        self._live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """The table as it is now."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        steps = self.history.steps
        title = f"step {int(steps[-1]):,}" if len(steps) else None
        table = Table(box=box.SIMPLE_HEAD, title=title)
        table.add_column("metric", overflow="fold")
        table.add_column("now", justify="right")
        table.add_column(f"last {self.width}", no_wrap=True)
        shown = list(filter(self._shows, self.history.names))
        ends = [_end(name) for name in shown]
        for name, end in zip(shown, ends, strict=True):
            is_clear = self.show is None and ends.count(end) == 1
            column = self.history[name]
            bars = _spark(column[-self.width :])
            table.add_row(Text(end if is_clear else name), f"{column[-1]:.4g}", bars)
        return table

    def _shows(self, name: str) -> bool:
        if self.show is not None:
            return any(fnmatch.fnmatchcase(name, glob) for glob in self.show)
        return "/" not in name or _end(name) in _SHOWN

    def close(self) -> None:
        """See ``Writer``."""
        self._live.stop()
        if not self._live.console.is_terminal:
            self._live.console.line()


def _end(name: str) -> str:
    """The last part of a name."""
    return name.rpartition("/")[2]


def _spark(values: np.ndarray) -> str:
    """Numbers as bars, with ``×`` where not finite."""
    finite = values[np.isfinite(values)]
    low = finite.min() if finite.size else 0.0
    span = np.ptp(finite) if finite.size else 0.0

    def level(x: float) -> str:
        if not np.isfinite(x):
            return "×"
        return "▁▂▃▄▅▆▇█"[int(7.999 * (x - low) / span)] if span else "▄"

    return "".join(map(level, values))


class History(Writer):
    """Metrics in memory, as columns.

    ``history["gradient_norm"]`` is an array with a number for each step. A number that was not
    given at a step is NaN there. A step that is not after the last, of a run that went on from a
    checkpoint, takes the place of it and of all that came after.

    Example:
        >>> history = History()
        >>> for step in (1, 2, 3):
        ...     history.write(step, {"loss": 1 / step})
        >>> print(history.steps, history["loss"].round(2))
        [1 2 3] [1.   0.5  0.33]
    """

    def __init__(self) -> None:
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._names: dict[str, None] = {}

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """See ``Writer``."""
        while self._rows and self._rows[-1][0] >= step:
            self._rows.pop()
        row = numbers_of(metrics)
        self._rows.append((int(step), row))
        self._names |= dict.fromkeys(row)

    @classmethod
    def stacked(cls, metrics: Mapping[str, Any], first: int = 1) -> Self:
        """The history of a ``scan`` over metrics.

        The scan returned those of each step, of which the first is step ``first``.
        """
        columns = {name: np.asarray(x) for name, x in metrics.items()}
        lengths = {x.shape for x in columns.values()}
        if any(len(shape) != 1 for shape in lengths) or len(lengths) > 1:
            raise ValueError(
                "History.stacked: each metric has one number for each step, but shapes"
                f" are {lengths}."
            )
        history = cls()
        for i in range(max((shape[0] for shape in lengths), default=0)):
            history.write(first + i, {name: x[i] for name, x in columns.items()})
        return history

    @classmethod
    def read(cls, path: str | os.PathLike) -> Self:
        """The history in a file of ``CsvWriter``, even unfinished."""
        history = cls()
        for row in csv.DictReader(io.StringIO(_whole_rows(Path(path)), newline="")):
            if "step" not in row:
                raise ValueError(
                    f"History.read: {str(path)!r} has no column 'step', only"
                    f" {first_names(list(row), 8)}."
                )
            step = int(row.pop("step"))
            history.write(step, {name: float(x) for name, x in row.items()})
        return history

    @property
    def steps(self) -> np.ndarray:
        """The steps."""
        return np.array([step for step, _ in self._rows], np.int64)

    @property
    def names(self) -> list[str]:
        """The names of the metrics."""
        return list(self._names)

    def __getitem__(self, name: str) -> np.ndarray:
        """The numbers of one metric.

        The end of a name is enough where only one ends so.
        """
        ends = [full for full in self._names if full.endswith(f"/{name}")]
        ends = [name] if name in self._names else ends
        if len(ends) != 1:
            raise KeyError(
                f"{len(ends)} metrics are called {name!r}; there are"
                f" {nearest_names(name, self._names)}."
            )
        return np.array([row.get(ends[0], np.nan) for _, row in self._rows])

    def __iter__(self) -> Iterator[tuple[int, dict[str, float]]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
