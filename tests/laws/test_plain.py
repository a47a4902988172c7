"""Plain functions take the numbers that their annotations declare, as factories do."""

import inspect
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.minimization.tolerance import Tolerance, as_tolerance
from tests.laws.test_ranges import NAN, ends, outside

ROOMS = [gc.projections, gc.losses, gc.curvature]
ALONE = [
    gc.check,
    gc.least_squares,
    gc.micro_batch,
    gc.minimize,
    gc.per_example_global_norm_clip,
    gc.per_example_layer_norm_clip,
    gc.schedules.find_learning_rate,
]


def is_plain(x, room):
    is_own = getattr(x, "__module__", "").startswith(room.__name__)
    return inspect.isfunction(x) and is_own and not x.__name__.startswith("_")


FUNCTIONS = {f.__name__: f for room in ROOMS for f in vars(room).values() if is_plain(f, room)}
FUNCTIONS |= {f.__name__: f for f in ALONE}
PLAIN = {name: f.of_plain for name, f in FUNCTIONS.items() if hasattr(f, "of_plain")}
KINDS = {(f, k): x for f, own in PLAIN.items() for k, x in own.numbers.items()}
FLOATS = {place: x for place, x in KINDS.items() if not x.kind.is_integer}
WHOLE = {place: x for place, x in KINDS.items() if x.kind.is_integer}
WORDS = {(f, k): kind for f, own in PLAIN.items() for k, kind in own.words.items()}
each_float = pytest.mark.parametrize(("function", "name"), FLOATS)
each_integer = pytest.mark.parametrize(("function", "name"), WHOLE)


def call(function, name, x):
    """Call with a value for one argument, and with anything for the others that are needed."""
    own = PLAIN[function]
    needed = [p for p in own.signature.parameters.values() if p.default is p.empty]
    named = [p.name for p in needed if p.kind is not p.VAR_POSITIONAL]
    some = {k: 1 if k in own.numbers else "x" if k in own.words else jnp.ones(2) for k in named}
    return FUNCTIONS[function](**some | {name: x})


def forms(x):
    """The same number of Python, NumPy and JAX; in float32 it may be another."""
    return [x, np.float64(x), np.float32(x), np.asarray(x), jnp.asarray(x)]


def test_every_number_is_declared():
    is_number = lambda x: isinstance(x, int | float) and not isinstance(x, bool)
    said = re.compile(r"\b(int|float|Number|Numeric|PositiveInt|NonNegativeInt)\b")
    undeclared = [
        f"{name}.{p.name}"
        for name, f in FUNCTIONS.items()
        for p in inspect.signature(f).parameters.values()
        if (is_number(p.default) or said.search(str(p.annotation)))
        and (name, p.name) not in KINDS
    ]
    # A bound of a box is a tree of numbers, of either sign.
    assert undeclared == ["projection_box.lower", "projection_box.upper"]
    assert len(FLOATS) >= 40
    assert len(WHOLE) >= 30


@each_float
def test_numbers_out_of_range_are_refused_in_every_form(function, name):
    found = KINDS[function, name]
    numbers, start = found.kind.range, re.escape(f"{function}: {name} must be ")
    for x in outside(numbers):
        for form in forms(x):
            if float(form) not in numbers:
                with pytest.raises(ValueError, match=f"{start}{re.escape(numbers.words())}"):
                    call(function, name, form)
        many = jnp.asarray([x, x])
        if found.takes_arrays and float(many[1]) not in numbers:
            for array in (many, np.asarray([x, x])):
                with pytest.raises(ValueError, match=f"{start}.* at each place"):
                    call(function, name, array)


@each_float
def test_what_is_no_number_is_refused_and_the_ends_are_accepted(function, name):
    found = KINDS[function, name]
    wrong = [True, np.True_, jnp.asarray(True)]
    wrong += [] if found.kind.takes_others else ["1", [1.0], {}, 1j]
    wrong += [] if found.takes_arrays else [jnp.ones(2)]
    wrong += [] if found.kind.may_be_none or found.kind.takes_others else [None]
    for x in wrong:
        with pytest.raises(TypeError, match=f"{function}: {name} must be a number"):
            call(function, name, x)
    for end in ends(found.kind.range):
        for form in forms(end):
            assert float(found.admit("it", form)) == end


@each_float
def test_a_traced_number_is_held_in_the_range(function, name):
    numbers = KINDS[function, name].kind.range
    far = [x for x in outside(numbers) if math.isfinite(x) and np.float32(x) not in numbers]
    admit = lambda x: KINDS[function, name].admit("it", x)
    for held in jax.vmap(admit)(jnp.asarray([*far, 0.5, -0.5])).tolist():
        assert held in numbers
    assert math.isnan(jax.vmap(admit)(jnp.asarray([NAN]))[0])


@each_integer
def test_integers_are_whole_in_every_form(function, name):
    found = KINDS[function, name]
    for x in (3, 3.0, np.float64(3.0), np.int64(3), np.asarray(3), jnp.asarray(3)):
        whole = found.admit("it", x)
        assert (type(whole), whole) == (int, 3)
    for x in (2.5, True, np.float32(2.5), NAN, "3", {}, jnp.ones(2)):
        with pytest.raises(TypeError, match=f"{function}: {name} must be an integer, not"):
            call(function, name, x)
    for x in outside(found.kind.range):
        if math.isfinite(x) and x.is_integer():
            for form in (*forms(x), int(x)):
                with pytest.raises(
                    ValueError, match=f"{function}: {name} must be .* or more, not"
                ):
                    call(function, name, form)


@pytest.mark.parametrize(("function", "name"), WORDS)
def test_a_bool_is_a_bool_and_a_word_is_a_string(function, name):
    wanted = "True or False" if WORDS[function, name].is_bool else "a string"
    for x in (2, 0.5, None, []):
        with pytest.raises(TypeError, match=f"{function}: {name} must be {wanted}"):
            call(function, name, x)


@pytest.mark.parametrize("function", PLAIN)
def test_an_unknown_argument_names_the_function(function):
    takes_any = {p.kind for p in PLAIN[function].signature.parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in takes_any
    with pytest.raises(TypeError, match=f"{function}: there is no argument 'strange'"):
        FUNCTIONS[function](strange=1)


@pytest.mark.parametrize(
    "form", [np.float32, np.asarray, jnp.asarray, float], ids=["number", "numpy", "jax", "float"]
)
def test_the_numbers_of_a_tolerance_are_admitted(form):
    for tol in (form(-1.0), form(NAN)):
        for given, name in (
            (tol, "tol"),
            (Tolerance(tol), "tol.grad"),
            (Tolerance(0, tol), "tol.value"),
        ):
            with pytest.raises(ValueError, match=f"it: {name} must be 0 or more, not"):
                as_tolerance("it", given)
    assert as_tolerance("it", form(0.5)) == Tolerance(0.5)
    for wrong in ("a", None, True, jnp.ones(2)):
        with pytest.raises(TypeError, match="it: tol must be a number, not"):
            as_tolerance("it", wrong)


def test_a_callback_is_called():
    for options in ({}, {"x_scale": 2.0}):
        with pytest.raises(TypeError, match="least_squares: callback must be a function"):
            gc.least_squares(lambda p: p, jnp.ones(2), callback=3, **options)


def test_an_inverted_box_is_refused_and_a_traced_one_is_its_upper_side():
    x, box = jnp.array([0.5, 3.0]), gc.projections.projection_box
    for low, high in (
        (1.0, 0.0),
        (NAN, 0.0),
        (0.0, jnp.asarray(NAN)),
        (jnp.array([0.0, 2.0]), 1),
    ):
        with pytest.raises(ValueError, match="projection_box: lower must be at most upper, not"):
            box(x, low, high)
        with pytest.raises(ValueError, match="lower must be at most upper"):
            box({"a": x, "b": None}, {"a": low, "b": None}, {"a": high, "b": None})
    with pytest.raises(TypeError, match="projection_box: a bound must be a number or an array"):
        box(x, "0", 1.0)
    np.testing.assert_array_equal(
        jax.vmap(box, (None, 0, None))(x, jnp.array([1.0]), 0.0), [[0, 0]]
    )
