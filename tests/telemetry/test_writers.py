"""What writers write can be read again."""

import io
import struct
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event

import gradchain as gc


def rows():
    return [(step, {"loss": 1 / step, "b/norm": 2.0 * step, "a": -1.5}) for step in (1, 10, 20)]


def write_all(writer, given=None):
    with writer:
        for step, metrics in given or rows():
            writer.write(step, metrics)


def events(folder):
    """The scalars in the event files of a folder: a record is its length, a checksum, the bytes, a
    checksum.
    """
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found += [
                (event.step, value.tag, value.simple_value) for value in event.summary.value
            ]
            data = data[16 + length :]
    return found


# ---------------------------------------------------------------------------------------------- CSV


def test_a_csv_file_has_a_row_for_each_step(tmp_path):
    write_all(gc.telemetry.CsvWriter(tmp_path / "deep" / "run.csv"))
    text = (tmp_path / "deep" / "run.csv").read_text()
    assert text == "step,loss,b/norm,a\n1,1.0,2.0,-1.5\n10,0.1,20.0,-1.5\n20,0.05,40.0,-1.5\n"


def test_a_row_is_there_before_the_writer_is_closed(tmp_path):
    writer = gc.telemetry.CsvWriter(tmp_path / "run.csv")
    writer.write(*rows()[0])
    assert (tmp_path / "run.csv").read_text().count("\n") == 2


def test_a_run_that_goes_on_adds_to_its_file(tmp_path):
    path = tmp_path / "run.csv"
    write_all(gc.telemetry.CsvWriter(path), rows()[:2])
    shuffled = dict(reversed(rows()[2][1].items()))
    write_all(gc.telemetry.CsvWriter(path), [(20, shuffled)])
    assert path.read_text().splitlines()[2:] == ["10,0.1,20.0,-1.5", "20,0.05,40.0,-1.5"]
    assert path.read_text().count("step") == 1


@pytest.mark.parametrize("cut", ["20,0.0", "20", "2"])
def test_a_row_that_was_cut_short_is_dropped(tmp_path, cut):
    path = tmp_path / "run.csv"
    write_all(gc.telemetry.CsvWriter(path), rows()[:2])
    path.write_text(path.read_text() + cut)
    write_all(gc.telemetry.CsvWriter(path), rows()[2:])
    np.testing.assert_array_equal(gc.telemetry.History.read(path).steps, [1, 10, 20])


def test_a_header_that_was_cut_short_is_written_again(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("step,lo")
    write_all(gc.telemetry.CsvWriter(path))
    assert len(gc.telemetry.History.read(path)) == 3


def test_other_metrics_are_refused_by_name(tmp_path):
    path = tmp_path / "run.csv"
    write_all(gc.telemetry.CsvWriter(path))
    before = path.read_text()
    with pytest.raises(
        ValueError,
        match=r"no column for 'new' and got no number for the column 'loss'. .*another file",
    ):
        gc.telemetry.CsvWriter(path).write(30, {"b/norm": 1.0, "a": 1.0, "new": 0.0})
    assert path.read_text() == before


def test_names_with_commas_and_numbers_that_are_none_survive(tmp_path):
    metrics = {
        'a,"b"': jnp.float32(0.1),
        "nan": np.nan,
        "inf": -jnp.inf,
        "count": jnp.int32(3),
        "step": 99.0,
    }
    write_all(gc.telemetry.CsvWriter(tmp_path / "run.csv"), [(7, metrics)])
    history = gc.telemetry.History.read(tmp_path / "run.csv")
    assert history.names == ['a,"b"', "nan", "inf", "count"]
    assert history['a,"b"'][0] == np.float32(0.1)
    assert np.isnan(history["nan"][0])
    assert history["inf"][0] == -np.inf
    assert history.steps[0] == 7


# -------------------------------------------------------------------------------------- TensorBoard


def test_event_files_hold_each_number(tmp_path):
    write_all(gc.telemetry.TensorBoardWriter(tmp_path))
    expected = [
        (step, name, np.float32(x)) for step, metrics in rows() for name, x in metrics.items()
    ]
    assert events(tmp_path) == expected


def test_metrics_of_a_watch_go_to_tensorboard(tmp_path):
    tx, params = (
        gc.watch(gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(0.1)), by="path"),
        {"w": jnp.ones(2)},
    )
    _, state = tx.step(params, tx.init(params), params)
    write_all(gc.telemetry.TensorBoardWriter(tmp_path), [(1, gc.metrics(state))])
    found = {tag: x for _, tag, x in events(tmp_path)}
    assert found == {k: float(x) for k, x in gc.metrics(state).items() if k != "step"}
    assert "clip_by_global_norm/clip_factor" in found


# --------------------------------------------------------------------------------------- the screen


def screen(**options):
    return Console(file=io.StringIO(), width=100, **options)


def test_a_table_shows_what_is_now_and_what_was():
    console = screen(force_terminal=True)
    with gc.telemetry.LiveTable(console=console) as table:
        for step in range(1, 9):
            table.write(
                step,
                {"loss": float(9 - step), "adam/b1": 0.9, "lr/learning_rate": 0.5, "flat": 1.0},
            )
            assert f"step {step}" in console.file.getvalue()
    shown = console.file.getvalue()
    assert "█▇▆▅▄▃▂▁" in shown
    assert "▄▄▄▄▄▄▄▄" in shown
    assert "learning_rate" in shown
    assert "lr/learning_rate" not in shown
    assert "b1" not in shown


def test_the_table_shows_norms_inside_of_wrappers_by_the_ends_of_their_names():
    params = {"w": jnp.ones(2)}
    tx = gc.accumulate(gc.watch(gc.groups([("w", gc.sgd(0.1))], default=gc.sgd(0.2))), every=2)
    console = screen()
    with gc.telemetry.LiveTable(console=console) as table:
        table.write(1, gc.metrics(tx.init(params)))
    shown = {line.split()[0] for line in console.file.getvalue().splitlines() if line.strip()}
    assert {"gradient_norm", "update_norm", "update_ratio", "vanishing", "dropped"} <= shown
    assert not {"accumulate/inner/gradient_norm", "norm_in", "learning_rate"} & shown
    assert sum(name.endswith("/learning_rate") for name in shown) == 2  # of two groups, in full


def test_without_a_terminal_the_last_table_alone_is_printed():
    console = screen()
    table = gc.telemetry.LiveTable(show=["*norm"], console=console)
    write_all(
        table,
        [
            (1, {"a/norm": 1.0, "loss": 2.0}),
            (2, {"a/norm": np.nan, "loss": 2.0}),
            (3, {"a/norm": 3.0}),
        ],
    )
    shown = console.file.getvalue()
    assert shown.count("step") == 1
    assert "step 3" in shown
    assert "▁×█" in shown
    assert "loss" not in shown
    assert shown.endswith("\n")


# ------------------------------------------------------------------------------------------- memory


def test_a_history_is_columns():
    history = gc.telemetry.History()
    write_all(history)
    history.write(30, {"loss": jnp.float32(7.0), "late": 1.0})
    np.testing.assert_array_equal(history.steps, [1, 10, 20, 30])
    np.testing.assert_array_equal(history["loss"], [1.0, 0.1, 0.05, 7.0])
    np.testing.assert_array_equal(history["norm"], [2.0, 20.0, 40.0, np.nan])
    np.testing.assert_array_equal(history["late"], [np.nan, np.nan, np.nan, 1.0])
    assert history.names == ["loss", "b/norm", "a", "late"]
    assert (len(history), next(iter(history))) == (4, rows()[0])


def test_a_run_that_went_back_replaces_what_came_after(tmp_path):
    write_all(gc.telemetry.CsvWriter(tmp_path / "run.csv"))
    write_all(
        gc.telemetry.CsvWriter(tmp_path / "run.csv"), [(5, rows()[0][1]), (6, rows()[0][1])]
    )
    np.testing.assert_array_equal(
        gc.telemetry.History.read(tmp_path / "run.csv").steps, [1, 5, 6]
    )


def test_a_history_of_a_scan():
    tx = gc.watch(gc.sgd(gc.linear_schedule(1.0, 0.0, 4)), every=1)

    def step(carry, _):
        params, state = tx.step(carry[0], carry[1], carry[0])
        return (params, state), gc.metrics(state)

    start = jnp.ones(2)
    _, stacked = jax.lax.scan(step, (start, tx.init(start)), length=4)
    history = gc.telemetry.History.stacked(stacked)
    np.testing.assert_array_equal(history.steps, [1, 2, 3, 4])
    np.testing.assert_allclose(history["learning_rate"], [1.0, 0.75, 0.5, 0.25])
    np.testing.assert_array_equal(
        gc.telemetry.History.stacked(stacked, first=11).steps, [11, 12, 13, 14]
    )


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match=r"'x' has shape \[3\].*History.stacked"):
        gc.telemetry.History().write(1, {"x": jnp.ones(3)})
    with pytest.raises(ValueError, match="one number for each step"):
        gc.telemetry.History.stacked({"x": jnp.ones(3), "y": jnp.ones(2)})
    with pytest.raises(KeyError, match="0 metrics are called 'los'"):
        gc.telemetry.History()["los"]


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("rich", gc.telemetry.LiveTable),
        ("tensorboardX", lambda: gc.telemetry.TensorBoardWriter("x")),
    ],
)
def test_what_is_missing_is_named_with_the_way_to_it(monkeypatch, module, make):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ImportError, match=rf'needs {module}: pip install "gradchain\[telemetry\]"'
    ):
        make()


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ({"loss": 1.0, "valid": 2.0}, "csv' has no column for 'valid'. A file"),
        ({}, "csv' got no number for the column 'loss'. A file"),
    ],
)
def test_a_row_of_other_names_is_told_what_it_has_and_lacks(tmp_path, metrics, told):
    with gc.telemetry.CsvWriter(tmp_path / "run.csv") as writer:
        writer.write(1, {"loss": 1.0})
        with pytest.raises(ValueError, match=told):
            writer.write(2, metrics)


def test_names_may_hold_what_csv_treats_specially(tmp_path):
    names = ['a "quoted", one', "two\nlines", "a\u2028separator"]
    for step in (1, 2):
        with gc.telemetry.CsvWriter(tmp_path / "run.csv") as writer:
            writer.write(step, dict.fromkeys(names, 1.5))
    history = gc.telemetry.History.read(tmp_path / "run.csv")
    assert history.names == names
    np.testing.assert_array_equal(history.steps, [1, 2])


def test_a_file_with_windows_line_ends_loses_the_cut_row_alone(tmp_path):
    path = tmp_path / "run.csv"
    path.write_bytes(b"step,loss\r\n1,2.0\r\n2,3")
    np.testing.assert_array_equal(gc.telemetry.History.read(path).steps, [1])
    with gc.telemetry.CsvWriter(path) as writer:
        writer.write(2, {"loss": 3.5})
    np.testing.assert_array_equal(gc.telemetry.History.read(path)["loss"], [2.0, 3.5])


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("epoch,loss\n1,2.0\n")
    with pytest.raises(ValueError, match="no column 'step', only 'epoch', 'loss'"):
        gc.telemetry.History.read(tmp_path / "other.csv")


@pytest.mark.parametrize("value", [None, "high", 1j])
def test_what_is_no_number_is_named(value):
    with pytest.raises(TypeError, match=f"'loss' is {value!r}"):
        gc.telemetry.History().write(1, {"loss": value})


def test_a_name_on_the_screen_is_no_markup():
    file = io.StringIO()
    with gc.telemetry.LiveTable(show=["*"], console=Console(file=file, width=80)) as table:
        table.write(1, {"[red]/x": 1.0, "[/red]": 2.0})
    assert "[red]/x" in file.getvalue()
    assert "[/red]" in file.getvalue()
