"""Codecs: pure pairs that keep an array in fewer bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import jax

from gradchain.core.call import Call
from gradchain.core.factory import decorator

#: The role of codecs that share a scale among many elements.
_BLOCKS = "blocks"
#: That of codecs that keep complex numbers.
_COMPLEX = "complex"
#: That of codecs that make what is small beside the largest zero.
_DROPS_SMALL = "drops small"


class Codec(Call):
    """A pair, ``encode`` and ``decode``, that remembers its making."""

    tag = "@codec"
    __slots__ = ()

    def encode(self, x: jax.Array, key: jax.Array | None = None) -> Any:
        """The arrays that are kept of ``x``.

        With a ``key`` it is rounded up or down by chance, so that it is right on average, but for
        what is less than the smallest that the codec has.
        """
        return self.pair()[0](x, key)

    def decode(self, parts: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
        """The array, shaped like ``like``, that is kept in ``parts``."""
        return self.pair()[1](parts, like).astype(like.dtype)

    def pair(self) -> tuple[Callable[..., Any], Callable[..., jax.Array]]:
        """The functions that encode and decode."""
        if "pair" not in self._cache:
            made = self.factory.call(self.arguments)
            if not (isinstance(made, tuple) and len(made) == 2 and all(map(callable, made))):
                raise TypeError(
                    f"{self.factory.name}: a codec is a pair of functions, (encode, decode), not"
                    f" {made!r}."
                )
            self._cache["pair"] = made
        return self._cache["pair"]

    @property
    def has_blocks(self) -> bool:
        """Whether it shares scales, and leaves small arrays alone."""
        return _BLOCKS in self.factory.roles

    @property
    def drops_small(self) -> bool:
        """Whether what is small in a block becomes zero."""
        return _DROPS_SMALL in self.factory.roles

    @property
    def takes_complex(self) -> bool:
        """Whether it keeps complex numbers."""
        return _COMPLEX in self.factory.roles


@overload
def codec(function: Callable[..., tuple]) -> Callable[..., Codec]: ...


@overload
def codec(
    *, blocks: bool = False, takes_complex: bool = False, drops_small: bool = False
) -> Callable[[Callable[..., tuple]], Callable[..., Codec]]: ...


def codec(
    function: Callable[..., tuple] | None = None,
    *,
    blocks: bool = False,
    takes_complex: bool = False,
    drops_small: bool = False,
) -> Any:
    """Make a factory of codecs from a function.

    The function returns a pair: ``encode(x, key)``, which gives one array or a dict of several, and
    ``decode(parts, like)``, which makes of them an array of the shape ``like.shape``.

    Args:
        function: the function; without it, ``codec(blocks=True)`` is the decorator.
        blocks: whether many elements share a scale. Then slots of few elements are left alone.
        takes_complex: whether it keeps complex numbers. If not, complex slots are refused.
        drops_small: whether what is small beside the largest of a block becomes zero. ``check``
            warns of it for what is divided by.

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> @gc.precision.codec
        ... def thousandths():
        ...     encode = lambda x, key: jnp.round(x * 1000).astype(jnp.int32)
        ...     return encode, lambda parts, like: parts / 1000
        >>> tx = gc.storage(gc.add_momentum(0.9), momentum=thousandths())
        >>> print(tx.init(jnp.ones(2))["storage"]["inner"]["add_momentum"]["momentum"].dtype)
        int32
    """
    roles = {_BLOCKS: blocks, _COMPLEX: takes_complex, _DROPS_SMALL: drops_small}
    make = decorator(Codec, roles=frozenset(role for role, has in roles.items() if has))
    return make if function is None else make(function)
