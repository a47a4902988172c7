"""Absent names of the dialect, and those to use."""

from __future__ import annotations

import difflib
import functools
import importlib
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from gradchain.as_optax import (
    assignment,
    contrib,
    experimental,
    losses,
    microbatching,
    perturbations,
    projections,
    schedules,
    second_order,
    transforms,
    tree,
    tree_utils,
)

_HERE = __name__.rpartition(".")[0]
_MODULES = (
    assignment,
    contrib,
    experimental,
    losses,
    microbatching,
    perturbations,
    projections,
    schedules,
    second_order,
    transforms,
    tree,
    tree_utils,
)
#: The modules that optax has too, by name.
MODULES: dict[str, Any] = {x.__name__.rpartition(".")[2]: x for x in _MODULES}

#: Names that optax itself took away, and those that took their places.
REMOVED = {
    "additive_weight_decay": "add_decayed_weights",
    "control_delta_method": "jax.grad of a mean over samples",
    "measure_valued_jacobians": "jax.grad of a mean over samples",
    "monte_carlo": "perturbations.make_perturbed_fun, or jax.grad of a mean over samples",
    "moving_avg_baseline": "jax.grad of a mean over samples, less tree.update_moment's average",
    "pathwise_jacobians": "jax.grad of a mean over samples",
    "score_function_jacobians": "perturbations.make_perturbed_fun",
    "maybe_update": "conditionally_transform",
    "MaybeUpdateState": "ConditionallyTransformState",
    "binary_logistic_loss": "losses.sigmoid_binary_cross_entropy",
    "multiclass_logistic_loss": "losses.softmax_cross_entropy_with_integer_labels",
}

#: Names that optax gives up: those to use, and the values. They are answered, with a warning.
OLD: dict[str, dict[str, tuple[str, Any]]] = {
    "": {
        name: (f"contrib.{name}", getattr(contrib, name))
        for name in (
            "DifferentiallyPrivateAggregateState",
            "differentially_private_aggregate",
            "dpsgd",
        )
    },
    "tree_utils": {
        "tree_add_scalar_mul": ("tree_add_scale", tree_utils.tree_add_scale),
        "tree_scalar_mul": ("tree_scale", tree_utils.tree_scale),
        "tree_l1_norm": ("tree_norm", functools.partial(tree_utils.tree_norm, ord=1)),
        "tree_l2_norm": ("tree_norm", tree_utils.tree_norm),
        "tree_linf_norm": ("tree_norm", functools.partial(tree_utils.tree_norm, ord="inf")),
    },
}


def asked_of(module: str) -> Callable[[str], Any]:
    """A module's ``__getattr__``, which has no name and says why.

    Args:
        module: its name; empty for the dialect itself.
    """
    path = f"{_HERE}.{module}".rstrip(".")

    def refuse(name: str) -> Any:
        if name == "_src" and not module:
            return importlib.import_module(f"{_HERE}._src")
        if name.startswith("__"):  # asked by programs
            raise AttributeError(name)
        new, value = OLD.get(module, {}).get(name, ("", None))
        if not new:
            way_out = _way_out(name, sys.modules[path])
            raise AttributeError(f"{path} has no {name!r}{way_out}", name=name)
        text = f"{path}.{name} is an old name: use {new}."
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return value

    return refuse


def _way_out(name: str, module: ModuleType) -> str:
    """The end of the error, with the way out."""
    for other in (sys.modules[_HERE], *_MODULES):
        if name in vars(other):
            return f". It is {other.__name__}.{name}."
    if name in REMOVED:
        return f". Optax has it no longer; use {REMOVED[name]}."
    if name in dir(sys.modules["gradchain"]):
        return f", but gradchain.{name} is there, and goes into the same chains."
    by_lower = {known.lower(): known for known in vars(module) if known[0] != "_"}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    if close:
        return f". Did you mean {by_lower[close[0]]!r}?"
    return "; neither has optax 0.2.8."
