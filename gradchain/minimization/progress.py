"""A progress bar for ``minimize``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class ProgressBar:
    """A callback that shows a minimization on one line.

    The line has the step, the value, the norm of the gradient and the evaluations.

    Args:
        max_steps: the length of the bar, as given to ``minimize``; ``None`` for a bar without an
            end.
        console: a ``rich.console.Console``; the terminal by default.
        description: the text before the bar.

    Raises:
        ImportError: if rich is not installed.

    Example:
        >>> import io
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> from rich.console import Console
        >>> screen = io.StringIO()
        >>> loss = lambda p: jnp.sum((p - 1.0) ** 2)
        >>> with gc.minimization.ProgressBar(100, Console(file=screen, width=90)) as bar:
        ...     result = gc.minimize(loss, jnp.zeros(2), max_steps=100, callback=bar)
        >>> "value 2" in screen.getvalue() or "value 0" in screen.getvalue()
        True
    """

    def __init__(
        self,
        max_steps: int | None = None,
        console: Console | None = None,
        description: str = "minimize",
    ):
        try:
            from rich import progress
        except ImportError as error:
            needed = "ProgressBar needs rich: pip install gradchain[telemetry]"
            raise ImportError(needed) from error
        columns = [
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("step {task.completed:.0f}  {task.fields[numbers]}"),
            progress.TimeElapsedColumn(),
        ]
        self._progress = progress.Progress(*columns, console=console)
        self._task = self._progress.add_task(description, total=max_steps, numbers="")

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, told: dict[str, Any]) -> None:
        """Show one step; see the ``callback`` of ``minimize``."""
        numbers = (
            f"value {told['value']:.6g}  gradient {told['grad_norm']:.2e}"
            f"  evaluations {told['evals']}"
        )
        self._progress.update(self._task, completed=told["step"], numbers=numbers)
