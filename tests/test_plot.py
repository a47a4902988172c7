"""Pictures hold what they show."""

import sys

import jax
import matplotlib as mpl
import numpy as np
import pytest

import gradchain as gc

mpl.use("Agg")
FOUND = gc.LearningRateRange(
    rates=np.array([0.01, 0.1, 1.0]),
    losses=np.array([3.0, 2.0, 4.0]),
    smoothed=np.array([3.0, 2.5, 3.2]),
    steepest=0.1,
    diverged=10.0,
)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    mpl.pyplot.close("all")


def test_a_schedule_is_drawn_step_by_step():
    schedule = gc.linear_schedule(0.0, 1.0, 4)
    ax = gc.plot.schedule(schedule, 6, color="C3", label="rate")
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xydata(), [[t, min(t / 4, 1)] for t in range(6)])
    assert (line.get_color(), line.get_label()) == ("C3", "rate")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "value")
    assert gc.plot.schedule(lambda step: 0.5, [0, 10, 20], ax) is ax
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[0, 0.5], [10, 0.5], [20, 0.5]])


def test_a_range_test_is_drawn_over_the_rate():
    ax = gc.plot.learning_rate_range(FOUND)
    assert ax.get_xscale() == "log"
    np.testing.assert_allclose(ax.lines[0].get_xydata(), np.stack([FOUND.rates, FOUND.losses], 1))
    np.testing.assert_allclose(ax.lines[1].get_xydata(), np.stack([FOUND.rates, FOUND.smoothed], 1))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["loss", "smoothed", "steepest descent: 1.0e-01", "a tenth of the divergence: 1.0e+00"]


def test_what_did_not_diverge_has_no_line_of_it():
    calm = gc.LearningRateRange(FOUND.rates, FOUND.losses, FOUND.smoothed, FOUND.steepest, None)
    assert len(gc.plot.learning_rate_range(calm).lines) == 3


def test_the_real_thing():
    loss_and_grad = jax.value_and_grad(lambda w, batch: batch * w**2)
    found = gc.find_learning_rate(loss_and_grad, 1.0, gc.sgd, [1.0], low=1e-3, steps=30)
    assert gc.plot.learning_rate_range(found).lines


def test_without_matplotlib_the_way_to_it_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'Pictures need matplotlib: pip install "gradchain\[plot\]"'):
        gc.plot.schedule(gc.constant_schedule(1.0), 5)
