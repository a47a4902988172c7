"""A progress bar for ``minimize``."""

from __future__ import annotations

from typing import Any


class ProgressBar:
    """A callback that shows the step, the value, the norm of the gradient and the evaluations on
    one line.

    Args:
        max_steps: what is given to ``minimize``: the length of the bar; ``None`` for a bar without
            an end.
        console: a ``rich.console.Console``; the terminal by default.
        description: what stands before the bar.

    Raises:
        ImportError: if rich is not installed.

    Example:
        >>> import io
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> from rich.console import Console
        >>> screen = io.StringIO()
        >>> with gc.minimization.ProgressBar(100, Console(file=screen, width=90)) as bar:
        ...     result = gc.minimize(lambda p: jnp.sum((p - 1.0) ** 2), jnp.zeros(2), max_steps=100, callback=bar)
        >>> "value 2" in screen.getvalue() or "value 0" in screen.getvalue()
        True
    """

    def __init__(
        self, max_steps: int | None = None, console: Any = None, description: str = "minimize"
    ):
        try:
            from rich import progress
        except ImportError as error:
            raise ImportError("ProgressBar needs rich: pip install gradchain[telemetry]") from error
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

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def __call__(self, told: dict[str, Any]) -> None:
        """Show one step; see the ``callback`` of ``minimize``."""
        numbers = f"value {told['value']:.6g}  gradient {told['grad_norm']:.2e}  evaluations {told['evals']}"
        self._progress.update(self._task, completed=told["step"], numbers=numbers)
