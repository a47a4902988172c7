r"""Codecs of one to sixteen bits, and casts.

Those with blocks part an array along one dimension, divide each block by its largest magnitude, and
keep what lies in [-1, 1] as a small integer, its code. The scales of blocks stand beside the codes.
Zero stays zero, no sign turns, and the order in a block is kept. A NaN or an infinity makes its
whole block NaN, so that it is seen.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import StaticInt, StaticPositiveInt
from gradchain.precision.blocks import blockwise
from gradchain.precision.casts import DTYPES, cast
from gradchain.precision.codec import Codec, codec

FP8_MAX = 448.0  # of float8_e4m3fn, which has no infinity


def _integer(bits: int, is_signed: bool = True) -> jnp.dtype:
    """The dtype of codes; those of four bits are packed."""
    width = 16 if bits > 8 else 8
    return jnp.dtype(f"int{width}" if is_signed else f"uint{width}")


@codec(blocks=True, drops_small=True)
def linear(
    bits: StaticPositiveInt = 8,
    block: StaticPositiveInt | None = 256,
    axis: StaticInt | None = None,
):
    r"""Keep each element as a whole number of equal steps.

    .. math::
        c = \mathrm{round}\left(\frac{x}{s} (2^{b-1} - 1)\right), \quad s = \max |x|

    The error is at most :math:`s / (2^b - 2)`, in 8 bits :math:`s/254`. Second moments want
    relative errors; take ``log`` or ``root`` for them.

    Args:
        bits: 4, 8 or 16.
        block: how many elements share a scale; ``None``: all along the dimension.
        axis: the dimension of blocks. By default the last, or the longest if the last has fewer
            than 64 elements.

    Raises:
        ValueError: for other ``bits``.

    Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2021,
    https://arxiv.org/abs/2110.02861

    Example:
        >>> kept = linear().encode(jnp.array([1.0, -0.5, 0.0]))
        >>> print(kept["codes"], kept["scales"])
        [127 -64   0] [1.]
    """
    _check_bits("linear", bits)
    top, dtype = 2 ** (bits - 1) - 1, _integer(bits)
    from_code = lambda code: _real(code) / top
    return blockwise(
        block,
        axis,
        lambda share: share * top,
        from_code,
        dtype,
        bits,
    )


@codec(blocks=True, drops_small=True)
def companded(block: StaticPositiveInt | None = 256, axis: StaticInt | None = None):
    r"""Keep first moments in 8 bits, small ones finer.

    .. math::
        c = \mathrm{round}\left(127 \frac{2 y}{1 + |y|}\right), \quad y = \frac{x}{\max |x|}

    The error of a share :math:`y` is at most :math:`(1 + |y|)^2 / 506`.

    Args:
        block: see ``linear``.
        axis: see ``linear``.

    Source: "FlashOptim: Optimizers for Memory Efficient Training", 2026,
    https://arxiv.org/abs/2602.23349

    Example:
        >>> print(companded().encode(jnp.array([1.0, -0.5, 0.1]))["codes"])
        [127 -85  23]
    """

    def to_code(share):
        return 127 * 2 * share / (1 + jnp.abs(share))

    def from_code(code):
        y = _real(code) / 127
        return y / (2 - jnp.abs(y))

    return blockwise(block, axis, to_code, from_code, jnp.int8)


@codec(blocks=True)
def root(block: StaticPositiveInt | None = 256, axis: StaticInt | None = None):
    r"""Keep second moments in 8 bits by their square roots.

    .. math::
        c = \mathrm{round}\left(255 \sqrt{y}\right), \quad y = \frac{x}{\max x}

    What is above zero has a code above zero, so that nothing is divided by a zero that was none.
    What is below zero becomes zero. The error of :math:`\sqrt y` is at most 1/510, or 1/255 for the
    smallest, which also by chance are never zero.

    Args:
        block: see ``linear``.
        axis: see ``linear``.

    Source: see ``companded``.

    Example:
        >>> print(root().encode(jnp.array([1.0, 0.25, 1e-9, 0.0]))["codes"])
        [255 128   1   0]
    """
    to_code = lambda share: 255 * jnp.sqrt(jnp.maximum(share, 0))
    from_code = lambda code: jnp.square(_real(code) / 255)
    return blockwise(
        block,
        axis,
        to_code,
        from_code,
        jnp.uint8,
        keeps_least=True,
    )


@codec(blocks=True)
def log(
    bits: StaticPositiveInt = 8,
    octaves: StaticPositiveInt = 24,
    signed: bool = True,
    block: StaticPositiveInt | None = 256,
    axis: StaticInt | None = None,
):
    r"""Keep the logarithm of each element, for equal relative errors.

    Codes count steps of :math:`d` octaves down from the largest of the block.

    .. math::
        |c| = C - \mathrm{round}\left(\frac{1}{d} \log_2 \frac{\max |x|}{|x|}\right), \quad d =
        \frac{\mathrm{octaves}}{C - 1}

    where :math:`C` is the largest code. The relative error is at most :math:`2^{d/2} - 1`: 6.8% in
    8 bits and 24 octaves, 3.3% without a sign. What is more than ``octaves`` below the largest, and
    not zero, is kept as that much below it.

    Args:
        bits: 4, 8 or 16.
        octaves: how many powers of two there are between the largest and the smallest.
        signed: whether elements have signs. If not, what is below zero becomes zero.
        block: see ``linear``.
        axis: see ``linear``.

    Raises:
        ValueError: for other ``bits``.

    Example:
        >>> x = jnp.array([1.0, -1e-3, 0.0])
        >>> kept = log().encode(x)
        >>> print(kept["codes"], log().decode(kept, jax.typeof(x)))
        [127 -75   0] [ 1.        -0.0010432  0.       ]
    """
    _check_bits("log", bits)
    top, dtype = 2 ** (bits - signed) - 1, _integer(bits, signed or bits == 4)
    step = octaves / (top - 1)

    def to_code(share):
        size = jnp.abs(share) if signed else jnp.maximum(share, 0)
        below = -jnp.log2(jnp.where(size > 0, size, 1)) / step
        code = jnp.where(
            size > 0,
            top - jnp.clip(below, 0, top - 1),
            0,
        )
        return code * jnp.sign(share) if signed else code

    def from_code(code):
        is_packed = bits == 4 and not signed and jnp.issubdtype(code.dtype, jnp.integer)
        code = _real(code & 15 if is_packed else code)
        size = jnp.exp2((jnp.abs(code) - top) * step)
        return jnp.where(
            code == 0,
            0.0,
            jnp.sign(code) * size,
        )

    return blockwise(block, axis, to_code, from_code, dtype, bits)


@codec(blocks=True)
def dynamic(
    signed: bool = True, block: StaticPositiveInt | None = 256, axis: StaticInt | None = None
):
    r"""Keep elements in 8 bits by a tree of decades.

    A code has a decade, 1 down to :math:`10^{-6}`, and equal steps in it, twice as many in each
    larger one. So shares near 1 have errors below 1/90, and those of :math:`10^{-6}` are not zero.

    Args:
        signed: whether elements have signs. If not, what is below zero becomes zero, and steps are
            half as wide.
        block: see ``linear``.
        axis: see ``linear``.

    Source: see ``linear``.

    Example:
        >>> x = jnp.array([1.0, -0.5, 1e-5])
        >>> kept = dynamic().encode(x)
        >>> print(dynamic().decode(kept, jax.typeof(x)))
        [ 1.0000000e+00 -5.0078124e-01  7.7499999e-06]
    """
    values = dynamic_values(signed)
    zero = int(np.flatnonzero(values == 0)[0])
    sizes = values[zero:]
    # Steps are equal between few corners: straight lines need no search.
    turns = 1 + np.flatnonzero(np.abs(np.diff(np.log(np.diff(sizes)))) > 1e-6)
    corners = [0, *turns.tolist(), len(sizes) - 1]

    def to_code(share):
        size = jnp.abs(share)
        code = lines(
            size,
            sizes[corners].tolist(),
            corners,
        )
        if not signed:
            return jnp.where(share > 0, code, 0)
        # Below zero the last code but one is not there.
        end, last = zero - 1, float(sizes[zero - 1])
        below = jnp.where(
            code > end,
            end + (size - last) / (1 - last),
            code,
        )
        return zero + jnp.where(
            share < 0,
            -below,
            code,
        )

    from_code = lambda code: jnp.asarray(values, jnp.float32)[code.astype(jnp.int32)]
    return blockwise(
        block,
        axis,
        to_code,
        from_code,
        jnp.uint8,
        keeps_least=not signed,
    )


def lines(x: jax.Array, xs: list[float], ys: list[int]) -> jax.Array:
    """Straight lines between the points ``(xs, ys)``, from zero on."""
    made = jnp.zeros_like(x)
    for x0, x1, y0, y1 in zip(
        xs,
        xs[1:],
        ys,
        ys[1:],
        strict=False,
    ):
        made += jnp.clip(
            (x - x0) / (x1 - x0),
            0,
            1,
        ) * (y1 - y0)
    return made


def dynamic_values(signed: bool) -> np.ndarray:
    """The shares that codes of ``dynamic`` mean, in order."""
    found = [0.0, 1.0]
    for decade in range(7):
        steps = 2 ** (decade + (0 if signed else 1))
        edges = np.linspace(0.1, 1.0, steps + 1)
        middles = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (decade - 6)
        found += [*middles, *(-middles if signed else ())]
    values = np.sort(np.array(found))
    if signed:  # the least stands for the largest of a block as exactly as the greatest
        values[0] = -1.0
    return values


@codec(blocks=True)
def fp8(block: StaticPositiveInt | None = 256, axis: StaticInt | None = None):
    """Keep elements as floats of 8 bits beside a scale.

    The floats are ``float8_e4m3fn``, so that the relative error is at most 1/16 down to 1/28,672 of
    the block's largest.

    Args:
        block: see ``linear``.
        axis: see ``linear``.

    Example:
        >>> print(fp8().encode(jnp.array([2.0, -1.0]))["codes"])
        [448 -224]
    """
    dtype = jnp.dtype("float8_e4m3fn")
    to_code, from_code = lambda share: share * FP8_MAX, lambda code: _real(code) / FP8_MAX
    return blockwise(block, axis, to_code, from_code, dtype)


def _real(code: jax.Array) -> jax.Array:
    return code.astype(jnp.float32)


def _check_bits(name: str, bits: int) -> None:
    if bits not in (4, 8, 16):
        raise ValueError(f"{name}: bits must be 4, 8 or 16, not {bits!r}.")


def _by_name(dtype: Any) -> str:
    """The name of a dtype, as a way out."""
    try:
        name = jnp.dtype(dtype).name
    except TypeError:
        return ""
    return f": write {name!r}" if name in DTYPES else ""


#: Codecs by short names; dtypes have theirs.
CODECS: dict[str, Codec] = {
    "int16": linear(16),
    "int8": linear(),
    "int8_dynamic": dynamic(),
    "uint8_dynamic": dynamic(signed=False),
    "int8_companded": companded(),
    "uint8_root": root(),
    "int8_log": log(),
    "uint8_log": log(signed=False),
    "int4": linear(4),
    "uint4_log": log(4, 14, signed=False),
    "fp8": fp8(),
}


def codec_of(name: str | Codec) -> Codec:
    """The codec of a short name or of a dtype's.

    Raises:
        ValueError: naming the known ones, if there is no such name.
        TypeError: if it is neither a name nor a codec.
    """
    if isinstance(name, Codec):
        name.pair()  # which refuses what it cannot be made of
        return name
    if not isinstance(name, str):
        raise TypeError(
            f"storage: a codec is a name, 'bfloat16' for example, or one of gradchain.precision,"
            f" not {name!r}{_by_name(name)}."
        )
    known = CODECS | {dtype: cast(dtype) for dtype in DTYPES}
    check_one_of("storage", tuple(known), codec=name)
    return known[name]
