"""Every member of a transformation, however deep, beside its part of a state."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core import GradientTransformation
from gradchain.stages import Stage


@dataclasses.dataclass(frozen=True)
class Part:
    """A member of a chain, or of a wrapper or group in it.

    Attributes:
        path: the names under which its state stands: ``("accumulate", "inner", "scale_by_adam")``.
        stage: the member at work: ``stage.call`` the transformation, ``stage.numbers`` its arguments at this step,
            ``stage.body`` what its factory made of them.
        entry: its part of the state.
    """

    path: tuple[str, ...]
    stage: Stage
    entry: Any

    @property
    def name(self) -> str:
        """Its path as one string: ``accumulate/inner/scale_by_adam``."""
        return "/".join(self.path)


def walk(tx: GradientTransformation, state: Any = None) -> Iterator[Part]:
    """Each member of ``tx`` in order, a wrapper before what it holds.

    Args:
        tx: the transformation.
        state: its state, or the shapes of one; without one, entries are empty. Of neither a step is known: members are
            at their first.

    Example:
        >>> import gradchain as gc
        >>> [part.name for part in walk(gc.lookahead(gc.sgd(0.1)))]
        ['lookahead', 'lookahead/inner/scale_by_learning_rate']
    """
    yield from _walk(tx, state or {}, ())


def _walk(tx: GradientTransformation, state: Any, above: tuple[str, ...]) -> Iterator[Part]:
    for name, call in tx.stages.items():
        entry = state.get(name, {}) if isinstance(state, dict) else {}
        count = entry.get("count") if isinstance(entry, dict) else None
        at_start = count is None or isinstance(count, jax.ShapeDtypeStruct)
        part = Part((*above, name), Stage(name, call, jnp.zeros((), jnp.int32) if at_start else count), entry)
        yield part
        for inner, member, own in part.stage.body.parts(entry if isinstance(entry, dict) else {}):
            yield from _walk(member, own, part.path + ((inner,) if inner else ()))
