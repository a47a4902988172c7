"""The progress bar of ``minimize``, as it stands on a recorded console."""

import io
import sys

import jax.numpy as jnp
import pytest
from rich.console import Console

import gradchain as gc


def screen():
    return Console(file=io.StringIO(), width=120, record=True)


def test_it_ends_with_the_last_step():
    console, told = screen(), []
    with gc.minimization.ProgressBar(50, console) as bar:
        bar_and_list = lambda step: bar(step) or told.append(step)
        result = gc.minimize(
            lambda p: jnp.sum(jnp.cosh(p)), jnp.ones(2), max_steps=50, callback=bar_and_list
        )
    line = console.export_text().strip().splitlines()[-1]
    assert line.startswith("minimize")
    for words in (
        f"step {result.steps} ",
        f"evaluations {result.evals}",
        f"gradient {told[-1]['grad_norm']:.2e}",
    ):
        assert words in line
    assert f"value {told[-1]['value']:.6g}" in line


def test_without_an_end_and_with_a_name_of_its_own():
    console = screen()
    with gc.minimization.ProgressBar(console=console, description="fit") as bar:
        bar({"step": 3, "value": 0.5, "grad_norm": 1e-3, "evals": 7})
    assert "fit" in (text := console.export_text())
    assert "step 3  value 0.5  gradient 1.00e-03  evaluations 7" in text


def test_without_rich_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ImportError, match=r"pip install gradchain\[telemetry\]"):
        gc.minimization.ProgressBar(10)
