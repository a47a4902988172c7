"""Reading metrics from a state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.hyperparams import Hyperparams

_COUNTERS = ("skipped", "dropped")


def metrics(state: Any) -> Hyperparams:
    """What ``watch`` measured, and what was skipped, by name: a flat dict of numbers.

    It works inside ``jit`` and ``scan``, where it can be returned step by step, and outside; on the state of any chain
    in which a ``watch`` stands somewhere, with all that is in it; also as ``nnx.Optimizer`` and ``TrainState`` hold
    it. Counters of skipped steps, slots called ``skipped`` or ``dropped``, are found without a ``watch`` too and are
    always those of this state: ``accumulate/dropped``.

    Args:
        state: what ``init`` or ``update`` returned.

    Returns:
        The metrics by name; the end of a name will do where only one ends so: ``metrics(state)["learning_rate"]``.
        Those of a ``watch`` inside a wrapper have its path in front: ``accumulate/inner/gradient_norm``.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.accumulate(gc.sgd(0.1), every=2)
        >>> print(metrics(tx.init(jnp.zeros(1))))
        {'accumulate/dropped': Array(0, dtype=int32)}
    """
    found: dict[str, Any] = {}
    _search(state, (), found)
    return Hyperparams(found)


def _search(node: Any, above: tuple[str, ...], found: dict[str, Any]) -> None:
    for name, below in _entries(node).items():
        if _is_watch(below):
            above_watch = above if name == "watch" else (*above, name)
            entry = _entries(below)
            found |= {"/".join((*above_watch, k)): _value(x) for k, x in _entries(entry["metrics"]).items()}
            _search(entry.get("inner", {}), above_watch, found)
        elif name in _COUNTERS and _is_counter(_value(below)):
            found["/".join((*above, name))] = _value(below)
        else:
            _search(below, (*above, name), found)


def _is_watch(node: Any) -> bool:
    entry = _entries(node)
    return entry.keys() - {"inner"} == {"count", "metrics"} and "gradient_norm" in _entries(entry["metrics"])


def _entries(node: Any) -> dict[str, Any]:
    """What a part of a state holds, by name: a dict, or a tuple of a foreign wrapper; nothing of a leaf."""
    if isinstance(node, Mapping):
        return dict(node)
    if not isinstance(node, tuple | list):
        return {}
    names = getattr(node, "_fields", map(str, range(len(node))))
    return dict(zip(names, node, strict=True))


def _value(x: Any) -> Any:
    """The array in a box around one, such as Flax's ``Variable``."""
    leaves = jax.tree.leaves(x)
    return leaves[0] if len(leaves) == 1 else x


def _is_counter(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.integer)


def unhealthy_layers(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The layers whose gradient vanishes or explodes, by name: ``"vanishing"`` or ``"exploding"``.

    Args:
        metrics: the numbers of one step, outside ``jit``, from a ``watch`` with ``by=``.

    Raises:
        ValueError: if there are no metrics of single layers among them.

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.watch(gc.sgd(0.1), by="path"), {"a": jnp.ones(2), "b": jnp.ones(2), "c": jnp.ones(2)}
        >>> grads = {"a": jnp.ones(2), "b": jnp.full(2, 1e-9), "c": jnp.ones(2)}
        >>> unhealthy_layers(gc.metrics(tx.update(grads, tx.init(params), params)[1]))
        {'b': 'vanishing'}
    """
    health = {k.partition("health/")[2]: float(v) for k, v in metrics.items() if "health/" in k}
    if not health:
        raise ValueError("unhealthy_layers: no metrics of single layers; say watch(..., by='path').")
    return {layer: "vanishing" if x < 0 else "exploding" for layer, x in health.items() if x != 0}
