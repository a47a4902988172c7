"""Pictures hold what they show."""

import sys

import jax
import matplotlib as mpl
import numpy as np
import pytest

import gradchain as gc

mpl.use("Agg")
FOUND = gc.schedules.LearningRateRange(
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
    np.testing.assert_allclose(
        ax.lines[1].get_xydata(), np.stack([FOUND.rates, FOUND.smoothed], 1)
    )
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "loss",
        "smoothed",
        "steepest descent: 1.0e-01",
        "a tenth of the divergence: 1.0e+00",
    ]


def test_what_did_not_diverge_has_no_line_of_it():
    calm = gc.schedules.LearningRateRange(
        FOUND.rates, FOUND.losses, FOUND.smoothed, FOUND.steepest, None
    )
    assert len(gc.plot.learning_rate_range(calm).lines) == 3


def test_the_real_thing():
    loss_and_grad = jax.value_and_grad(lambda w, batch: batch * w**2)
    found = gc.schedules.find_learning_rate(loss_and_grad, 1.0, gc.sgd, [1.0], low=1e-3, steps=30)
    assert gc.plot.learning_rate_range(found).lines


def test_a_spectral_density_is_drawn_over_the_eigenvalues():
    found = gc.curvature.SpectralDensity(
        np.array([0.0, 1.0, 2.0]), np.array([1e-9, 0.5, 10.0]), None, None
    )
    ax = gc.plot.spectral_density(found, label="loss")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0, 1e-9], [1, 0.5], [2, 10.0]])
    assert (ax.get_yscale(), ax.get_xlabel(), ax.lines[0].get_label()) == (
        "log",
        "eigenvalue",
        "loss",
    )
    np.testing.assert_allclose(ax.get_ylim(), [1e-4, 30.0])
    lower = gc.curvature.SpectralDensity(np.array([0.0, 1.0]), np.array([1.0, 2.0]), None, None)
    assert gc.plot.spectral_density(lower, ax) is ax
    np.testing.assert_allclose(ax.get_ylim(), [1e-4, 30.0])  # of both


def bowl(p):
    return 3.0 + p[0] ** 2 + 10 * p[1] ** 4


def test_a_minimization_is_drawn_over_its_evaluations():
    found = gc.minimize(bowl, np.ones(2, np.float32), history=True, max_steps=40)
    ax = gc.plot.minimization(found)
    _, right = ax.figure.axes
    evals, value, norm = (found.history[name] for name in ("evals", "value", "grad_norm"))
    above = np.asarray(value, np.float64) - np.nanmin(value)
    assert (above > 0).any()
    drawn = ax.lines[0].get_xydata()
    np.testing.assert_allclose(drawn, np.stack([evals, np.where(above > 0, above, np.nan)], 1))
    norm = np.where(norm > 0, norm, np.nan)
    np.testing.assert_allclose(right.lines[0].get_xydata(), np.stack([evals, norm], 1))
    assert (ax.get_yscale(), right.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "evaluations of the value and its gradient"
    assert ax.get_ylabel() == "value above the best found"
    assert right.get_ylabel() == "largest magnitude in the gradient"
    assert ax.get_title().replace("\n", " ") == found.message
    assert gc.plot.minimization(found, ax) is ax


@pytest.mark.parametrize("start", [0.0, 1.0, np.nan])
def test_a_minimization_of_no_steps_is_drawn_too(start):
    x0 = np.full(2, start, np.float32)
    found = gc.minimize(bowl, x0, history=True, max_steps=0)
    ax = gc.plot.minimization(found)
    ax.figure.canvas.draw()
    assert ax.get_title()


def test_a_minimization_without_a_history_is_refused():
    found = gc.minimize(bowl, np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"no history\. Call minimize\(\.\.\., history=True\)"):
        gc.plot.minimization(found)


def test_minimizations_from_many_starts_are_drawn_one_by_one():
    minimize = lambda x0: gc.minimize(bowl, x0, history=True, max_steps=5)
    found = jax.vmap(minimize)(np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"many starts, \(3,\)\. Draw one of them"):
        gc.plot.minimization(found)
    assert gc.plot.minimization(jax.tree.map(lambda x: x[0], found)).lines


def test_without_matplotlib_the_way_to_it_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ImportError, match=r'Pictures need matplotlib: pip install "gradchain\[plot\]"'
    ):
        gc.plot.schedule(gc.constant_schedule(1.0), 5)


# ------------------------------------------------------------------------------------------ metrics


def watched(by, steps=6):
    """The history of a few steps; that of the last layer explodes in the end."""
    tx = gc.watch(
        gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(gc.linear_schedule(0.1, 0.0, steps))),
        every=1,
        by=by,
    )
    params = {f"layer_{i}": np.ones(2, np.float32) for i in (2, 10, 1)}
    state, history = tx.init(params), gc.telemetry.History()
    for t in range(1, steps + 1):
        grads = params | {"layer_10": np.full(2, np.inf if t == steps else 1.0, np.float32)}
        params, state = tx.step(params, state, params)[0], tx.update(grads, state, params)[1]
        history.write(t, {"loss": 1 / t, **gc.metrics(state)})
    return history


def titles(fig):
    return [ax.get_title() for ax in fig.axes if ax.get_title()]


def test_a_history_has_a_panel_for_each_kind_of_metric(tmp_path):
    history = watched("path")
    fig = gc.plot.plot_history(history)
    assert titles(fig) == [
        "loss, and learning rate (dashed)",
        "norms",
        "norm after each member",
        "clip factor",
        "norm of update over norm of parameters, by layer",
        "norm of gradient, by layer",
    ]
    loss, norms, members, factor, ratio, gradient = [ax for ax in fig.axes if ax.get_title()]
    np.testing.assert_allclose(loss.lines[0].get_xydata()[:, 1], history["loss"])
    assert [line.get_label() for line in norms.lines] == ["gradient", "update", "parameter"]
    np.testing.assert_allclose(norms.lines[0].get_ydata(), history["gradient_norm"])
    assert [line.get_label() for line in members.lines] == [
        "clip_by_global_norm",
        "scale_by_learning_rate",
    ]
    np.testing.assert_allclose(factor.lines[0].get_ydata(), history["clip_factor"])
    assert [text.get_text() for text in ratio.get_yticklabels()] == [
        "layer_1",
        "layer_2",
        "layer_10",
    ]
    values = gradient.collections[0].get_array()
    np.testing.assert_allclose(values[:, 0], 2**0.5, rtol=1e-6)
    np.testing.assert_array_equal(
        values.mask[:, -1], [False, False, True]
    )  # what is not finite has no colour
    np.testing.assert_array_equal(gradient.lines[0].get_xydata(), [[6, 2]])  # but a cross
    rates = next(ax for ax in fig.axes if ax.get_ylabel() == "learning rate")
    np.testing.assert_allclose(rates.lines[0].get_ydata(), history["learning_rate"])
    fig.savefig(tmp_path / "run.png")


def test_a_history_is_drawn_from_a_file_and_from_inside_a_wrapper(tmp_path):
    with gc.telemetry.CsvWriter(tmp_path / "run.csv") as writer:
        for step, metrics in watched(None):
            writer.write(
                step,
                {f"accumulate/inner/{k}" if k != "loss" else k: v for k, v in metrics.items()},
            )
    fig = gc.plot.plot_history(tmp_path / "run.csv")
    assert titles(fig)[1] == "norms"
    assert titles(fig)[-1] == "norm of update over norm of parameters"


def test_a_history_of_a_loss_alone_is_one_panel():
    history = gc.telemetry.History()
    history.write(1, {"train_loss": 1.0, "test_loss": 2.0})
    fig = gc.plot.plot_history(history)
    (ax,) = fig.axes
    assert [line.get_label() for line in ax.lines] == ["test_loss", "train_loss"]


@pytest.mark.parametrize("value", [0.0, np.nan, 3.0])
def test_layers_whose_numbers_are_all_alike_are_drawn_too(value):
    history = gc.telemetry.History()
    for step in (1, 2):
        history.write(step, {"gradient_norm/a": value, "gradient_norm/b": value})
    fig = gc.plot.plot_history(history)
    fig.canvas.draw()
    assert titles(fig) == ["norm of gradient, by layer"]


def test_a_history_of_nothing_that_is_drawn_is_refused():
    history = gc.telemetry.History()
    history.write(1, {"accuracy": 1.0})
    with pytest.raises(
        ValueError, match="no metric that it draws, such as 'loss', in 'accuracy'"
    ):
        gc.plot.plot_history(history)


def test_a_loss_is_what_is_called_so():
    history = gc.telemetry.History()
    history.write(
        1,
        {
            "loss/train": 1.0,
            "test/total_loss": 2.0,
            "dynamic_loss_scale/skipped": 3.0,
            "loss_scale": 4.0,
        },
    )
    (ax,) = [ax for ax in gc.plot.plot_history(history).axes if ax.get_title()]
    assert [line.get_label() for line in ax.lines] == ["loss/train", "test/total_loss"]


def test_a_step_without_health_has_no_cross():
    history = gc.telemetry.History()
    for step in (1, 2):
        history.write(step, {"gradient_norm/a": 1.0} | ({"health/a": 1.0} if step == 1 else {}))
    (ax,) = [ax for ax in gc.plot.plot_history(history).axes if ax.get_title()]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1])


# -------------------------------------------------------------------------------------------- plans


def test_plans_are_stacked_bars_with_what_is_sent():
    plan = gc.distributed.plan
    shapes = {"w": jax.ShapeDtypeStruct((1024, 256), "float32")}
    near, far = (jax.sharding.AbstractMesh((n,), ("data",)) for n in (4, 64))
    found = {"four": plan(gc.adamw(1e-3), shapes, near), "many": plan(gc.lion(1e-3), shapes, far)}
    ax = gc.plot.plans(found)
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    np.testing.assert_allclose(ends, [p.peak_bytes / 2**30 for p in found.values()])
    assert [text.get_text() for text in ax.texts] == ["  sends 1.5 MiB", "  sends 2.0 MiB"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["four", "many *"]
    assert ax.get_xlabel() == "GiB on each device; * by formula"
    with pytest.raises(ValueError, match="there is no plan"):
        gc.plot.plans({})
