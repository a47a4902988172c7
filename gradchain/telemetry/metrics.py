"""Reading metrics from a state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.advice import meant, nearest_names
from gradchain.core.call import is_call
from gradchain.core.entries import entries, held_by, unboxed
from gradchain.core.right_calls import called_as
from gradchain.core.types import State, Tree
from gradchain.inspection.hyperparams import Hyperparams
from gradchain.telemetry.layers import TOTALS
from gradchain.tree.paths import Leaf

COUNTERS = ("skipped", "skipped_in_a_row", "dropped", "dropped_in_a_row")


class Metrics(Hyperparams):
    """The dict that ``metrics`` returns; names may be shortened."""

    def __missing__(self, name: str) -> float | jax.Array:
        if any(full.endswith(f"/{name}") for full in self):
            return super().__missing__(name)
        found = f"there are {nearest_names(name, self)}" if self else "there are none"
        hint = "" if _has_measured(self) else " To measure put a watch around: tx = gc.watch(tx)."
        near = meant(name, {full.rpartition("/")[2] for full in self})
        raise KeyError(f"no metric is called {name!r}; {found}.{near}{hint}")


def _has_measured(names: Iterable[str]) -> bool:
    return any(name.rpartition("/")[2] not in COUNTERS for name in names)


jax.tree_util.register_pytree_with_keys(
    Metrics,
    lambda m: ([(jax.tree_util.DictKey(k), v) for k, v in m.items()], tuple(m)),
    lambda names, values: Metrics(zip(names, values, strict=True)),
)


@called_as("Call gc.metrics(state), with the state alone.")
def metrics(state: State) -> Metrics:
    """The numbers that ``watch`` measured, and counts of skipped steps.

    They come as a flat dict by name. It works inside ``jit`` and ``scan``, where it can be returned
    step by step, and outside; on the state of any chain in which a ``watch`` stands somewhere, with
    all that is in it; also as ``nnx.Optimizer`` and ``TrainState`` hold it. Counters of skipped
    steps, slots called ``skipped`` or ``dropped``, and the same with ``_in_a_row``, are found
    without a ``watch`` too and are always those of this state: ``accumulate/dropped``.

    Args:
        state: the state that ``init`` or ``update`` returned.

    Returns:
        The metrics by name; the end of a name is enough where only one ends so:
        ``metrics(state)["learning_rate"]``. Those of a ``watch`` inside a wrapper have its path in
        front, ``accumulate/inner/gradient_norm``, in which ``watch`` itself is left out as
        ``hyperparams`` leaves it out.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.accumulate(gc.sgd(0.1), every=2)
        >>> for name, count in metrics(tx.init(jnp.zeros(1))).items():
        ...     print(name, count)
        accumulate/dropped 0
        accumulate/dropped_in_a_row 0
    """
    if is_call(state):
        raise TypeError(
            f"metrics: give the state, which init and update return, not {state!r}: metrics(state)."
        )
    found: dict[str, Any] = {}
    _search(held_by(state), (), found)
    return Metrics(found)


def _search(node: Tree, above: tuple[str, ...], found: dict[str, Any]) -> None:
    for name, below in entries(node).items():
        if _shows_metrics(below):
            above_watch = above if name == "watch" else (*above, name)
            entry = entries(below)
            for k, x in entries(entry["metrics"]).items():
                found["/".join((*above_watch, k))] = unboxed(x)
            _search(entry.get("inner", {}), above_watch, found)
        elif name in COUNTERS and _is_counter(unboxed(below)):
            found["/".join((*above, name))] = unboxed(below)
        else:
            _search(below, (*above, name), found)


def _shows_metrics(node: Tree) -> bool:
    """Whether it is the entry of an observer.

    That has a slot ``metrics`` beside its clock. No tree of parameters looks like that, since these
    hold no integers.
    """
    entry = entries(node)
    return "metrics" in entry and _is_counter(unboxed(entry.get("count")))


def _is_counter(x: Leaf) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.integer)


def unhealthy_layers(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The layers whose gradient vanishes or explodes, by name.

    A value is ``"vanishing"`` or ``"exploding"``.

    Args:
        metrics: the numbers of one step, outside ``jit``, from a ``watch`` with ``by=``.

    Raises:
        ValueError: if there are no metrics of single layers among them.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.watch(gc.sgd(0.1), by="path")
        >>> params = {"a": jnp.ones(2), "b": jnp.ones(2), "c": jnp.ones(2)}
        >>> grads = {"a": jnp.ones(2), "b": jnp.full(2, 1e-9), "c": jnp.ones(2)}
        >>> unhealthy_layers(gc.metrics(tx.update(grads, tx.init(params), params)[1]))
        {'b': 'vanishing'}
    """
    health = {}
    for name, x in metrics.items():
        above, is_health, layer = f"/{name}".partition("/health/")
        # A layer may be called health too.
        if is_health and set(TOTALS).isdisjoint(above.split("/")):
            health[layer] = float(x)
    if not health:
        raise ValueError(
            "unhealthy_layers: no metrics of single layers; say watch(..., by='path')."
        )
    unhealthy = {layer: x for layer, x in health.items() if x != 0}
    return {layer: "vanishing" if x < 0 else "exploding" for layer, x in unhealthy.items()}
