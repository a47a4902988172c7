"""The fifth lift: from a rule around other transformations to a transformation.

A wrapper looks at whole trees, like ``treewise``, and is given in addition the transformations that
it holds. Each is called like a function, ``update, new = inner(g, s["inner"], p)``, and its state
is a part of the wrapper's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from gradchain.core import errors
from gradchain.core.columns import Columns
from gradchain.core.lift import PerTree
from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Stage, run_inside, widest
from gradchain.core.transformation import GradientTransformation
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import in_containers_of


def around(
    rule: Callable,
    locality: str = "tree",
    inner: GradientTransformation | None = None,
    **parts: Any,
) -> Body:
    """Lift a rule on whole trees that calls other transformations.

    The rule names what it wants, as for ``treewise``, and the transformations by the names that
    they are given here: ``rule(g, s, p, inner)`` calls ``u, new = inner(g, s["inner"], p)``. Extra
    arguments of ``update`` reach them by themselves, and can be replaced: ``inner(g, state, p,
    value=...)``. It returns ``(update, new_slots)``; each transformation's new state stands among
    the new slots.

    Args:
        rule: see above.
        locality: how far the rule itself looks; that of the whole is the widest.
        inner: the transformation around which it is.
        parts: its slots, and further transformations.

    Example:
        >>> import gradchain as gc
        >>> @gc.transform
        ... def twice(inner: gc.GradientTransformation):
        ...     def rule(g, s, p, inner):
        ...         u, new = inner(g, s["inner"], p)
        ...         return gc.tree.map_leaves(lambda x: 2 * x, u), {"inner": new}
        ...
        ...     return around(rule, inner=inner)
        >>> tx = twice(gc.scale(3.0))
        >>> print(tx.update(jnp.ones(1), tx.init(jnp.ones(1)), jnp.ones(1))[0])
        [6.]
    """
    members = {} if inner is None else {"inner": inner}
    members |= {k: v for k, v in parts.items() if not isinstance(v, Slot)}
    return Around(rule, locality, members, {k: v for k, v in parts.items() if isinstance(v, Slot)})


class Around(PerTree):
    """A rule on whole trees around other transformations."""

    def __init__(
        self, rule: Callable, locality: str, members: dict[str, GradientTransformation], slots: dict
    ):
        super().__init__(
            widest([locality, *(m.locality for m in members.values())]), rule, None, slots
        )
        self.members = members
        self.freezes = all(m.freezes for m in members.values())
        self.required -= members.keys()
        self.extras = (self.extras - members.keys()).union(*(m.extras for m in members.values()))
        self.slot_names = None  # the states of its members stand beside its slots

    def init(self, params: Any) -> dict:
        """See ``Body``."""
        inner = {name: m.init(params) for name, m in self.members.items()}
        return super().init(params) | {name: state for name, state in inner.items() if state}

    @classmethod
    def run(
        cls, stages: list[Stage], columns: Columns, states: list[Any], extra: dict[str, Any]
    ) -> tuple[Columns, list[Any]]:
        """See ``Body``."""
        own = {k: v for k, v in states[0].items() if k not in stages[0].body.members}
        errors.check_slots(stages[0].name, set(stages[0].body.slots), own)
        return super().run(stages, columns, states, extra)

    def call(self, stage: Stage, dtype: jnp.dtype, extra: dict, **given: Any) -> tuple[Any, dict]:
        """See ``Lift``."""

        def runner(tx: GradientTransformation) -> Callable:
            def update(g: Any, state: Any, p: Any = None, **changes: Any) -> tuple[Any, Any]:
                own = (
                    {"grad": g} if "grad" in tx.extras else {}
                )  # to what it holds, its gradient is what it is given
                u, new = run_inside(tx, g, state, p, extra | own | changes)
                return u, in_containers_of(
                    state, new
                )  # a rule may have to choose between the old one and the new

            return update

        return super().call(
            stage, dtype, extra, **given, **{name: runner(tx) for name, tx in self.members.items()}
        )


def run_if(
    condition: Any, run: Callable[[], tuple[Any, Any]], g: Any, state: Any
) -> tuple[Any, Any]:
    """What ``run()`` returns, updates and a state, if a traced condition holds; else zeros, and
    ``state`` as it was.

    Only the branch that is taken is computed, but under ``vmap``, where both are.

    Args:
        condition: a traced bool.
        run: a function that calls a transformation.
        g: updates of the types that ``run`` returns.
        state: the state before.
    """
    return lax.cond(condition, run, lambda: (map_leaves(jnp.zeros_like, g), state))
