"""Stop a loop at NaN or infinity."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import core

from gradchain.core.types import Tree
from gradchain.tree.kinds import is_trainable
from gradchain.tree.norms import all_finite
from gradchain.tree.paths import Leaf, named_leaves

_all_finite = jax.jit(all_finite)
_SHOWN = 3


class NotFinite(NamedTuple):
    """The leaves of one step that are not finite.

    Attributes:
        step: the step.
        leaves: by path, with the name of the tree in front, how many numbers are not finite, of how
            many, and the first of them.
    """

    step: int
    leaves: dict[str, tuple[int, int, str]]

    def __str__(self) -> str:
        told = [
            f"{path} ({first})" if of == 1 else f"{path} ({n} of {of} numbers, the first {first})"
            for path, (n, of, first) in self.leaves.items()
        ]
        shown = ", ".join(told[:_SHOWN])
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        return f"step {self.step}: not finite: {shown}{more}"


class StopOnNaN:
    """Stop at NaN or infinity, and name the leaf.

    ``check`` waits for the numbers of the step, which takes the time of one sum over them. To leave
    bad steps out without a wait, see ``gc.skip_nonfinite``.

    Args:
        raises: whether ``check`` raises an error; else it returns True, and ``found`` says why.

    Example:
        >>> stop = StopOnNaN(raises=False)
        >>> params = {"layer": {"kernel": jnp.ones(3).at[1].set(jnp.nan)}}
        >>> stop.check(7, loss=0.5, params=params)
        True
        >>> print(stop.found)
        step 7: not finite: params/layer/kernel (1 of 3 numbers, the first nan)
    """

    def __init__(self, raises: bool = True):
        self.raises = raises
        self.found: NotFinite | None = None

    def check(self, step: int, **trees: Tree) -> bool:
        """Look at all numbers; return whether one is not finite.

        Args:
            step: the step, for the message.
            trees: trees by name, for example ``loss=loss, grads=grads``. A dict of metrics is one
                too: ``metrics=gc.metrics(state)``. Integers, strings and
                functions count as finite.

        Raises:
            FloatingPointError: with the step and the paths, if one is not finite.
            TypeError: if an array is traced.
        """
        named = [(path, x) for path, x in named_leaves(trees) if is_trainable(x)]
        leaves = [x for _, x in named]
        if any(isinstance(x, core.Tracer) for x in leaves):
            raise TypeError(
                "StopOnNaN.check: an array is traced, but it is looked at on the host. Call check"
                " outside jit and scan, with the arrays that the step returned."
            )
        if bool(_all_finite(leaves)):
            return False
        bad = {path: found for path, x in named if (found := _of_leaf(x))}
        self.found = NotFinite(int(step), bad)
        if self.raises:
            raise FloatingPointError(
                f"{self.found}. gc.skip_nonfinite(tx) leaves such steps out, and jax.debug_nans"
                " finds the operation."
            )
        return True


def _of_leaf(x: Leaf) -> tuple[int, int, str] | None:
    """The count of bad numbers, of all, and the first."""
    bad = ~jnp.isfinite(jnp.ravel(x))
    count = int(bad.sum())
    if not count:
        return None
    return count, bad.size, str(jnp.ravel(x)[int(bad.argmax())])
