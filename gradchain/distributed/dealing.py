"""Deal matrices to devices, those that cost the most first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from gradchain.core.types import Shape


@dataclasses.dataclass(frozen=True)
class Deal:
    """Which device has which of the matrices of one shape.

    Every device has equally many. Those that are left over, fewer than there are devices, go to
    some of them, one to each.

    Attributes:
        number: how many matrices there are.
        size: how many devices.
        takers: the devices that have one of the rest, in order.
    """

    number: int
    size: int
    takers: tuple[int, ...]

    @property
    def each(self) -> int:
        """How many matrices every device has."""
        return self.number // self.size

    @property
    def own(self) -> int:
        """How many rows every device has for them."""
        return self.each + bool(self.takers)

    @property
    def order(self) -> np.ndarray:
        """The matrix in each row of each device, ``(size, own)``.

        Devices that have none of the rest get the last matrix, too: whatever they make of it is
        not looked at.
        """
        order = np.full((self.size, self.own), self.number - 1)
        order[:, : self.each] = np.arange(self.each * self.size).reshape(self.size, self.each)
        order[list(self.takers), self.each :] = self._rest[:, None]
        return order

    @property
    def places(self) -> np.ndarray:
        """The row of each matrix among those of all devices."""
        rows = np.arange(self.size * self.own).reshape(self.size, self.own)
        rest = rows[list(self.takers), self.each :]
        return np.concatenate([rows[:, : self.each].ravel(), rest.ravel()])

    @property
    def _rest(self) -> np.ndarray:
        return np.arange(self.each * self.size, self.number)


def deal(groups: Sequence[tuple[int, Shape]], size: int) -> list[Deal]:
    r"""Deal the matrices of some shapes to devices.

    The rest of each shape goes to the devices that have the least to do so far, beginning with the
    shape of the largest cost, :math:`m n \min(m, n)`.

    Args:
        groups: how many matrices there are of each shape, and the shape.
        size: how many devices there are.

    Source: Graham, "Bounds on Multiprocessing Timing Anomalies", 1969,
    https://doi.org/10.1137/0117039

    Example:
        >>> [x.takers for x in deal([(2, (4, 4)), (3, (8, 8)), (4, (2, 2))], 4)]
        [(0, 3), (0, 1, 2), ()]
    """
    loads = np.zeros(size)
    costs = [m * n * min(m, n) for _, (m, n) in groups]
    deals: dict[int, Deal] = {}
    for i in sorted(range(len(groups)), key=lambda i: -costs[i]):
        number, _ = groups[i]
        takers = np.argsort(loads, kind="stable")[: number % size]
        loads[takers] += costs[i]
        deals[i] = Deal(number, size, tuple(sorted(takers.tolist())))
    return [deals[i] for i in range(len(groups))]
