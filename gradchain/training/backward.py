"""Steps inside the backward pass, one layer after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Pair, Params, State, Tree
from gradchain.core.walk import walk

Layer = Callable[[Params, Tree], Tree]
Backward = Callable[[Tree], tuple[Params, State, Tree]]


def layer_steps(
    tx: GradientTransformation | Pair,
    layer: Layer,
    layers: Params,
    state: State,
    x: Tree,
    **extra: Any,
) -> tuple[Tree, Backward]:
    r"""Run stacked layers, with steps in the backward pass (LOMO).

    It is to a scanned model as ``jax.vjp`` is to a function, but the backward pass returns updated
    parameters in the place of gradients: each layer makes its step as soon as its gradient is
    there, which is then forgotten.

    .. math::
        x_{l+1} = f(\theta_l, x_l); \qquad \text{backward, from the last to the first} \quad
        (g_l, \bar x_l) = \mathrm{vjp}_f(\bar x_{l+1}), \quad
        (\theta_l, s_l) \leftarrow \mathrm{step}(g_l, s_l, \theta_l)

    Of the forward pass the inputs of layers are kept; the rest is computed again, as by
    ``jax.checkpoint`` around a layer. Parameters and state are written in place under ``jit`` if
    they are donated. A random number, as in ``add_noise``, is the same in all layers.

    Args:
        tx: the optimizer of a layer. A norm of a leaf in it is that of one layer.
        layer: ``layer(params, x)``, whose result is like ``x``.
        layers: parameters of all layers, stacked along the first dimension of each leaf.
        state: the state of each layer, stacked: ``jax.vmap(tx.init)(layers)`` at first.
        x: the input of the first layer.
        extra: further arguments of ``tx.update``, the same for all layers.

    Returns:
        The output of the last layer, and a function. Of the cotangent of that output it makes the
        new parameters, the new state, and the cotangent of ``x``.

    Raises:
        ValueError: if a member of ``tx`` looks at all leaves together, such as a clip by the global
            norm: all gradients would have to be there before the first step.

    Source: Lv et al., "Full Parameter Fine-tuning for Large Language Models with Limited
    Resources", 2023, https://arxiv.org/abs/2306.09782

    Example:
        >>> import gradchain as gc
        >>> tx, layers = gc.sgd(0.1), {"w": jnp.array([2.0, 3.0])}  # two layers of one number
        >>> state = jax.vmap(tx.init)(layers)
        >>> y, backward = layer_steps(tx, lambda p, x: p["w"] * x, layers, state, jnp.array(1.0))
        >>> layers, state, x_bar = backward(jnp.array(1.0))
        >>> print(y, layers["w"], x_bar)
        6.0 [1.7 2.8] 6.0
    """
    tx = as_transformation(tx, "layer_steps: tx")
    _check_local(tx)
    depth = _depth(layers, state)
    y, inputs = lax.scan(lambda x, params: (layer(params, x), x), x, layers)

    def step(grads: Params, state: State, params: Params) -> tuple[Params, State]:
        return tx.step(grads, state, params, **extra)

    def backward(y_bar: Tree) -> tuple[Params, State, Tree]:
        # Parameters and state are carried, not scanned over: a scan would write new ones beside
        # the old.
        def go_back(i: jax.Array, carry: tuple) -> tuple:
            layers, state, x_bar = carry
            at = depth - 1 - i
            read = lambda tree: jax.tree.map(lambda a: _read(a, at), tree)
            write = lambda tree, new: jax.tree.map(lambda a, b: _write(a, b, at), tree, new)
            _, pull = jax.vjp(layer, read(layers), read(inputs))
            grads, x_bar = pull(x_bar)
            params, own = _apart(at >= 0, step, grads, read(state), read(layers))
            return write(layers, params), write(state, own), x_bar

        return lax.fori_loop(0, depth, go_back, (layers, state, y_bar))

    return y, backward


def _apart(always: jax.Array, step: Callable, grads: Params, state: State, params: Params) -> Any:
    """A step that is not fused with what is around.

    Else it would read a slice of a stack again for each result, the last time after another result
    was written to it, and so copy the whole stack. ``always`` is true, but only known at run time.
    """
    wait = lambda grads, state, params: (params, state)
    return lax.cond(always, step, wait, grads, state, params)


def _read(a: jax.Array, at: jax.Array) -> jax.Array:
    return lax.dynamic_index_in_dim(a, at, keepdims=False)


def _write(a: jax.Array, b: jax.Array, at: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(a, b, at, 0)


def _check_local(tx: GradientTransformation) -> None:
    """Refuse members that look at all leaves together."""
    found = [part for part in walk(tx) if part.body.locality == "tree"]
    if found:
        raise ValueError(
            f"layer_steps: {found[-1].name!r} looks at all leaves together, or may do so, but a"
            " layer makes its step before the gradients of the layers below it are there. Leave it"
            " out, take one that looks at a leaf by itself, such as clip_by_norm for"
            " clip_by_global_norm, or make a usual step with all gradients."
        )


def _depth(layers: Params, state: State) -> int:
    """How many layers are stacked."""
    sizes = {jnp.shape(x)[:1] for x in jax.tree.leaves((layers, state))}
    if len(sizes) != 1 or sizes == {()}:
        raise ValueError(
            "layer_steps: each leaf of layers and of state must have the layers as its first"
            f" dimension, but the first dimensions are {sorted(sizes)}. The state is that of"
            " stacked layers: jax.vmap(tx.init)(layers)."
        )
    return sizes.pop()[0]
