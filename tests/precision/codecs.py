"""Rows of ``gradchain.precision.codecs``: the error that each may make, as its docstring says."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from gradchain.precision import codecs
from gradchain.precision.codec import Codec


@dataclass(frozen=True)
class CodecRow:
    """A codec and its bounds.

    Attributes:
        name: the name of the factory, and after a dash the variant.
        make: makes the codec.
        bound: how far shares in [0, 1] of a block's largest may be off; ``None`` for a cast.
        is_signed: whether what is below zero is kept.
        has_chance: whether it rounds by chance where it is given a key: all that lose something.
    """

    name: str
    make: Callable[[], Codec]
    bound: Callable[[np.ndarray], np.ndarray] | None = None
    is_signed: bool = True
    has_chance: bool = True


def equal_steps(bits: int) -> Callable[[np.ndarray], np.ndarray]:
    """Of ``linear``: half of a step everywhere."""
    return lambda share: np.full(share.shape, 1 / (2**bits - 2))


def root_error(share: np.ndarray) -> np.ndarray:
    """Of ``root``: 1/510 of the square root, or 1/255 of one that is next to zero."""
    error = np.where(share < 1 / 510**2, 1 / 255, 1 / 510)
    return (np.sqrt(share) + error) ** 2 - share


def log_error(top: int, octaves: int) -> Callable[[np.ndarray], np.ndarray]:
    """Of ``log``: a relative error, and the least that it has for what is less."""
    least, factor = 2.0**-octaves, 2 ** (octaves / (top - 1) / 2) - 1
    return lambda share: np.where(
        share == 0, 0, np.where(share < least, least, 0) + factor * np.maximum(share, least)
    )


def dynamic_error(signed: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Of ``dynamic``: half of the gap around it; without a sign nothing goes to zero, with one a
    code is lacking at -1.
    """
    values = codecs.dynamic_values(signed)
    values = values[values >= 0]
    middle = np.diff(values) / 2

    def bound(share: np.ndarray) -> np.ndarray:
        gap = middle[
            np.clip(np.searchsorted(values, share, side="right") - 1, 0, len(middle) - 1)
        ]
        if signed:
            return np.where(share > values[-2], values[-1] - values[-2], gap)
        return np.where(share < values[1], values[1], gap)

    return bound


def float_error(share: np.ndarray) -> np.ndarray:
    """Of ``fp8``: 1/16 of itself down to 1/28,672, and of that below."""
    return np.maximum(share, 1 / 28_672) / 16


DTYPES = {"float64": False, "float32": False} | dict.fromkeys(
    ("float16", "float8_e4m3fn", "float8_e5m2"), True
)
CODECS = [
    CodecRow("cast-bfloat16", lambda: codecs.cast("bfloat16")),
    *(
        CodecRow(f"cast-{dtype}", lambda dtype=dtype: codecs.cast(dtype), has_chance=is_lossy)
        for dtype, is_lossy in DTYPES.items()
    ),
    CodecRow("linear", codecs.linear, equal_steps(8)),
    CodecRow("linear-4", lambda: codecs.linear(4), equal_steps(4)),
    CodecRow("linear-16", lambda: codecs.linear(16), equal_steps(16)),
    CodecRow("linear-small", lambda: codecs.linear(block=7, axis=0), equal_steps(8)),
    CodecRow("linear-column", lambda: codecs.linear(4, block=None, axis=0), equal_steps(4)),
    CodecRow("companded", codecs.companded, lambda share: (1 + share) ** 2 / 506),
    CodecRow("root", codecs.root, root_error, is_signed=False),
    CodecRow("log", codecs.log, log_error(127, 24)),
    CodecRow("log-unsigned", lambda: codecs.log(signed=False), log_error(255, 24), False),
    CodecRow("log-4", lambda: codecs.log(4, 14, signed=False), log_error(15, 14), False),
    CodecRow("log-4-signed", lambda: codecs.log(4, 6), log_error(7, 6)),
    CodecRow("log-16", lambda: codecs.log(16, 40), log_error(32767, 40)),
    CodecRow("dynamic", codecs.dynamic, dynamic_error(signed=True)),
    CodecRow(
        "dynamic-unsigned", lambda: codecs.dynamic(signed=False), dynamic_error(False), False
    ),
    CodecRow("fp8", codecs.fp8, float_error),
]

#: The smallest that a cast does not round further, and how many bits it has.
CASTS = {
    name: (float(jnp.finfo(name).tiny), jnp.finfo(name).nmant, float(jnp.finfo(name).max))
    for name in codecs.DTYPES
}
