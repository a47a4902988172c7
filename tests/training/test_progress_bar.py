"""A progress bar shows a loop, and leaves it alone."""

import io
import sys

import jax.numpy as jnp
import pytest
from rich.console import Console

import gradchain as gc
from gradchain.training import Progress


def screen(**options):
    return Console(file=io.StringIO(), width=120, **options)


def test_it_goes_over_the_steps_and_shows_the_last_metrics():
    console = screen(force_terminal=True)
    progress = Progress(range(5, 9), "fit [x]", console)
    seen = []
    for step in progress:
        seen.append(step)
        progress.show(loss=jnp.float32(1 / step), accuracy=0.5)
    shown = console.file.getvalue()
    assert seen == [5, 6, 7, 8]
    assert "4/4" in shown
    assert "fit [x]" in shown
    assert "loss 0.125  accuracy 0.5" in shown


def test_it_is_quiet_without_a_terminal(capsys):
    console = screen()
    for bar in (Progress(range(3), console=console), Progress(range(3))):
        for step in bar:
            bar.show(loss=step)
        assert bar.text == "loss 2"
    assert console.file.getvalue() == ""
    assert capsys.readouterr() == ("", "")


def test_a_loop_that_is_left_leaves_the_screen_in_order():
    console = screen(force_terminal=True)
    for step in Progress(range(10), console=console):
        if step == 3:
            break
    assert "4/10" in console.file.getvalue()
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is back

    def failing():
        for _ in Progress(range(10), console=console):
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")


def test_steps_without_a_length():
    console = screen(force_terminal=True)
    assert list(Progress((x for x in "abc"), console=console)) == ["a", "b", "c"]
    assert "3/?" in console.file.getvalue()


def test_it_is_a_writer():
    progress = Progress(range(1, 3), console=screen())
    assert isinstance(progress, gc.telemetry.Writer)
    with progress, gc.telemetry.History() as history:
        for step in progress:
            for writer in (progress, history):
                writer.write(step, {"loss": 2.0 * step})
    assert progress.text == "loss 4"


def test_a_metric_of_many_numbers_is_refused():
    progress = Progress(range(3), console=screen(force_terminal=True))
    progress.show(loss=jnp.ones(2))
    with pytest.raises(ValueError, match=r"'loss' has shape \[2\]"):
        list(progress)


def test_without_rich_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ImportError, match=r'needs rich: pip install "gradchain\[telemetry\]"'):
        Progress(range(3))
