"""Rows of the wires: how many times fewer bytes than a float32 all-reduce each sends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradchain as gc

ways = gc.distributed


@dataclass(frozen=True)
class WireRow:
    """A wire and what it sends.

    Attributes:
        name: the name of the factory, and after a dash the variant.
        make: makes the wire.
        ratio: the bytes of a float32 all-reduce of a large matrix over its own, at least.
        is_exact: whether the mean has only the errors of float32.
    """

    name: str
    make: Callable[[], Any]
    ratio: float
    is_exact: bool = False


WIRES = [
    WireRow("mean", lambda: ways.mean(), 1.0, is_exact=True),
    WireRow("sign", lambda: ways.sign(), 31.9),
    WireRow("vote", lambda: ways.vote(), 31.9),
    WireRow("top_k", lambda: ways.top_k(), 99.0),
    WireRow("top_k-whole", lambda: ways.top_k(block=None), 64.0),
    WireRow("dct", lambda: ways.dct(), 31.9),
    WireRow("power_sgd", lambda: ways.power_sgd(2), 100.0),
]
#: Codecs, which are wires too.
CODED = [
    WireRow("linear", lambda: gc.precision.linear(), 3.9),
    WireRow("linear-4", lambda: "int4", 7.7),
    WireRow("cast", lambda: "bfloat16", 2.0),
    WireRow("fp8", lambda: "fp8", 3.9),
]
