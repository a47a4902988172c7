"""Each argument of each factory takes the numbers that its annotation declares, and no other."""

import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES
from gradchain.core.ranges import EVERY, ArgumentKind, Range, concrete_number
from tests.laws import samples
from tests.laws.table import ROWS

NAN = float("nan")


def is_public(factory):
    module = sys.modules[factory.function.__module__]
    return module.__name__.startswith("gradchain.") and hasattr(module, factory.name)


OURS = {name: factory for name, factory in sorted(FACTORIES.items()) if is_public(factory)}
KINDS = {(f, k): kind for f in OURS for k, kind in OURS[f].kinds.items() if kind.range is not None}
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
            isinstance(x, numbers) and not isinstance(x, bool) for x in jax.tree.leaves(p.default)
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
        with pytest.raises(TypeError, match="must be an integer, not '3'"):
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
    tx, shapes = row.make(), {"bias": (3,), "kernel": (3, 2)}
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

    assert "Ranges: ``share`` in [0, 1]; ``every`` an integer, 1 or more." in scale_by_share.__doc__
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
