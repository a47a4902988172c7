"""Each argument of each factory takes the numbers that its annotation declares, and no other."""

import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.call import is_call
from gradchain.core.factory import FACTORIES
from gradchain.core.ranges import EVERY, ArgumentKind, Range, concrete_number
from tests.laws import samples
from tests.laws.table import ROWS

NAN = float("nan")


def is_public(factory):
    module = sys.modules[factory.function.__module__]
    is_ours = module.__name__.startswith("gradchain.")
    return is_ours and getattr(getattr(module, factory.name, None), "of_factory", None) == factory


OURS = {name: factory for name, factory in sorted(FACTORIES.items()) if is_public(factory)}
KINDS = {
    (f, k): kind for f in OURS for k, kind in OURS[f].kinds.items() if kind.range is not None
}
HYPERS = {place: kind for place, kind in KINDS.items() if kind.is_hyper and not kind.is_integer}
WHOLE = {place: kind for place, kind in KINDS.items() if kind.is_integer}
ROWS_WITH_NUMBERS = [row for row in ROWS if any(row.name.split("-")[0] == f for f, _ in KINDS)]
each_factory = pytest.mark.parametrize("factory", sorted({factory for factory, _ in KINDS}))
each_with_integers = pytest.mark.parametrize("factory", sorted({factory for factory, _ in WHOLE}))


def outside(numbers: Range) -> list[float]:
    """Numbers out of a range, at both of its ends and far from them, and NaN."""
    beyond = lambda end, far: [end + far, math.nextafter(end, far * math.inf)]
    found = [NAN, -math.inf, math.inf]
    found += [numbers.low] if math.isfinite(numbers.low) and not numbers.has_low else []
    found += [numbers.high] if math.isfinite(numbers.high) and not numbers.has_high else []
    found += beyond(numbers.low, -1.0) if math.isfinite(numbers.low) else []
    found += beyond(numbers.high, 1.0) if math.isfinite(numbers.high) else []
    return [x for x in found if x not in numbers]


def rounded_out(numbers: Range) -> list[float]:
    """Numbers in a range, but not in float32, where they are at an end that is outside."""
    low = [0.0 if numbers.low == 0 else numbers.low] * (not numbers.has_low)
    high = [numbers.high] * (not numbers.has_high)
    found = [math.nextafter(x, math.inf) for x in low] + [
        math.nextafter(x, -math.inf) for x in high
    ]
    assert all(x in numbers for x in found)
    return found


def ends(numbers: Range) -> list[float]:
    """The ends that belong to a range."""
    return [x for x in (numbers.low, numbers.high) if x in numbers]


def given(factory, name, x):
    """A number as the argument is given it: by itself, in a tuple, or in a dict."""
    kind = OURS[factory].kinds[name]
    if kind.keys:
        return {3: x} if kind.has_whole_keys else {"w": x}
    row = tuple("distance" if part.range is None else x for part in kind.parts)
    return row if kind.is_row else x


def leaf(value):
    """The number in a container."""
    return next(x for x in jax.tree.leaves(value) if not isinstance(x, str))


def test_every_number_has_a_declared_range():
    """By default, or by what it is called: no number is left to chance."""
    numbers = (int, float)
    undeclared = [
        f"{f}.{name}"
        for f, factory in OURS.items()
        for name, p in factory.signature.parameters.items()
        if factory.kinds[name].range is None
        and any(
            isinstance(x, numbers) and not isinstance(x, bool)
            for x in jax.tree.leaves(p.default, is_leaf=is_call)  # a policy has ranges of its own
        )
    ]
    assert undeclared == []
    assert len(HYPERS) >= 740
    assert len(WHOLE) >= 120
    # The rest are values, rates and factors of which any number may be meant.
    assert sum(kind.range != EVERY for kind in HYPERS.values()) >= 600


def arguments(factory, kinds):
    """The arguments of a factory that are among ``kinds``."""
    return [(name, kind) for (of, name), kind in kinds.items() if of == factory]


@each_factory
def test_numbers_out_of_range_are_refused(factory):
    for name, kind in arguments(factory, KINDS):
        for x in outside(kind.range):
            refused = TypeError if kind.is_integer and not float(x).is_integer() else ValueError
            with pytest.raises(refused) as error:
                OURS[factory].admit(name, given(factory, name, x))
            text = str(error.value)
            assert text.startswith(f"{factory}: {name}")
            is_kept_whole = refused is ValueError and kind.is_integer and not kind.is_hyper
            assert f"not {int(x) if is_kept_whole else x!r}." in text
            assert refused is TypeError or kind.range.words() in text


@each_factory
def test_numbers_that_leave_their_range_in_float32_are_refused(factory):
    """0.99999999 is 1 there, and a decay of 1 divides by zero."""
    for name, kind in arguments(factory, KINDS):
        for x in () if kind.is_integer else rounded_out(kind.range):
            with pytest.raises(ValueError, match=r"must be .*, and .* in float32\."):
                OURS[factory].admit(name, given(factory, name, x))


def test_a_number_near_an_end_is_accepted_where_float32_has_it():
    near = float(np.nextafter(np.float32(1), np.float32(0)))
    assert gc.adam(0.1, b1=near).arguments["b1"] == near
    with pytest.raises(
        ValueError, match=r"b2 must be in \[0, 1\), and 0.99999999 is 1 in float32"
    ):
        gc.adam(0.1, b2=0.99999999)
    with pytest.raises(ValueError, match=r"1e\+39 is inf in float32\.$"):
        gc.adam(0.1, eps=1e39)
    assert gc.clip(1e39).arguments["max_delta"] == 1e39  # a limit may be infinite
    with jax.enable_x64(True):
        double = jnp.float64(0.99999999)
        assert gc.adam(0.1, b2=double).arguments["b2"] is double
        with pytest.raises(
            ValueError, match=r"for float64 give it as jnp\.float64\(0.99999999\)"
        ):
            gc.adam(0.1, b2=0.99999999)


@each_factory
def test_the_state_of_a_tunable_takes_what_the_argument_takes(factory):
    for name, kind in arguments(factory, HYPERS):
        full = f"{factory}/{name}"
        state = {"tunable": {"hyperparams": {full: jnp.float32(0.5)}}}
        words = re.escape(kind.range.words())
        for x in outside(kind.range):
            with pytest.raises(
                ValueError, match=f"{name} must be {words}, not {re.escape(repr(x))}"
            ):
                gc.set_hyperparams(state, **{full: x})
        for x in rounded_out(kind.range):
            with pytest.raises(ValueError, match=f"and {re.escape(repr(x))} is .* in float32"):
                gc.set_hyperparams(state, **{full: x})
        for x in (1e-50, 1e300):
            if x in kind.range:
                with pytest.raises(
                    ValueError, match=f"and {re.escape(repr(x))} is (0|inf) in float32"
                ):
                    gc.set_hyperparams(state, **{full: x})
        for x in ends(kind.range):
            new = gc.set_hyperparams(state, **{full: x})
            assert new["tunable"]["hyperparams"][full] == np.float32(x)


@each_factory
def test_the_ends_of_a_range_are_accepted(factory):
    for name, kind in arguments(factory, KINDS):
        for x in ends(kind.range):
            if not (kind.is_integer and math.isinf(x)):  # there any integer is
                assert leaf(OURS[factory].admit(name, given(factory, name, x))) == x


@each_with_integers
def test_whole_floats_are_integers_and_no_other_number_is(factory):
    for name, kind in arguments(factory, WHOLE):
        check_integers(factory, name, kind)


def check_integers(factory, name, kind):
    for whole in (3.0, np.float64(3.0), np.int64(3), jnp.asarray(3), jnp.asarray(3.0)):
        found = leaf(OURS[factory].admit(name, given(factory, name, whole)))
        assert type(found) is (float if kind.is_hyper else int)
        assert found == 3
    for x in (2.5, True, np.float32(2.5), NAN):
        with pytest.raises(TypeError, match=f"{factory}: {name}.* must be an integer, not"):
            OURS[factory].admit(name, given(factory, name, x))
    if not (kind.takes_others or kind.is_hyper):
        with pytest.raises(TypeError, match=r"must be an integer.*, not '3'"):
            OURS[factory].admit(name, given(factory, name, "3"))


@pytest.mark.parametrize("row", ROWS_WITH_NUMBERS, ids=lambda row: row.name)
def test_a_call_with_a_number_out_of_range_is_refused(row):
    """Where it is written, whether by the factory or by ``replace``."""
    tx = row.make()
    for name, kind in tx.factory.kinds.items():
        if kind.range is None or kind.is_row:
            continue
        bad = next(x for x in outside(kind.range) if not kind.is_integer or x < 0 or x != x)
        with pytest.raises((TypeError, ValueError), match=f"{tx.factory.name}: {name} must be"):
            tx.replace(**{name: bad})


@pytest.mark.rotated(20)
@pytest.mark.parametrize("row", ROWS_WITH_NUMBERS, ids=lambda row: row.name)
def test_steps_at_the_ends_of_ranges_are_numbers(row):
    tx, shapes = row.make(), {"dense": {"bias": (3,), "kernel": (3, 2)}}
    p = samples.params(jnp.float32, shapes)
    # None is zero: with eps=0 zero would be divided by zero, as in torch.
    grads = jax.tree.map(
        lambda g: g + jnp.where(g < 0, -0.5, 0.5), samples.gradients(jnp.float32, 3, shapes)
    )
    if tx.facts.reduces_examples:  # batches of one
        grads = jax.tree.map(lambda g: g[:, None], grads)
    for name, kind in tx.factory.kinds.items():
        for end in ends(kind.range) if kind.is_hyper and tx.arguments[name] is not None else ():
            if kind.range == EVERY or kind.is_integer:
                continue
            found = samples.run_with_argument(tx.replace(**{name: end}), p, grads, **row.run)
            bad = [path for path, x in samples.named(found).items() if np.isnan(x).any()]
            assert bad == [], f"{name}={end}"


def test_an_annotation_is_read_as_text_or_as_an_object():
    """A factory of a user's own, in a file with or without postponed annotations."""
    for annotation in (
        gc.ranges.Decay,
        "Decay",
        "gc.ranges.Decay",
        "Annotated[gc.Hyper, '[0, 1)']",
    ):
        kind = ArgumentKind.of(annotation)
        assert (kind.is_hyper, kind.range) == (True, Range.of("[0, 1)"))
    for annotation in (gc.ranges.PositiveInt, "PositiveInt", gc.ranges.PositiveInt | None):
        kind = ArgumentKind.of(annotation)
        assert (kind.is_count, kind.range) == (True, Range.of("[1, inf)"))
    assert ArgumentKind.of(int).is_count
    assert ArgumentKind.of("int | None").may_be_none


@pytest.mark.parametrize("interval", ["[0, 1", "0, 1", "[a, b]", "[0; 1]", ""])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(ValueError, match="An interval is written like"):
        Range.of(interval)


def test_a_factory_of_a_users_own_has_its_ranges():
    @gc.transform
    def scale_by_share(share: gc.ranges.Fraction, every: gc.ranges.PositiveInt = 2):
        """Multiply by a share."""
        return gc.elementwise(lambda g: share * g)

    assert (
        "Ranges: ``share`` in [0, 1]; ``every`` an integer, 1 or more." in scale_by_share.__doc__
    )
    assert scale_by_share(0.5, 4.0).arguments["every"] == 4
    with pytest.raises(ValueError, match=re.escape("share must be in [0, 1], not 1.5.")):
        scale_by_share(1.5)


def test_a_schedule_is_held_at_closed_ends_and_keeps_its_slope_there():
    tx = gc.clip_by_global_norm(gc.linear_schedule(1.0, -1.0, 4))
    p, g = jnp.ones(4), jnp.ones(4)
    state, norms = tx.init(p), []
    for _ in range(6):
        u, state = tx.update(g, state, p)
        norms.append(float(jnp.linalg.norm(u)))
    np.testing.assert_allclose(norms, [1.0, 0.5, 0.0, 0.0, 0.0, 0.0], atol=1e-6)
    slope = jax.grad(lambda x: Range.of("[0, inf)").held(x))(0.0)
    assert slope == 1.0


def test_arrays_are_looked_at_and_stay_arrays():
    for x in (jnp.asarray(-1.0), np.float32(-1.0), np.asarray(-1.0)):
        with pytest.raises(ValueError, match=r"clip: max_delta must be 0 or more, not -1\.0"):
            gc.clip(x)
    with pytest.raises(ValueError, match="eps must be 0 or more and finite, not inf"):
        gc.adam(0.1, eps=10**400)
    assert concrete_number(jnp.ones(2)) is None
    assert concrete_number(jax.random.key(0)) is None
    jax.eval_shape(lambda x: gc.clip(x).update(x, {})[0], jnp.asarray(-1.0))  # traced ones pass


# ------------------------------------------------------------------------------ no known numbers


@each_factory
def test_traced_numbers_are_held_at_the_call(factory):
    """In the range, or where an end does not belong to it just inside."""
    for name, kind in arguments(factory, KINDS):
        if kind.is_integer or kind.length or kind.is_tree:
            continue
        xs = [x for x in outside(kind.range) if x == x and not math.isinf(x)]
        held = []

        def admit(row, name=name, held=held):
            for x in row:
                held.append(leaf(OURS[factory].admit(name, given(factory, name, x))))
            return jnp.stack([jnp.asarray(x, jnp.float32) for x in held])

        if xs:
            found = jax.jit(admit)(jnp.asarray(xs, jnp.float32))
            assert all(float(x) in kind.range for x in found), (name, xs, found)


CLIPS = [gc.clip, gc.clip_by_norm, gc.clip_by_global_norm, gc.clip_by_block_rms]


@pytest.mark.parametrize("make", CLIPS, ids=lambda make: make.__name__)
def test_a_limit_below_zero_is_zero_however_it_comes(make):
    p, g = {"w": jnp.ones(2)}, {"w": jnp.full(2, 0.5)}
    go = lambda tx: tx.update(g, tx.init(p), p)[0]["w"]
    of_leaf = lambda x: jax.tree.map(lambda _: x, make(1.0))
    many = jnp.asarray([-1.0, -0.5])
    zeros = np.zeros(2)
    np.testing.assert_array_equal(go(make(lambda t: -1.0)), zeros)
    np.testing.assert_array_equal(jax.jit(lambda x: go(make(x)))(-1.0), zeros)
    np.testing.assert_array_equal(jax.jit(lambda x: go(of_leaf(x)))(jnp.float32(-1.0)), zeros)
    np.testing.assert_array_equal(jax.vmap(lambda x: go(make(x)))(many), [zeros, zeros])
    np.testing.assert_array_equal(jax.vmap(lambda x: go(of_leaf(x)))(many), [zeros, zeros])


def test_a_schedule_at_an_end_that_is_outside_is_held_just_inside():
    decay = Range.of("[0, 1)")
    for x in (1.0, 0.99999999, 7.0, 1):
        assert 0.999 < float(decay.held(jnp.asarray(x))) < 1
    for x in (0.0, -1.0, -1):
        assert 0 < float(Range.of("(0, inf)").held(jnp.asarray(x))) < 1e-30
    assert np.isnan(decay.held(jnp.nan))
    assert Range.of("[0, 9]").held(jnp.int32(10)).dtype == jnp.int32
    assert Range.of("[1, inf)").held(jnp.int32(0)) == 1
    p, g = jnp.ones(2), jnp.full(2, 0.5)
    for tx in (gc.adam(0.1, b2=lambda t: 1.0), gc.adam(0.1, b2=lambda t: 0.99999999)):
        assert np.isfinite(tx.update(g, tx.init(p), p)[0]).all()


@pytest.mark.rotated(4)
@pytest.mark.usefixtures("jax_as_users_have_it")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_traced_count_is_taken_or_refused_by_name(row):
    """Of those that decide a shape, as of arguments that are no numbers, the call is refused."""
    tx, shapes = row.make(), {"bias": (3,), "kernel": (3, 2)}
    p = samples.params(jnp.float32, shapes)
    g = samples.at(0, samples.gradients(jnp.float32, 3, shapes))
    for name, kind in tx.factory.kinds.items():
        n = tx.arguments[name]
        if not (kind.is_count and type(n) is int):
            continue

        def run(n, name=name):
            changed = tx.replace(**{name: n})
            if not tx.facts.reduces_examples:
                changed.update(g, changed.init(p), p, **row.extra)

        if kind.is_static:
            match = f"{name}.* must be an integer, not int32.*, which is traced: it must be known"
            with pytest.raises(TypeError, match=match):
                jax.eval_shape(run, jnp.int32(n))
        else:
            jax.eval_shape(run, jnp.int32(n))


# ------------------------------------------------------------------------------- other kinds

BOOLS = [(f, k) for f in OURS for k, kind in OURS[f].kinds.items() if kind.is_bool]


def test_a_flag_is_a_bool_and_nothing_else():
    assert len(BOOLS) >= 70
    for factory, name in BOOLS:
        for flag in (True, np.bool_(True), np.array(True), jnp.asarray(True)):
            assert OURS[factory].admit(name, flag) is True
        for wrong in ("no", "false", 1, 2, 0.0, NAN, None, gc.sgd(0.1), [True], jnp.ones(2) > 0):
            match = f"{factory}: argument '{name}' must be True or False, not"
            with pytest.raises(TypeError, match=match):
                OURS[factory].admit(name, wrong)


def test_a_flag_is_no_traced_bool():
    with pytest.raises(
        TypeError, match=r"nesterov' must be True or False, not bool\[\], which is"
    ):
        jax.jit(lambda flag: gc.sgd(0.1, 0.9, nesterov=flag).init(jnp.ones(1)))(True)


def test_flags_that_may_be_something_else_are_free():
    assert not ArgumentKind.of("bool | None").is_bool
    assert not ArgumentKind.of("bool | str").is_bool
    assert ArgumentKind.of(bool).is_bool


TEXTS = [(f, k) for f in OURS for k, kind in OURS[f].kinds.items() if kind.is_text]


def test_text_is_a_string():
    assert len(TEXTS) >= 30
    for factory, name in TEXTS:
        for wrong in (3, 0.5, True, gc.sgd(0.1), (3,)):
            with pytest.raises(TypeError, match=f"{name}.* must be a (string|tuple)"):
                OURS[factory].admit(name, wrong)


WITH_ROWS = [(f, k) for (f, k), kind in KINDS.items() if kind.is_row and not kind.takes_others]


def test_the_numbers_in_rows_are_numbers():
    assert len(WITH_ROWS) >= 8
    wrong = [True, None, "0.9", 1 + 0j, jnp.ones(2), jax.random.key(0), (0.5,), gc.sgd(0.1)]
    for factory, name in WITH_ROWS:
        kind = OURS[factory].kinds[name]
        functions = [] if kind.parts[0].is_hyper else [lambda t: 0.5]
        for x in (*wrong, *functions):
            with pytest.raises(TypeError, match=f"{name}.*must be a(n integer| number)"):
                OURS[factory].admit(name, given(factory, name, x))
        for x in (np.float32(1.0), jnp.asarray(1), np.int64(1)) * (1.0 in kind.range):
            assert leaf(OURS[factory].admit(name, given(factory, name, x))) == 1


def test_rows_have_as_many_values_as_their_annotation_says():
    fixed = [(f, k) for f in OURS for k, kind in OURS[f].kinds.items() if kind.length]
    assert fixed == [("dadapt_adamw", "betas"), ("dog", "init_step"), ("prodigy", "betas")]
    for factory, name in fixed:
        for wrong in ((), (0.5,), (0.5, 0.5, 0.5), [0.5]):
            text = f"{factory}: {name} must hold 2 values, not {len(wrong)} as in {wrong!r}."
            with pytest.raises(ValueError, match=re.escape(text)):
                OURS[factory].admit(name, wrong)
        with pytest.raises(TypeError, match=f"{name}' must be a tuple, a list or a dict"):
            OURS[factory].admit(name, None)
    assert gc.prodigy(betas=[0.9, 0.99]).arguments["betas"] == [0.9, 0.99]


def test_rows_come_in_any_container():
    made = gc.join_schedules([gc.constant_schedule(1.0)] * 3, range(10, 30, 10))
    assert made.arguments["boundaries"] == (10, 20)
    for wrong in ({3: 0.5}, {3: 0.5, "w": 1.0}):
        with pytest.raises(
            TypeError, match="scale_by_path: factors: each key must be text, not 3"
        ):
            gc.scale_by_path(wrong)
    with pytest.raises(
        TypeError, match="'boundaries' must be a tuple, a list or a dict of values"
    ):
        gc.join_schedules([gc.constant_schedule(1.0)], None)


def test_every_element_of_an_array_is_in_the_range():
    with pytest.raises(
        ValueError, match=r"a must be a finite number at each place, not nan at \[1\]"
    ):
        gc.constraints.hyperplane(jnp.array([1.0, jnp.nan]))
    with pytest.raises(ValueError, match=r"a\[0\]\[1\] must be a finite number, not inf"):
        gc.constraints.halfspace(((1.0, math.inf),))
    with pytest.raises(TypeError, match=r"a\[1\] must be a number, an array or a tree of them"):
        gc.constraints.hyperplane((1.0, "x"))
    assert gc.constraints.hyperplane(((1.0, 2.0), jnp.ones(2))).arguments["a"][0] == (1.0, 2.0)


BOUNDS = [(f, pair) for f in OURS for pair in OURS[f].bounds]


def test_a_lower_bound_is_not_above_the_upper():
    assert len(BOUNDS) >= 6
    needed = {"init_value": 1.0, "schedule": 1.0, "steps": 2, "inner": gc.sgd(0.1)}
    needed["learning_rate"] = 0.1
    for factory, (low, high) in BOUNDS:
        parameters = OURS[factory].signature.parameters.values()
        calls = {p.name: needed.get(p.name, p.default) for p in parameters}
        for x, y in ((2.0, 1.0), (jnp.asarray(2.0), 1.0), (2, np.float32(1))):
            with pytest.raises(
                ValueError, match=rf"{factory}: {high} must be 2.* or more, as {low} is"
            ):
                OURS[factory].admitted(calls | {low: x, high: y})
        OURS[factory].admitted(calls | {low: 2.0, high: 2.0})
    with pytest.raises(ValueError, match="box: lower must be a finite number or -inf, not inf"):
        gc.constraints.box(math.inf, math.inf)


@pytest.mark.parametrize("make", [gc.adam, gc.clip, gc.add_noise, gc.constant_schedule])
def test_a_random_key_is_no_number(make):
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        with pytest.raises(
            TypeError, match=r"must be a number or a function of the step, not \w"
        ):
            make(key)
    with pytest.raises(TypeError, match=r"must be a number or a function of the step, not key"):
        jax.eval_shape(lambda key: make(key).arguments, jax.random.key(0))
    with pytest.raises(TypeError, match="'seed' must be an integer, not key"):
        gc.add_noise(0.1, seed=jax.random.key(0))


def test_a_condition_is_a_schedule_of_ones_and_zeros():
    p, g = jnp.ones(2), jnp.ones(2)
    tx = gc.sgd(lambda t: t < 1)
    first, state = tx.update(g, tx.init(p), p)
    second, _ = tx.update(g, state, p)
    assert (first[0], second[0]) == (-1.0, 0.0)


def test_a_schedule_that_asks_a_dict_is_shown_the_way_out():
    with pytest.raises(TypeError, match=r"looks at the step's value in Python.*Use jax\.numpy"):
        gc.sgd(lambda t: {0: 0.1}.get(t)).init(jnp.ones(2))
    with pytest.raises(TypeError, match="unhashable type: 'list'"):  # which is another matter
        gc.sgd(lambda t: {0: 0.1}.get([t])).init(jnp.ones(2))


@pytest.mark.parametrize("every", [0, 0.0])
def test_a_number_out_of_range_is_shown_as_it_was_given(every):
    with pytest.raises(ValueError, match=rf"every must be 1 or more, not {every}\.$"):
        gc.accumulate(gc.sgd(0.1), every=every)
