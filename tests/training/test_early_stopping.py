"""Early stopping keeps the best and stops after its patience, in a loop that it does not own."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gradchain.training import EarlyStopping


def went(stopping, values, weights=None):
    """The step at which a loop stops, or ``None``."""
    for step, value in enumerate(values, start=1):
        stopping.update(step, value, weights and {"w": jnp.float32(step)})
        if stopping.should_stop:
            return step
    return None


@pytest.mark.parametrize(
    ("patience", "min_delta", "mode", "values", "stop", "best"),
    [
        (2, 0.0, "min", [3, 2, 2.5, 2.5, 1], 4, (2.0, 2)),
        (2, 0.0, "min", [3, 2, 2.5, 1, 2, 1.5, 0], 6, (1.0, 4)),
        (1, 0.0, "min", [1, 1], 2, (1.0, 1)),  # the same again is no improvement
        (2, 0.5, "min", [3.0, 2.75, 2.5, 2.25], 3, (3.0, 1)),  # by just min_delta is none either
        (3, 0.5, "min", [3.0, 2.75, 2.5, 2.25, 2.0], None, (2.25, 4)),
        (2, 0.0, "max", [0.1, 0.5, 0.4, 0.5], 4, (0.5, 2)),
        (2, 0.25, "max", [0.0, 0.5, 0.75, 0.75], 4, (0.5, 2)),
        (None, 0.0, "min", [1.0, 2.0] * 50, None, (1.0, 1)),
        (2, 0.0, "max", [-3.0, -2.0, -5.0, -4.0], 4, (-2.0, 2)),
    ],
)
def test_it_stops_after_its_patience_and_knows_the_best(
    patience, min_delta, mode, values, stop, best
):
    stopping = EarlyStopping(patience, min_delta, mode)
    assert went(stopping, values, weights=True) == stop
    assert stopping.best[:2] == best
    assert stopping.best.weights["w"] == best[1]
    assert bool(stopping.reason) == (stop is not None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_value_that_is_not_finite_is_no_improvement_and_is_named(mode, bad):
    stopping = EarlyStopping(3, mode=mode)
    assert went(stopping, [1.0, bad, 1.0, bad]) == 4
    assert stopping.best[:2] == (1.0, 1)
    assert stopping.reason.endswith("of step 1; not finite at steps 2, 4")


def test_a_run_without_a_finite_value_says_so():
    stopping = EarlyStopping(2)
    assert went(stopping, [math.nan, math.nan]) == 2
    assert stopping.best == (math.inf, 0, None)
    assert stopping.reason == "none of the last 2 values is finite; not finite at steps 1, 2"


def test_the_reason_has_the_margin():
    stopping = EarlyStopping(1, 0.25, "max")
    went(stopping, [1.0, 1.1])
    assert stopping.reason == "the last value is not above 1 + 0.25, of step 1"


def test_it_goes_on_from_its_state():
    values = [5.0, 3.0, math.nan, 4.0, 3.5, 1.0]
    one, other = EarlyStopping(4), EarlyStopping(4)
    for step, value in enumerate(values[:3], start=1):
        one.update(step, value)
    other.restore(json.loads(json.dumps(one.state())))
    for step, value in enumerate(values[3:], start=4):
        assert one.update(step, value) == other.update(step, value)
        assert one.state() == other.state()
        assert one.reason == other.reason
    assert other.best == (1.0, 6, None)


def test_before_the_first_value_its_state_is_restored_too():
    new = EarlyStopping(2, mode="max")
    new.restore(EarlyStopping(2, mode="max").state())
    assert new.update(1, -100.0)


def test_a_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match=r"has 'not_finite', 'step', .* but this one has 'w'"):
        EarlyStopping().restore({"w": 1})
    with pytest.raises(ValueError, match="of the other mode than 'max'"):
        EarlyStopping(mode="max").restore(EarlyStopping().state())


def test_weights_that_change_later_are_kept_as_they_were():
    stopping = EarlyStopping()
    weights = {"numpy": np.ones(2), "list": [jnp.zeros(2)]}
    stopping.update(1, 1.0, weights)
    weights["numpy"][:] = 7.0
    weights["list"].append(1)
    assert stopping.best.weights["numpy"].tolist() == [1.0, 1.0]
    assert len(stopping.best.weights["list"]) == 1

    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    before = np.array(model.kernel[...])
    stopping.update(2, 0.5, nnx.state(model, nnx.Param))
    model.kernel[...] = jnp.zeros((2, 2))
    nnx.update(model, stopping.best.weights)
    np.testing.assert_array_equal(model.kernel[...], before)


def test_weights_that_were_donated_are_named():
    stopping = EarlyStopping()
    params = {"layer": {"kernel": jnp.ones(4)}}
    stopping.update(3, 1.0, params)
    params["layer"]["kernel"].delete()  # as a step with donate_argnums does
    with pytest.raises(RuntimeError, match=r"'layer/kernel', of step 3, is deleted.*jnp.copy"):
        _ = stopping.best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience is 0"),
        ({"patience": 2.5}, r"patience is 2\.5"),
        ({"min_delta": -0.1}, r"min_delta is -0\.1"),
        ({"min_delta": math.nan}, "min_delta is nan"),
        ({"mode": "lower"}, "mode is 'lower'"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**options)


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match=r"shape \[3\].*one number"):
        EarlyStopping().update(1, jnp.ones(3))
    with pytest.raises(TypeError, match="'low' is no real number"):
        EarlyStopping().update(1, "low")
    with pytest.raises(TypeError, match=r"is traced.*outside jit"):
        jax.jit(lambda x: EarlyStopping().update(1, x))(1.0)
    assert EarlyStopping().update(1, jnp.ones(1))
