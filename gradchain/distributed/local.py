"""Local training: replicas that meet only now and then."""

from __future__ import annotations

from gradchain.core.ranges import Fraction, StaticPositiveInt
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Pair
from gradchain.distributed.meetings import Apart, Meeting
from gradchain.distributed.wires import Wire, mean, way_of
from gradchain.precision.codec import Codec


@transform(roles="final")
def diloco(
    inner: GradientTransformation | Pair,
    outer: GradientTransformation | Pair | None,
    every: StaticPositiveInt,
    axis: str = "replica",
    *,
    wire: Wire | Codec | str | None = None,
    error_feedback: Fraction | None = None,
    fragments: StaticPositiveInt = 1,
) -> Body:
    r"""Train replicas apart, and let an outer optimizer join them.

    Each replica has parameters :math:`\theta_i` of its own. Every :math:`k` steps the mean way that
    they went from their last meeting :math:`\phi` is a gradient for the outer optimizer, and all go
    on from where it leads:

    .. math::
        \theta_i \leftarrow \theta_i + \mathrm{inner}(g_i), \qquad \text{every } k \text{ steps}
        \quad \phi \leftarrow \phi + \mathrm{outer}\left(\tfrac1n \sum_i (\phi - \theta_i)\right),
        \quad \theta_i \leftarrow \phi

    So there is :math:`1/k` of the traffic. It runs inside ``on_replicas``, where each replica has
    arrays of its own; elsewhere there is one replica. After a meeting ``tx.step`` makes parameters
    that are equal bit for bit; added up from updates they may differ in their last bit. The state
    keeps :math:`\phi` as ``slow_params``, with which to evaluate: ``eval_params`` finds it. With
    Muon inside this is MuLoCo; with other outer optimizers, such as ``adam``, a server of federated
    learning.

    Args:
        inner: a whole optimizer, each replica's own.
        outer: a whole optimizer, ``sgd(0.7, 0.9, nesterov=True)`` is the usual; ``None``: all go on
            from the mean, as in ``local_sgd``.
        every: how many steps :math:`k \ge 1` from one meeting to the next.
        axis: the mesh axis of the replicas.
        wire: how they send their ways, see ``exchange``; ``None``: as they are.
        error_feedback: see ``exchange``.
        fragments: into how many parts the leaves are dealt, which meet at different steps, so that
            no step sends everything. Each leaf meets as often as before.

    Raises:
        ValueError: if there is error feedback for a wire whose result is no mean; inside
            ``shard_map`` if it is not over the axis.

    Source: Douillard et al., "DiLoCo: Distributed Low-Communication Training of Language Models",
    2023, https://arxiv.org/abs/2311.08105; for ``fragments``: Douillard et al., "Streaming DiLoCo
    with Overlapping Communication", 2025, https://arxiv.org/abs/2501.18512; for Muon: Thérien et
    al., "MuLoCo", 2025, https://arxiv.org/abs/2505.23725; for servers: Reddi et al., "Adaptive
    Federated Optimization", 2020, https://arxiv.org/abs/2003.00295

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> tx = gc.distributed.diloco(gc.sgd(1.0), gc.sgd(0.5), every=2)
        >>> params = jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for _ in range(2):
        ...     params, state = tx.step(jnp.array([-1.0]), state, params)
        ...     print(params)
        [1.]
        [1.]
    """
    meeting = Meeting(
        every,
        axis,
        way_of(wire or mean()),
        error_feedback,
        fragments,
    )
    meeting.check(wire)
    members = {"inner": inner}
    members |= {} if outer is None else dict.fromkeys(meeting.outer_names, outer)
    return Apart(meeting, members)


@recipe
def local_sgd(
    inner: GradientTransformation | Pair,
    every: StaticPositiveInt,
    axis: str = "replica",
    *,
    wire: Wire | Codec | str | None = None,
    error_feedback: Fraction | None = None,
) -> GradientTransformation:
    r"""Train replicas apart, and take their mean now and then.

    .. math::
        \theta_i \leftarrow \theta_i + \mathrm{inner}(g_i), \qquad \text{every } k \text{ steps}
        \quad \theta_i \leftarrow \tfrac1n \sum_j \theta_j

    It is ``diloco`` without an outer optimizer.

    Args:
        inner: a whole optimizer, each replica's own.
        every: how many steps :math:`k \ge 1` from one mean to the next.
        axis: see ``diloco``.
        wire: see ``diloco``.
        error_feedback: see ``diloco``; with ``top_k`` this is sparse local training.

    Source: Stich, "Local SGD Converges Fast and Communicates Little", 2018,
    https://arxiv.org/abs/1805.09767

    Example:
        >>> import gradchain as gc
        >>> import jax
        >>> tx = gc.distributed.local_sgd(gc.sgd(0.1), every=8)
        >>> mesh = jax.make_mesh((1,), ("replica",), axis_types=(jax.sharding.AxisType.Auto,))
        >>> step = jax.jit(gc.distributed.on_replicas(tx.step, mesh))
    """
    options = {"wire": wire, "error_feedback": error_feedback}
    return diloco(
        inner,
        None,
        every,
        axis,
        **options,
    )
