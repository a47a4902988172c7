"""A progress bar for a loop of your own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Generic, TypeVar

from gradchain.core.types import Numeric
from gradchain.telemetry.writers import Writer, numbers_of

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
#: Seconds between two looks at the metrics: a look waits for the step to end.
_PAUSE = 0.1


class Progress(Writer, Generic[T]):
    """A progress bar around the steps of a loop.

    It goes over ``steps`` as they are, and shows how far the loop is, the last metrics and the time
    that is left. It is a writer too. Where the output is no terminal it prints nothing.
    ``pip install "gradchain[telemetry]"`` brings rich, which it needs.

    Args:
        steps: a range, a data loader, or anything to iterate over; without a length the bar has no
            end.
        description: the text before the bar.
        console: a ``rich.console.Console`` of your own; standard output by default.

    Raises:
        ImportError: if rich is not installed.

    Example:
        >>> progress = Progress(range(1, 4), "train")
        >>> for step in progress:
        ...     progress.show(loss=1 / step)
        >>> progress.text
        'loss 0.3333'
    """

    def __init__(
        self,
        steps: Iterable[T],
        description: str = "train",
        console: Console | None = None,
    ):
        try:
            from rich import progress
            from rich.console import Console as Screen
        except ImportError as error:
            raise ImportError(
                'Progress needs rich: pip install "gradchain[telemetry]".'
            ) from error
        self.steps = steps
        self.text = ""
        console = Screen() if console is None else console
        columns = [
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[text]}", markup=False),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        ]
        is_seen = console.is_terminal or console.is_jupyter
        self._bar = progress.Progress(*columns, console=console, disable=not is_seen)
        self._description = description
        self._latest: Mapping[str, Numeric] = {}
        self._looked = -_PAUSE

    def __iter__(self) -> Iterator[T]:
        total = len(self.steps) if isinstance(self.steps, Sized) else None
        task = self._bar.add_task(self._description, total=total, text=self.text)
        done = 0
        self._bar.start()
        try:
            for step in self.steps:
                done += 1
                yield step
                if self._is_due():
                    self._look()
                    self._bar.update(task, completed=done, text=self.text)
        finally:
            try:
                self._look()
                self._bar.update(task, completed=done, text=self.text)
            finally:
                self._bar.stop()

    def show(self, **metrics: Numeric) -> None:
        """Show numbers beside the bar.

        They take the place of the last. They are read ten times a second at most, so that the loop
        does not wait for each step.
        """
        self._latest = metrics

    def write(self, step: int, metrics: Mapping[str, Numeric]) -> None:
        """See ``Writer``; the step is that of the loop."""
        self._latest = metrics

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._looked + _PAUSE:
            return False
        self._looked = now
        return True

    def _look(self) -> None:
        numbers = numbers_of(self._latest)
        self.text = "  ".join(f"{name} {x:.4g}" for name, x in numbers.items())
