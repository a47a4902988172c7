"""States that a serializer or a user has changed: every row refuses them by name, or
``adopt_state`` mends them and says so.
"""

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import gradchain as gc
from gradchain.core import clocks
from gradchain.core.lift import Lift
from gradchain.core.trees import PerTree
from gradchain.core.walk import walk
from tests.laws.samples import at, gradients, params
from tests.laws.table import ROWS

# A pair of functions keeps its state as it likes; gradients of single examples have another shape.
DECLARED = [row for row in ROWS if not (row.make().is_pair or row.make().facts.reduces_examples)]
each_row = pytest.mark.parametrize("row", DECLARED, ids=[row.name for row in DECLARED])
P = params(jnp.float32)
G = at(0, gradients(jnp.float32))


def update(row, state):
    return jax.eval_shape(lambda g, s, p: row.make().update(g, s, p, **row.extra), G, state, P)


def names(path):
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def kept_in_numbers(tx, state):
    """The paths of slots that are declared, and of clocks, with whether they count."""
    found = {}
    for part in walk(tx, state, into_observers=False):
        slots = part.body.slots if isinstance(part.body, Lift) else {}
        found |= {(*part.path, name): slot.integer for name, slot in slots.items()}
        if part.stage.has_clock:
            found[(*part.path, "count")] = True
    return found


def changed(state, place, dtype):
    """The state with the leaves at a place in another dtype, and how many these are."""
    is_there = lambda path: names(path)[: len(place)] == place
    cast = lambda path, x: x.astype(dtype) if is_there(path) else x
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    return jax.tree_util.tree_map_with_path(cast, state), sum(map(is_there, paths))


@pytest.mark.rotated(20)
@each_row
def test_no_slot_takes_another_kind_of_number(row):
    tx = row.make()
    state = tx.init(P)
    for place, counts in kept_in_numbers(tx, state).items():
        for dtype in ("float32", "uint32", "int8") if counts else ("int32", "bool"):
            other, n = changed(state, place, dtype)
            if not n:
                continue  # no leaf has it
            # A switch that carries the slot over refuses it in words of its own.
            refused = (TypeError, ValueError) if row.name.startswith("switch") else TypeError
            with pytest.raises(refused, match=rf"{place[-1]}.* {dtype}") as error:
                update(row, other)
            assert place[-2] in str(error.value)
            assert "adopt_state" in str(error.value) or "cannot be carried" in str(error.value)


@pytest.mark.rotated(20)
@each_row
def test_adopt_state_mends_another_kind_of_number_and_says_so(row):
    tx = row.make()
    state = tx.init(P)
    for dtype in ("float32", "int32"):
        other = jax.tree.map(lambda x, dtype=dtype: x.astype(dtype), state)
        paths = jax.tree_util.tree_leaves_with_path(state)
        if any(names(path)[-1] == "codes" and x.dtype != dtype for path, x in paths):
            with pytest.raises(ValueError, match="only the storage policy that they are of"):
                gc.adopt_state(tx, other, P)
            continue
        mended, report = gc.adopt_state(tx, other, P)
        assert not report.new and not report.reshaped and not report.dropped
        for path, x in jax.tree_util.tree_leaves_with_path(state):
            is_cast = str(x.dtype) != dtype
            (told,) = [r for r in report.rows if r.path == "/".join(names(path))]
            assert told.note.startswith(f"cast from {dtype}") == is_cast
        jax.tree.map(lambda x, y: x.dtype == y.dtype or pytest.fail(f"{x.dtype}"), mended, state)


def declared_slots(tx, state):
    """The paths of slots that are declared and there, and the shapes of arrays per stage."""
    for part in walk(tx, state, into_observers=False):
        slots = part.body.slots if isinstance(part.body, Lift) else {}
        is_one = lambda slot, part=part: (
            slot.relation == "scalar" and isinstance(part.body, PerTree)
        )
        for name, slot in slots.items():
            if jax.tree.leaves(part.entry[name]):
                yield (*part.path, name), part.entry[name], is_one(slot)
        if part.stage.has_clock:
            yield (*part.path, "count"), part.entry["count"], True


@pytest.mark.rotated(20)
@each_row
def test_no_slot_takes_another_shape_or_a_hole(row):
    """A number is no array of one number: serializers make such, and it would broadcast."""
    state = row.make().init(P)
    for path, value, is_one in declared_slots(row.make(), state):
        for other in wrong_shapes(value, is_one):
            # A switch that carries the slot over refuses it in words of its own.
            who = "(update|switch)" if row.name.startswith("switch") else "update"
            with pytest.raises((ValueError, TypeError), match=f"{who}: .*{path[-1]}") as error:
                update(row, put(state, path, other))
            text = str(error.value)
            assert path[-2] in text
            ways_out = ("adopt_state", "init(params)", "jax.vmap", "switch:")
            assert any(way in text for way in ways_out)


def wrong_shapes(value, is_one):
    """Forms of a slot in which no stage may take it."""
    if is_one:
        return [value[None], jnp.stack([value, value]), None]
    holes = jax.tree.map(lambda _: None, value)
    return [None, holes, jax.tree.map(lambda x: x[None], value)]


def put(state, path, value):
    """The state with another value at a path."""
    first, *rest = path
    return {**state, first: put(state[first], rest, value) if rest else value}


@pytest.mark.rotated(20)
@each_row
def test_adopt_state_takes_the_number_out_of_an_array_of_one(row):
    tx = row.make()
    state = other = tx.init(P)
    numbers = [
        (path, x) for path, x, is_one in declared_slots(tx, state) if is_one and not x.shape
    ]
    for path, x in numbers:
        other = put(other, path, np.asarray(x)[None])
    mended, report = gc.adopt_state(tx, other, P)
    assert not report.new and not report.reshaped and not report.dropped
    jax.tree.map(np.testing.assert_array_equal, mended, state)
    notes = {row.path: row.note for row in report.rows}
    assert all("[1]" in notes["/".join(path)] for path, _ in numbers)


@pytest.mark.rotated(20)
@each_row
def test_no_counter_is_negative(row):
    """Those that start at 0 or above; outside ``jit``, in every wrapper, by their paths."""
    tx = row.make()
    state = tx.init(P)
    for path, value, is_one in declared_slots(tx, state):
        if is_one and value.dtype == jnp.int32 and value >= 0:
            for negative in (jnp.int32(-1), np.int32(-1), -1):
                with pytest.raises(ValueError, match=f"'{'/'.join(path)}' is -1, but it counts"):
                    tx.update(G, put(state, path, negative), P, **row.extra)


#: By kind, another form of a state and its name in the error.
FORMS = {
    "None": (lambda s: None, "a NoneType"),
    "list": (lambda s: list(s.values()), "a list"),
    "tuple": (lambda s: tuple(s.values()), "a tuple"),
    "FrozenDict": (flax.core.freeze, "a FrozenDict.*flax.core.unfreeze"),
    "nnx.State": (nnx.State, "a State.*flax.nnx.to_pure_dict"),
}


@pytest.mark.rotated(20)
@each_row
def test_a_state_of_another_form_is_named(row):
    state = row.make().init(P)
    for form, message in FORMS.values() if state else ():
        with pytest.raises(TypeError, match=f"update: the state is {message}"):
            update(row, form(state))


@pytest.mark.rotated(20)
@each_row
def test_an_entry_without_its_clock_is_named(row):
    tx = row.make()
    state = tx.init(P)
    for part in walk(tx, state, into_observers=False):
        for missing in ({}, {"count": None}) if part.stage.has_clock else ():
            other = _with(state, part.path, {**part.entry, **missing}, drop=not missing)
            with pytest.raises((ValueError, TypeError), match="count") as error:
                update(row, other)
            assert part.path[-1] in str(error.value)
            assert "the schedule" not in str(error.value)


def _with(state, path, entry, drop):
    first, *rest = path
    if rest:
        return {**state, first: _with(state[first], rest, entry, drop)}
    return {**state, first: {k: v for k, v in entry.items() if not (drop and k == "count")}}


# ------------------------------------------------------------------------------------------- clocks

SCHEDULED = gc.adam(gc.linear_schedule(0.1, 0.0, 10))
CLOCKS = {
    "float32": np.float32(3),
    "bfloat16": jnp.bfloat16(3),
    "uint32": np.uint32(3),
    "uint8": np.uint8(3),
    "int8": np.int8(3),
    "bool": np.bool_(True),
    "a float": 3.0,
    "True": True,
    "None": None,
}


def with_count(count, of="scale_by_learning_rate"):
    state = SCHEDULED.init(P)
    return {**state, of: {**state[of], "count": count}}


@pytest.mark.parametrize("of", ["scale_by_learning_rate", "scale_by_adam"])
@pytest.mark.parametrize("kind", CLOCKS)
def test_a_clock_of_another_kind_is_named(kind, of):
    with pytest.raises(TypeError, match=f"'{of}/count' is .*, not an int32 number.*adopt_state"):
        SCHEDULED.update(G, with_count(CLOCKS[kind], of), P)


@pytest.mark.parametrize("count", [3, np.int32(3), np.int64(3), jnp.int32(3)], ids=type)
def test_a_clock_of_any_integer_goes_on(count):
    _, state = SCHEDULED.update(G, with_count(count), P)
    assert state["scale_by_learning_rate"]["count"] == 4
    assert state["scale_by_learning_rate"]["count"].dtype == jnp.int32


@pytest.mark.parametrize("count", [2**40, np.int64(2**40), np.uint64(2**40), -(2**40), 2**31])
def test_a_clock_beyond_int32_is_named_and_mended(count):
    with pytest.raises(ValueError, match=f"holds {count} at 'scale_by_learning_rate/count'"):
        SCHEDULED.update(G, with_count(count), P)
    if count < 0:
        with pytest.raises(ValueError, match="no number of steps"):
            gc.adopt_state(SCHEDULED, with_count(count), P)
        return
    state, report = gc.adopt_state(SCHEDULED, with_count(count), P)
    assert state["scale_by_learning_rate"]["count"] == 2**31 - 1
    assert f"{count} is held at 2147483647" in str(report)


@pytest.mark.parametrize(
    "count", [np.float32(2.5), 2.5, np.float64(2.0), np.int8(2), True, 2 + 0j, np.array([[2]])]
)
def test_adopt_state_makes_a_whole_number_of_a_clock(count):
    state, report = gc.adopt_state(SCHEDULED, with_count(count), P)
    whole = int(np.real(np.asarray(count)).item())
    assert state["scale_by_learning_rate"]["count"] == whole
    assert (f"rounded from {count}" in str(report)) == (whole != count)


@pytest.mark.parametrize("count", [np.int8(-56), np.float32(np.nan), np.inf, -1, -(10**30)])
def test_adopt_state_refuses_a_clock_that_tells_no_time(count):
    with pytest.raises(ValueError, match="'scale_by_learning_rate/count' of the old state is"):
        gc.adopt_state(SCHEDULED, with_count(count), P)


@pytest.mark.parametrize(
    "count", [None, "3", 3 + 1j, np.array([3, 4]), jax.random.key(0), object()], ids=type
)
def test_adopt_state_says_that_a_clock_starts_anew_beside_kept_slots(count):
    _, report = gc.adopt_state(SCHEDULED, with_count(count, of="scale_by_adam"), P)
    (told,) = [row for row in report.rows if row.path == "scale_by_adam/count"]
    assert told.status == ("new" if count is None else "reshaped")
    assert "beside slots that were kept" in told.note


def test_adopt_state_holds_a_clock_of_any_size():
    state, report = gc.adopt_state(SCHEDULED, with_count(10**30), P)
    assert state["scale_by_learning_rate"]["count"] == 2**31 - 1
    assert f"{10**30} is held at 2147483647" in str(report)


def test_adopt_state_says_which_numbers_the_dtype_cannot_hold():
    old = np.array([1e300, -1e300, 1e-300, 0.0, np.inf, 1.0])
    for change, note in (
        (lambda x: x, "cast from float64, 2 of 6 became inf, 1 of 6 became 0"),
        (lambda x: x[3:], "cast from float64"),
    ):
        params = {"w": jnp.zeros(change(old).shape)}
        tx = gc.scale_by_adam()
        state = put(tx.init(params), ("scale_by_adam", "mu", "w"), change(old))
        _, report = gc.adopt_state(tx, state, params)
        (told,) = [row for row in report.rows if row.path == "scale_by_adam/mu/w"]
        assert (told.status, told.note) == ("kept", note)


def test_adopt_state_refuses_mere_shapes_in_the_place_of_arrays():
    shapes = jax.eval_shape(SCHEDULED.init, P)
    for path in (("scale_by_adam", "count"), ("scale_by_adam", "mu", "scale")):
        shape = jax.ShapeDtypeStruct((), jnp.int32 if path[-1] == "count" else jnp.float32)
        with pytest.raises(TypeError, match=f"a mere shape at '{'/'.join(path)}'.*eval_shape"):
            gc.adopt_state(SCHEDULED, put(SCHEDULED.init(P), path, shape), P)
    state, report = gc.adopt_state(SCHEDULED, shapes, jax.eval_shape(lambda: P))
    assert state == shapes and not report.new


def test_a_leaf_that_is_no_number_is_named():
    for x in ("3", b"3", np.array(["3"]), abs):
        with pytest.raises(TypeError, match=r"holds a .* at 'scale_by_learning_rate/count'"):
            SCHEDULED.update(G, with_count(x), P)
        _, report = gc.adopt_state(SCHEDULED, with_count(x), P)
        assert report.reshaped == ["scale_by_learning_rate/count"]


def test_a_clock_of_several_numbers_is_named():
    for shape in ((1,), (3,)):
        with pytest.raises(ValueError, match=r"count' has shape .*jax\.vmap"):
            SCHEDULED.update(G, with_count(jnp.zeros(shape, jnp.int32)), P)


def test_the_counters_of_a_run_are_looked_at_once(monkeypatch):
    """To look at one is to wait for its step, so that those of steps are known by identity."""
    looked = []
    monkeypatch.setattr(clocks, "check_counters", lambda _, state: looked.append(state))
    tx = gc.accumulate(gc.skip_nonfinite(SCHEDULED), every=2)
    state = start = tx.init(P)
    for _ in range(3):
        _, state = tx.update(G, state, P)
    assert looked == [start]
    changed = put(state, ("accumulate", "taken"), jnp.int32(1))
    tx.update(G, changed, P)
    assert looked == [start, changed]


def test_a_key_or_a_shape_in_a_state_is_named():
    for path in (("scale_by_adam", "count"), ("scale_by_adam", "mu", "scale")):
        with pytest.raises(TypeError, match=rf"{path[1]}.* is key<fry>\[\]"):
            SCHEDULED.update(G, put(SCHEDULED.init(P), path, jax.random.key(0)), P)
    with pytest.raises(TypeError, match=r"a mere shape at 'scale_by_.*eval_shape"):
        SCHEDULED.update(G, jax.eval_shape(SCHEDULED.init, P), P)


def test_variables_of_flax_are_named_with_the_way_out():
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, SCHEDULED, wrt=nnx.Param)
    pure = nnx.as_pure(nnx.state(model, nnx.Param))
    with pytest.raises(TypeError, match=r"is a Opt.*nnx\.as_pure"):
        SCHEDULED.update(pure, optimizer.opt_state, pure)
    SCHEDULED.update(pure, nnx.as_pure(optimizer.opt_state), pure)
    assert gc.hyperparams(SCHEDULED, optimizer.opt_state)["step"] == 0


def test_a_real_slot_beside_complex_parameters_is_named():
    p = {"w": jnp.ones(2, jnp.complex64)}
    tx = gc.scale_by_adam()
    state = tx.init(p)
    state["scale_by_adam"]["mu"] = {"w": jnp.ones(2)}
    with pytest.raises(TypeError, match=r"slot 'mu'.*float32\[2\] for 'w', not complex64"):
        tx.update(p, state, p)
