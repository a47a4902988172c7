"""Matrices are dealt to devices once each, and evenly by their cost."""

import numpy as np
import pytest

from gradchain.distributed.dealing import deal

GROUPS = {
    "one each": [(1, (2, 2)), (1, (4, 4)), (1, (8, 8))],
    "uneven": [(5, (4, 4)), (7, (4, 8)), (9, (4, 16))],
    "model": [(12, (8, 24)), (12, (8, 8)), (12, (8, 32)), (12, (32, 8))],
    "even": [(16, (4, 4))],
}


@pytest.mark.parametrize("size", [1, 3, 8, 16])
@pytest.mark.parametrize("name", GROUPS)
def test_each_matrix_has_one_place(name, size):
    for (number, _), own in zip(GROUPS[name], deal(GROUPS[name], size), strict=True):
        assert own.order.shape == (size, own.own)
        assert own.own == -(-number // size)
        np.testing.assert_array_equal(own.order.ravel()[own.places], np.arange(number))
        assert len(set(own.takers)) == number % size


def loads(groups, size):
    found = np.zeros(size)
    for (_, (m, n)), own in zip(groups, deal(groups, size), strict=True):
        found += m * n * min(m, n) * own.each
        found[list(own.takers)] += m * n * min(m, n)
    return found


@pytest.mark.parametrize(
    ("name", "share", "padded"), [("model", 1.06, 4 / 3), ("uneven", 1.17, 1.6)]
)
def test_the_busiest_of_eight_has_little_more_than_its_share(name, share, padded):
    """Beside what it would be if each device made all that any has."""
    groups = GROUPS[name]
    found = loads(groups, 8)
    assert found.max() <= share * found.mean()
    each = sum(-(-k // 8) * m * n * min(m, n) for k, (m, n) in groups)
    assert each == pytest.approx(padded * found.mean(), rel=1e-3)
