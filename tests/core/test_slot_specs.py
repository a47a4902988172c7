"""How slots are split over devices."""

import pytest
from jax.sharding import PartitionSpec as P

from gradchain.core.slot_specs import spec_of_slot
from gradchain.core.slots import drop, gram, keep, like_param, prepend, scalar, shaped

SIZES = {"a": 4, "b": 2}
LAYERS = (3, 8, 4)  # stacked matrices
SPLIT = P(None, "a", "b")


@pytest.mark.parametrize(
    ("slot", "own", "expected"),
    [
        (like_param, LAYERS, SPLIT),
        (prepend(5), (5, *LAYERS), P(None, None, "a", "b")),
        (drop(-1), (3, 8), P(None, "a")),
        (drop(1), (3, 4), P(None, "b")),
        (drop(lambda shape: shape.index(max(shape))), (3, 4), P(None, "b")),
        (keep(1), (8,), P("a")),
        (keep(-2), (3, 8), P(None, "a")),  # of each matrix
        (gram(-1), (3, 4, 4), P(None, None, None)),
        (shaped(lambda shape: (*shape[:-1], 1)), (3, 8, 1), P(None, "a", None)),
        (shaped(lambda shape: (7,)), (7,), P(None)),
        (scalar, (), P()),
        (None, LAYERS, SPLIT),
    ],
    ids=lambda x: getattr(x, "relation", None) or str(x),
)
def test_a_slot_is_split_as_its_parameter(slot, own, expected):
    assert spec_of_slot(slot, own, LAYERS, SPLIT, SIZES) == expected


def test_axes_that_do_not_divide_are_left_out():
    assert spec_of_slot(None, (6, 4), (6, 4), P("a", "b"), SIZES) == P(None, "b")
    assert spec_of_slot(None, (8, 4), (8, 4), P(("a", "b")), SIZES) == P(("a", "b"), None)


def test_no_axis_splits_twice():
    assert spec_of_slot(gram(-1), (8, 8), (8, 8), P("a", "a"), SIZES) == P(None, None)
    assert spec_of_slot(None, (8, 8), (8, 8), P("a", "a"), SIZES) == P("a", None)
