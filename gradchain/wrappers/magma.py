"""Random masks of updates, by agreement with momentum."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.ranges import Decay, Fraction, Positive
from gradchain.core.slots import like_param, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair
from gradchain.numerics.arithmetic import ema
from gradchain.numerics.lengths import bringing, length
from gradchain.numerics.reductions import total
from gradchain.tree.mapping import map_leaves
from gradchain.tree.random import step_key, uniform_like


@transform
def magma(
    inner: GradientTransformation | Pair,
    rate: Fraction = 0.5,
    temperature: Positive = 2.0,
    b1: Decay = 0.9,
    decay: Decay = 0.9,
    seed: int = 0,
) -> Body:
    r"""Drop the updates of random leaves, scale others by alignment.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad s \leftarrow \gamma s + (1-\gamma)
        \,\mathrm{sigmoid}\left(\frac{\cos(m, g)}{\tau}\right), \quad u = s z d, \quad z \sim
        \mathrm{Bernoulli}(q)

    Each leaf is one block; :math:`d` is the update of ``inner``, whose own state moves on at every
    step. The masks of a step depend on the seed, the step and the path of a leaf alone;
    ``update(..., key=key)`` draws from a key of your own instead. Leave embeddings out, as the
    authors do, by ``groups``.

    Args:
        inner: a direction, or a whole optimizer.
        rate: the share :math:`q` of updates that are kept.
        temperature: :math:`\tau`; the smaller, the more the agreement counts.
        b1: the decay :math:`\beta_1` of the momentum that gradients are compared with.
        decay: the decay :math:`\gamma` of the factor :math:`s`, which starts at 1.
        seed: chooses the masks.

    Source: Joo et al., "On Surprising Effectiveness of Masking Updates in Adaptive Optimizers",
    2026, https://arxiv.org/abs/2602.15322

    Example:
        >>> import gradchain as gc
        >>> tx, g = magma(gc.identity(), rate=1.0, decay=0.0), jnp.array([3.0, 4.0])
        >>> print(tx.update(g, tx.init(g))[0] / g)
        [0.62245935 0.62245935]
    """

    def score(m: jax.Array, g: jax.Array, s: jax.Array) -> jax.Array:
        unit = lambda x: bringing(length(x), 1.0).times(x)
        cosine = total((jnp.conj(unit(m)) * unit(g)).real)
        return ema(
            jax.nn.sigmoid(cosine / temperature),
            s,
            decay,
        )

    def rule(g, s, count, inner, p=None, key=None):
        u, new = inner(g, s["inner"], p)
        m = map_leaves(
            lambda g, m: ema(g, m, b1),
            g,
            s["momentum"],
        )
        scores = map_leaves(score, m, g, s["score"])
        chances = uniform_like(step_key(seed, count, key), scores)

        def masked(u, s, chance):
            return jnp.where(
                chance < rate,
                s * u,
                jnp.zeros_like(u),
            )

        u = map_leaves(masked, u, scores, chances)
        return u, {"momentum": m, "score": scores, "inner": new}

    one = shaped(lambda shape: ())(real=True, fill=1.0)
    return around(rule, "leaf", inner=inner, momentum=like_param, score=one)
