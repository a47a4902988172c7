"""Exchange: the mean of replicas' gradients, sent in few bytes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.columns import Columns
from gradchain.core.lift import PerLeaf
from gradchain.core.ranges import Fraction
from gradchain.core.slots import per_replica
from gradchain.core.stage import Body, Extra, Ran, Stage
from gradchain.core.transformation import transform
from gradchain.distributed.replicas import is_along
from gradchain.distributed.wires import Wire, left, mean_of, way_of
from gradchain.numerics.reductions import axes_in_type, is_in_unchecked_map, manual_axes
from gradchain.precision.codec import Codec


@transform
def exchange(
    wire: Wire | Codec | str, axis: str = "data", *, error_feedback: Fraction | None = None
) -> Body:
    r"""Take the mean of replicas' gradients, by a wire.

    It stands first in a chain, inside ``shard_map`` over the axis, and is given gradients that each
    replica has of its own data: differentiate at ``unreduced`` parameters. What comes out is the
    same on all, bit for bit. With error feedback a replica adds to each gradient what the wire has
    lost of those before:

    .. math::
        a_i = g_i + \beta e_i, \qquad u = \frac1n \sum_i C(a_i), \qquad e_i \leftarrow a_i - C(a_i)

    Its slot ``residual`` differs between replicas: ``replica_specs`` says so to ``shard_map``, and
    ``set_replicas`` makes a state for several. Outside ``shard_map`` there is one replica, whose
    gradients go through the wire all the same.

    Args:
        wire: ``mean()``, ``sign()``, ``vote()``, ``top_k()``, ``dct()``, ``power_sgd()``; or a
            codec of ``gc.precision`` or its name, such as ``"int8"`` or ``"bfloat16"``.
        axis: the mesh axis of the replicas.
        error_feedback: the share :math:`\beta` in [0, 1] of what was lost that is kept; 1 is the
            usual. ``None``: nothing is kept, and there is no slot for it.

    Raises:
        ValueError: if there is error feedback for a wire whose result is no mean, such as a vote;
            inside ``shard_map``, if it is not over the axis, or, naming the path, if a gradient is
            the same on all replicas already.

    Source: Karimireddy, Rebjock, Stich & Jaggi, "Error Feedback Fixes SignSGD and other Gradient
    Compression Schemes", 2019, https://arxiv.org/abs/1901.09847

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> wire = gc.distributed.top_k(one_in=2)
        >>> tx = gc.distributed.exchange(wire, error_feedback=1.0)
        >>> updates, state = tx.update(jnp.array([1.0, 0.75]), tx.init(jnp.zeros(2)))
        >>> print(updates, state["exchange"]["residual"])
        [1. 0.] [[0.   0.75]]
    """
    way = way_of(wire)
    feeds_back = error_feedback is not None
    if feeds_back and not way.is_linear:
        raise ValueError(
            f"exchange: error_feedback={error_feedback!r} needs a wire whose result is the mean of"
            f" what was sent, and {wire!r} is none: what a replica would keep grows without"
            " bound. Leave it out, or take sign()."
        )

    def rule(g, s):
        along = axis if is_along(axis, "exchange") else None
        if not g.size:
            return mean_of(g, along), s
        own = {k: s[k] for k in way.slots if k in s}
        asked = g + error_feedback * s["residual"][0] if feeds_back else g
        agreed, said, own = way.send(asked, own, along)
        kept = {"residual": left(asked, said, s["residual"][0])[None]} if feeds_back else {}
        return agreed, own | kept

    slots = dict(way.slots)
    slots |= {"residual": per_replica} if feeds_back else {}
    body = Exchange(
        "leaf",
        rule,
        None,
        slots,
    )
    body.meets_along = frozenset({axis})
    return body


def _check_replicas(name: str, state: Any, replicas: int) -> None:
    """Refuse residuals of another number of replicas."""
    residuals = state.get("residual") if isinstance(state, dict) else None
    for own in {jnp.shape(x)[:1] for x in jax.tree.leaves(residuals)} - {(1,), ()}:
        raise ValueError(
            f"{name}: the slot 'residual' is of {replicas * own[0]} replicas, but there are"
            f" {replicas} here. Call state = gc.distributed.set_replicas(tx, state, {replicas})"
            " first."
        )


class Exchange(PerLeaf):
    """A rule on arrays that differ between replicas."""

    reduces_shards = True  # what comes in may differ between replicas, what comes out does not

    @classmethod
    def run(cls, stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        for stage, state in zip(stages, states, strict=True):
            axis = stage.call.arguments["axis"]
            is_one = not is_along(axis, stage.name)
            _check_replicas(stage.name, state, 1 if is_one else lax.axis_size(axis))
            if not is_one:
                _check_own(stage.name, axis, columns)
        return super().run(stages, columns, states, extra)


def _check_own(name: str, axis: str, columns: Columns) -> None:
    """Refuse gradients that are the same on all replicas."""
    if axis not in manual_axes() or is_in_unchecked_map():
        return  # there are no such types in vmap and in shard_map(check_vma=False)
    for i, g in enumerate(columns.g):
        if g is not None and axis not in axes_in_type(g):
            raise ValueError(
                f"{name}: the gradient at {columns.path(i)!r} is the same on all replicas along"
                f" {axis!r}: there is nothing to exchange. Differentiate at"
                f" gc.distributed.unreduced(params, {axis!r}); else JAX has added up the gradients"
                " itself."
            )
