"""DoG (Ivgi et al.) and DoWG (Khaled et al.), 2023.

The learning rate is a distance over gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from gradchain.core.lift import leafwise
from gradchain.core.ranges import Finite, Hyper, NonNegative, Positive
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import dot, global_norm, squarable_tree


@transform(roles="adaptive")
def scale_by_distance_over_gradients(
    reps_rel: Positive = 1e-6,
    eps: NonNegative = 1e-8,
    global_scale: Finite = 1.0,
    *,
    layer_wise: bool = True,
    init_distance: Positive | None = None,
    init_learning_rate: Positive | None = None,
) -> Body:
    r"""Distance over gradients (DoG) as the learning rate.

    The rate is the longest distance from the start, over the root of the sum of all squares so far.

    .. math::
        \bar r_t = \max_{k \le t} \lVert x_k - x_0 \rVert \vee r_\epsilon, \quad
        G_t = \sum_{k \le t} \lVert g_k \rVert^2, \quad
        u_t = c\,\frac{\bar r_t}{\sqrt{G_t + \epsilon}}\, g_t

    Without :math:`\epsilon` the steps do not change when the loss is multiplied by a number; with
    it, a factor of 100 changes the rate by less than :math:`\epsilon / 2 G_t` of itself. The
    authors recommend to average the iterates.

    Args:
        reps_rel: the distance at the start, :math:`r_\epsilon`, in units of :math:`1 + \lVert x_0
            \rVert`; 1e-4 with batch normalisation.
        eps: :math:`\epsilon`, in squared units of the gradient.
        global_scale: the factor :math:`c`.
        layer_wise: whether each leaf has a distance and a sum of its own (LDoG); else they are of
            the whole tree.
        init_distance: the distance at the start in units of the parameters, in place of
            ``reps_rel``.
        init_learning_rate: the rate of the first step, in place of a distance at the start.

    Raises:
        ValueError: if both a distance and a rate are given for the start.
        TypeError: if ``update`` is called without ``params``.

    Source: Ivgi, Hinder & Carmon, "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size
    Schedule", 2023, https://arxiv.org/abs/2302.12022

    Example:
        >>> tx, params = scale_by_distance_over_gradients(0.1, 0.0), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0])
        [0.5]
    """
    if init_distance is not None and init_learning_rate is not None:
        raise ValueError(
            "scale_by_distance_over_gradients: give init_distance or init_learning_rate, not both."
        )

    def at_least(start):
        if init_learning_rate is not None:
            return 0.0
        return reps_rel * (1 + global_norm(start)) if init_distance is None else init_distance

    def rule(g, s, p, t):
        given, g = g, squarable_tree(g)
        travelled = global_norm(map_leaves(jnp.subtract, p, s["start"]))
        longest = jnp.maximum(s["distance"], travelled)
        distance = jnp.maximum(longest, at_least(s["start"]))
        squares = s["squares"] + dot(g, g)
        rate = safe_divide(distance, root(squares + eps))
        if init_learning_rate is not None:
            rate = jnp.where(t == 1, init_learning_rate, rate)
            g = map_leaves(lambda x, short: jnp.where(t == 1, x, short), given, g)
        new = {"distance": distance, "squares": squares}
        return scale_tree(g, global_scale * rate), s | new

    slots = {"start": like_param(copy=True), "distance": scalar, "squares": scalar}
    return _lift(layer_wise)(rule, **slots)


@transform(roles="adaptive")
def scale_by_dowg(
    init_estim_sq_dist: Positive | None = None,
    eps: NonNegative = 1e-4,
    *,
    layer_wise: bool = False,
) -> Body:
    r"""Distance over weighted gradients (DoWG) as the learning rate.

    It is as DoG, with each square weighted by the distance of its time.

    .. math::
        \bar r_t^2 = \max_{k \le t} \lVert x_k - x_0 \rVert^2 \vee r_\epsilon^2, \quad
        v_t = \sum_{k \le t} \bar r_k^2 \lVert g_k \rVert^2, \quad
        u_t = \frac{\bar r_t^2}{\sqrt{v_t} + \epsilon}\, g_t

    Without the :math:`\epsilon` of the denominator the steps do not change when the loss is
    multiplied by a number; with it the rate is smaller by a part :math:`\epsilon / \sqrt{v_t}`, a
    hundredth of which stays if the loss is multiplied by 100.

    Args:
        init_estim_sq_dist: the squared distance at the start, :math:`r_\epsilon^2`; ``eps`` by
            default.
        eps: :math:`\epsilon`, in units of the gradient times those of the parameters.
        layer_wise: whether each leaf has a distance and a sum of its own; else they are of the
            whole tree.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Khaled, Mishchenko & Jin, "DoWG Unleashed: An Efficient Universal Parameter-Free
    Gradient Descent Method", 2023, https://arxiv.org/abs/2305.16284

    Example:
        >>> tx, params = scale_by_dowg(0.25, 0.0), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0])
        [0.5]
    """
    least = eps if init_estim_sq_dist is None else init_estim_sq_dist

    def rule(g, s, p):
        moved = map_leaves(jnp.subtract, p, s["start"])
        longest = jnp.maximum(s["squared_distance"], dot(moved, moved))
        squared_distance = jnp.maximum(longest, least)
        g = squarable_tree(g, root(squared_distance))
        squares = s["squares"] + squared_distance * dot(g, g)
        rate = safe_divide(squared_distance, root(squares) + eps)
        new = {"squared_distance": squared_distance, "squares": squares}
        return scale_tree(g, rate), s | new

    slots = {"start": like_param(copy=True), "squared_distance": scalar, "squares": scalar}
    return _lift(layer_wise)(rule, **slots)


def _lift(layer_wise: bool) -> Callable[..., Body]:
    """``leafwise`` or ``treewise``, for a rule that runs on both.

    The same rule runs on both, since a leaf is a tree.
    """
    return leafwise if layer_wise else treewise


@recipe
def dog(
    learning_rate: Hyper = 1.0,
    init_step: tuple[Literal["distance", "learning_rate", "heuristic"], Positive] = (
        "heuristic",
        1e-6,
    ),
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative | None = None,
    where: Where | None = None,
    *,
    layer_wise: bool = False,
) -> GradientTransformation:
    r"""Distance over gradients: ``scale_by_distance_over_gradients`` on the whole tree, downhill.

    Args:
        learning_rate: a factor of the rate, or its schedule with a peak of 1.
        init_step: sets the first step, by a name and its value: a ``distance``, a
            ``learning_rate``, or as ``heuristic`` a distance in units of
            :math:`1 + \lVert x_0 \rVert`.
        eps: added to the sum of squares.
        weight_decay: the factor of the parameters that is added to the gradient; ``None`` for none.
        where: the leaves that decay; see ``add_decayed_weights``.
        layer_wise: whether each leaf has a rate of its own (LDoG).

    Raises:
        ValueError: if ``init_step`` names none of the three.

    Source: see ``scale_by_distance_over_gradients``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dog(init_step=("distance", 0.5)), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(params)
        [3.5]
    """
    kind, value = init_step
    names = {
        "distance": "init_distance",
        "learning_rate": "init_learning_rate",
        "heuristic": "reps_rel",
    }
    if kind not in names:
        raise ValueError(
            f"dog: init_step begins with one of {', '.join(map(repr, names))}, not {kind!r}."
        )
    decay = [] if weight_decay is None else [add_decayed_weights(weight_decay, where)]
    start = {names[kind]: value}
    direction = scale_by_distance_over_gradients(
        eps=eps,
        layer_wise=layer_wise,
        **start,
    )
    return chain(*decay, direction, scale_by_learning_rate(learning_rate))


@recipe
def dowg(
    learning_rate: Hyper = 1.0,
    init_estim_sq_dist: Positive | None = None,
    eps: NonNegative = 1e-4,
    weight_decay: NonNegative | None = None,
    where: Where | None = None,
    *,
    layer_wise: bool = False,
) -> GradientTransformation:
    """Distance over weighted gradients: ``scale_by_dowg``, downhill.

    Args:
        learning_rate: a factor of the rate, or its schedule with a peak of 1.
        init_estim_sq_dist: the squared distance to the solution at the start; ``eps`` by default.
        eps: added to the denominator.
        weight_decay: the factor of the parameters that is added to the gradient; ``None`` for none.
        where: the leaves that decay; see ``add_decayed_weights``.
        layer_wise: whether each leaf has a rate of its own.

    Source: see ``scale_by_dowg``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dowg(init_estim_sq_dist=0.25, eps=0.0), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(params)
        [3.5]
    """
    decay = [] if weight_decay is None else [add_decayed_weights(weight_decay, where)]
    direction = scale_by_dowg(init_estim_sq_dist, eps, layer_wise=layer_wise)
    return chain(*decay, direction, scale_by_learning_rate(learning_rate))
