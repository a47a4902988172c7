"""Mistakes in arguments and in the choice of leaves."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.by_label import ByLabel
from gradchain.core.errors import VOCABULARY, quote
from gradchain.core.idle import fits_no_path, globs, paths_of
from gradchain.core.lift import Lift, PerLeaf
from gradchain.core.selection import is_pattern, weight_matrices
from gradchain.core.types import Tree
from gradchain.inspection.mistakes.case import Case, Found, argument, is_adaptive
from gradchain.tree.paths import named_leaves
from gradchain.tree.selecting import keep_leaves, select


def missing_arguments(case: Case) -> Found:
    """A member needs an argument that ``update`` is not given."""
    for part in case.parts:
        missing = sorted(part.needs - set(case.passes))
        if missing:
            extra = "".join(f", {name}=..." for name in missing if name != "params")
            text = (
                f"it needs {quote(missing)}: call update(grads, state, params{extra}), and check"
                f" with passes={(*case.passes, *missing)!r}."
            )
            yield "mistake", part.name, text


def unknown_arguments(case: Case) -> Found:
    """``update`` is given an argument that no member takes."""
    strange = sorted(set(case.passes) - {"params"} - VOCABULARY - case.tx.extras)
    if strange and "*" not in case.tx.extras:
        known = quote(sorted(VOCABULARY | case.tx.extras))
        text = f"no member takes {quote(strange)}, and update refuses it; known are {known}."
        yield "mistake", "", text


def float16_without_loss_scale(case: Case) -> Found:
    """Gradients of float16 parameters underflow."""
    is_half = any(jnp.result_type(x) == jnp.float16 for x in jax.tree.leaves(case.params))
    is_scaled = any(
        isinstance(part.body, Lift) and "loss_scale" in part.body.slots for part in case.parts
    )
    if is_half and not is_scaled:
        text = (
            "there are float16 parameters, whose gradients underflow below 6e-8. Scale the loss,"
            " dynamic_loss_scale(...), or use bfloat16 or float32."
        )
        yield "warning", "", text


def zero_eps(case: Case) -> Found:
    """Zero over zero, unless the rule's own ``eps`` is 0."""
    for part in filter(is_adaptive, case.parts):
        own = part.call.factory.signature.parameters.get("eps")
        is_meant = own is not None and own.default == 0
        if argument(part, "eps") == 0 and not is_meant and not argument(part, "eps_root"):
            text = (
                "eps is 0: where a gradient has always been zero, zero is divided by zero. Give a"
                " small number, such as 1e-8."
            )
            yield "warning", part.name, text


def selects_nothing(case: Case) -> Found:
    """A choice of leaves that chooses none."""
    paths = paths_of(case.params)
    for part in case.parts:
        where = part.body.where if isinstance(part.body, Lift) else None
        if not jax.tree.leaves(part.params):
            continue
        if where is not None and not _any(select(where, part.params)):
            text = f"where={where!r} chooses no leaf that reaches it, so that it does nothing."
            fault = fits_no_path(where, paths) or text
            yield "mistake" if is_pattern(where) else "warning", part.name, fault
        for glob in globs(part.call):
            if fault := fits_no_path(glob, paths):
                yield "mistake", part.name, fault


def empty_group(case: Case) -> Found:
    """A group without a leaf."""
    paths = paths_of(case.params)
    for part in case.parts if jax.tree.leaves(case.params) else ():
        if not isinstance(part.body, ByLabel):
            continue
        rules = part.body.rules
        for label, mask in part.body.masks(part.params).items():
            takes_the_rest = bool(rules) and label not in rules
            if not _any(mask) and not takes_the_rest:
                where = rules.get(label)
                fault = fits_no_path(where, paths) or "an earlier rule takes them all."
                if where is None or not is_pattern(where):
                    fault = "no path fits, or an earlier rule takes them all."
                text = f"no leaf is in group {label!r}: {fault}"
                yield "mistake" if is_pattern(where) else "warning", part.name, text


def _any(mask: Tree) -> bool:
    return any(jax.tree.leaves(mask))


def freezes_everything(case: Case) -> Found:
    """Nothing is trained."""
    is_whole = lambda body: isinstance(body, PerLeaf) and body.freezes and body.where is None
    whole = [p for p in case.parts if is_whole(p.body) and len(p.position) == 1]
    may_freeze = case.tx.freezes and case.params is not None
    leaves = jax.tree.leaves(case.tx.frozen(case.params)) if may_freeze else []
    if whole or (leaves and all(leaves)):
        text = "every parameter is frozen: nothing will be trained. Choose leaves: freeze(where)."
        yield "mistake", whole[0].name if whole else "", text


def decays_vectors(case: Case) -> Found:
    """Biases and scales decay too."""
    is_weight = weight_matrices()
    for part in case.parts:
        if part.call.factory.composite or part.body.members or not argument(part, "weight_decay"):
            continue
        where = part.call.arguments.get("where")
        decayed = keep_leaves(select(where, part.params), part.params)
        leaves = [(path, x) for path, x in named_leaves(decayed) if x is not None]
        vectors = [(path, x) for path, x in leaves if not is_weight(path, x)]
        if not 0 < len(vectors) < len(leaves):
            continue  # all of one kind: they were chosen so, or there is nothing else
        is_chosen = where is not None or bool(part.labels)
        found = ", ".join(f"{path!r} {list(jnp.shape(x))}" for path, x in vectors[:3])
        more = f" and {len(vectors) - 3} more" if len(vectors) > 3 else ""
        text = (
            f"{found}{more} decay too, biases and scales by name or shape, which is seldom wanted."
            " To decay weight matrices alone: where=weight_matrices()."
        )
        yield "warning" if is_chosen else "note", part.name, text
