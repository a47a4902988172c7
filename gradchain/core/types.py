"""The words of annotations: what a tree, a state or a choice of leaves is."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

Tree: TypeAlias = Any
"""A pytree of arrays: a bare array, or any containers of them; ``None`` leaves are holes."""

Params: TypeAlias = Tree
"""A tree of parameters."""

Updates: TypeAlias = Tree
"""A tree like the parameters: gradients on their way in, updates on their way out."""

State: TypeAlias = dict[str, Any]
"""What a transformation remembers: a nested dict of arrays, keyed by names."""

Numeric: TypeAlias = float | int | jax.Array | np.ndarray | np.number
"""A number: a Python one, or an array of shape ``()``."""

Dtype: TypeAlias = Any
"""What ``jnp.dtype`` takes: ``jnp.float32``, ``"bfloat16"``."""

Axes: TypeAlias = int | Sequence[int] | None
"""Dimensions of an array; ``None`` for all."""

Where: TypeAlias = str | Callable[[str, Any], bool] | Tree
"""Which leaves: a glob on paths, ``f(path, leaf) -> bool``, or a tree of bools; see
``gradchain.select``.
"""
