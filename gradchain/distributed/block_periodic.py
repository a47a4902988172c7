"""Matrix methods on blocks, now and then on matrices."""

from __future__ import annotations

from gradchain.core.columns import Columns
from gradchain.core.ranges import PositiveInt
from gradchain.core.shards import taking_leaves_as_whole
from gradchain.core.stage import Body, Extra, Ran, Stage, run_inside, widest
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair, Params, State
from gradchain.distributed.owners import owners
from gradchain.numerics.branches import cond
from gradchain.numerics.counting import remainder
from gradchain.numerics.reductions import check_shards_are_known, shard_axes


@transform
def block_periodic(
    inner: GradientTransformation | Pair, every: PositiveInt = 5, axis: str = "data"
) -> Body:
    r"""Update blocks in most steps, whole matrices now and then.

    Inside ``jax.shard_map`` a device has a block of each matrix that is split. ``inner`` sees this
    block as if it were a matrix, without any communication. At the first step, and at every
    :math:`k`-th after it, ``owners(inner, axis)`` updates whole matrices; for that ``update`` needs
    ``specs=``, a ``PartitionSpec`` for each parameter. Elsewhere matrices are always whole.

    .. math::
        u_b = \begin{cases} \mathrm{inner}(G)_b & t \equiv 1 \pmod k \\ \mathrm{inner}(G_b) &
        \text{else} \end{cases}

    Args:
        inner: what is done with each matrix, without a state: ``orthogonalize``. Momentum stands
            before it, ``chain(average_updates(0.95), block_periodic(orthogonalize()))``.
        every: after how many steps :math:`k \ge 1` matrices are whole.
        axis: the axis of the mesh that whole matrices are divided among.

    Raises:
        ValueError: if ``inner`` keeps a state, which blocks and matrices cannot have in common, or
            looks at more than a matrix.

    Source: Khaled et al., "MuonBP: Faster Muon via Block-Periodic Orthogonalization", 2025,
    https://arxiv.org/abs/2510.16981

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> tx, g = block_periodic(gc.orthogonalize("svd")), jnp.array([[3.0, 0.0], [0.0, 1.0]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[1. 0.]
         [0. 1.]]
    """
    if inner.facts.keeps_state:
        raise ValueError(
            "block_periodic: the state of a member would be of blocks in one step and of whole"
            f" matrices in another, and {inner!r} keeps one. Put what keeps it before:"
            " chain(average_updates(0.95), block_periodic(orthogonalize()))."
        )
    return BlockPeriodic(inner, owners(inner, axis), every)


class BlockPeriodic(Body):
    """A transformation of blocks, and of whole matrices."""

    needs_step = True

    def __init__(
        self, inner: GradientTransformation, whole: GradientTransformation, every: Numeric
    ):
        self.members = {"inner": inner}
        self.whole, self.every = whole, every
        self.locality = widest(["matrix", inner.locality])
        self.extras = whole.extras

    def init(
        self,
        params: Params,
    ) -> State:
        """See ``Body``."""
        return {}

    @classmethod
    def run(cls, stages: list[Stage], columns: Columns, states: list[State], extra: Extra) -> Ran:
        """See ``Body``."""
        (stage,), body = stages, stages[0].body
        g, p = columns.updates, columns.params
        run = lambda tx: run_inside(tx, g, {}, p, extra)[0]

        def on_blocks():
            with taking_leaves_as_whole():
                return run(body.members["inner"])

        if not shard_axes():
            return columns.with_updates(run(body.members["inner"])), [{}]
        check_shards_are_known()
        is_whole = remainder(stage.count, body.every) == 0
        u = cond(is_whole, lambda: run(body.whole), on_blocks)
        return columns.with_updates(u), [{}]
