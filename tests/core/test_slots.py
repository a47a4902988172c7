"""Slots: shape, dtype and first value for each relation to the parameter."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.first_values import first_value

SHAPES = [
    (gc.slots.like_param, (2, 3, 4), (2, 3, 4)),
    (gc.slots.per_replica, (2, 3, 4), (1, 2, 3, 4)),
    (gc.slots.scalar, (2, 3, 4), ()),
    (gc.slots.prepend(5), (2, 3), (5, 2, 3)),
    (gc.slots.prepend(5), (), (5,)),
    (gc.slots.drop(0), (2, 3, 4), (3, 4)),
    (gc.slots.drop(1), (2, 3, 4), (2, 4)),
    (gc.slots.drop(-1), (2, 3, 4), (2, 3)),
    (gc.slots.drop(lambda shape: shape.index(max(shape))), (2, 4, 3), (2, 3)),
    (gc.slots.keep(1), (2, 3, 4), (3,)),
    (gc.slots.keep(-1), (2, 3, 4), (4,)),
    (gc.slots.keep(lambda shape: shape.index(max(shape))), (2, 4, 3), (4,)),
    (gc.slots.like_param(exists=lambda shape: len(shape) == 2), (2, 3), (2, 3)),
]


@pytest.mark.parametrize(("slot", "shape", "expected"), SHAPES)
def test_the_shape_of_a_slot_follows_from_its_relation(slot, shape, expected):
    assert slot.shape(shape) == expected
    assert first_value(slot, jnp.ones(shape)).shape == expected


def test_a_slot_may_be_for_some_shapes_only():
    slot = gc.slots.keep(2)(exists=lambda shape: len(shape) > 2)
    assert slot.shape((2, 3)) is None
    assert first_value(slot, jnp.ones((2, 3))) is None
    assert first_value(slot, jnp.ones((2, 3, 4))).shape == (4,)


@pytest.mark.parametrize("slot", [gc.slots.drop(2), gc.slots.drop(-3), gc.slots.keep(2)])
def test_a_dimension_that_a_parameter_lacks_cannot_be_dropped(slot):
    with pytest.raises(
        ValueError,
        match=r"(drop|keep)\((2|-3)\): a parameter of shape \[2, 3\] has no such dimension",
    ):
        first_value(slot, jnp.ones((2, 3)))


DTYPES = [
    (jnp.float16, jnp.float32, jnp.float32),
    (jnp.bfloat16, jnp.float32, jnp.float32),
    (jnp.float32, jnp.float32, jnp.float32),
    (jnp.complex64, jnp.complex64, jnp.float32),
]


@pytest.mark.parametrize(("dtype", "expected", "real"), DTYPES)
def test_a_slot_has_the_precision_of_the_computation(dtype, expected, real):
    param = jnp.ones((2, 3), dtype)
    assert first_value(gc.slots.like_param, param).dtype == expected
    assert first_value(gc.slots.like_param(real=True), param).dtype == real
    assert first_value(gc.slots.prepend(2)(real=True), param).dtype == real
    assert first_value(gc.slots.scalar, param).dtype == real


def test_a_slot_starts_at_its_fill_or_as_its_parameter():
    param = jnp.arange(3.0)
    np.testing.assert_array_equal(first_value(gc.slots.like_param, param), 0.0)
    np.testing.assert_array_equal(first_value(gc.slots.like_param(fill=0.5), param), 0.5)
    two = gc.slots.scalar(fill=jnp.float32(2.0))
    np.testing.assert_array_equal(first_value(two, param), 2.0)
    copy = first_value(gc.slots.like_param(copy=True), param)
    np.testing.assert_array_equal(copy, param)
    assert copy is not param


def test_squares_of_complex_gradients_are_kept_real():
    param = jnp.ones(2, jnp.complex64)
    state = gc.chain(
        gc.scale_by_adam(), gc.scale_by_rms(), gc.scale_by_rss(), gc.add_momentum()
    ).init(param)
    kinds = {slot: x.dtype.kind for entry in state.values() for slot, x in entry.items()}
    assert kinds == {"count": "i", "mu": "c", "nu": "f", "sum_of_squares": "f", "momentum": "c"}


def test_a_slot_may_have_any_shape_that_follows_from_that_of_its_parameter():
    slot = gc.slots.shaped(lambda shape: (*shape[:-2], 5, shape[-1]))(real=True)
    assert slot.shape((2, 3, 4)) == (2, 5, 4)
    made = first_value(slot, jnp.ones((3, 4), jnp.complex64))
    assert (made.shape, made.dtype) == ((5, 4), jnp.float32)


def test_a_counter_is_an_integer_in_every_precision():
    for dtype in (jnp.float16, jnp.float32, jnp.complex64):
        made = first_value(gc.slots.counter, jnp.zeros((), dtype))
        assert made.dtype == jnp.int32 and made.shape == () and made == 0
