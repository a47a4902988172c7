"""One function over many leaves: traced once per type, its scalar part evaluated once, written out in blocks.

Tracing dominates the cost of an optimizer on a tree of thousands of leaves. Here a function runs in Python
once for each distinct type of leaf; what it computes from scalars alone (a learning rate, a bias correction)
is evaluated once for all leaves; the rest is inlined block by block, so that the compiler sees flat arithmetic
and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
from jax import core
from jax.extend.core import Literal

BLOCK = 32  # leaves that one inlined call writes out


def is_traced(leaves: Sequence[Any]) -> bool:
    """Whether any of ``leaves`` is a tracer."""
    return any(issubclass(kind, core.Tracer) for kind in set(map(type, leaves)))


def map_rows(fun: Callable, kinds: Sequence[Hashable], rows: Sequence[tuple]) -> list:
    """``[fun(kind, *row) for kind, row in zip(kinds, rows)]`` for rows of arrays, with one trace per type.

    ``fun`` returns a list of arrays. It may close over scalars, traced or not.
    """
    if not any(map(is_traced, rows)):
        return [fun(kind, *row) for kind, row in zip(kinds, rows, strict=True)]
    groups: dict[Hashable, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault((kinds[i], *map(jax.typeof, row)), []).append(i)
    out: list[Any] = [None] * len(rows)
    for indices in groups.values():
        kind, row = kinds[indices[0]], rows[indices[0]]
        if len(indices) == 1:
            out[indices[0]] = fun(kind, *row)
            continue
        one = _hoist_scalars(lambda *leaf, kind=kind: fun(kind, *leaf), row)
        many = jax.jit(lambda block, one=one: [one(*row) for row in block], inline=True)
        for start in range(0, len(indices), BLOCK):
            chunk = indices[start : start + BLOCK]
            block = [rows[i] for i in chunk]
            results = many(block) if len(chunk) == BLOCK else [one(*row) for row in block]
            for i, result in zip(chunk, results, strict=True):
                out[i] = result
    return out


def _hoist_scalars(fun: Callable, row: tuple) -> Callable:
    """Trace ``fun`` on the types of ``row``, evaluate now what needs scalars alone, return the rest."""
    closed = jax.make_jaxpr(fun)(*row)
    jaxpr, known = closed.jaxpr, dict.fromkeys(closed.jaxpr.constvars)  # a dict keeps the order
    scalar, rest = [], []
    for eqn in jaxpr.eqns:
        inputs_known = all(isinstance(v, Literal) or v in known for v in eqn.invars)
        is_scalar = all(getattr(v.aval, "shape", None) == () for v in eqn.outvars)
        if inputs_known and is_scalar and not eqn.effects:
            scalar.append(eqn)
            known.update(dict.fromkeys(eqn.outvars))
        else:
            rest.append(eqn)
    used = {v for eqn in rest for v in eqn.invars if not isinstance(v, Literal)}
    needed = [v for v in known if v in used or v in jaxpr.outvars]
    info = jaxpr.debug_info._replace(arg_names=None, result_paths=None)  # the names of other arguments
    first = jaxpr.replace(invars=[], outvars=needed, eqns=scalar, debug_info=info)
    second = jaxpr.replace(constvars=needed, eqns=rest)
    values = core.eval_jaxpr(first, closed.consts)
    return lambda *leaf: core.eval_jaxpr(second, values, *leaf)
