"""The value and gradient that a search has computed already, for the training loop around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.numerics.arithmetic import cast
from gradchain.searches.search import SETTLED
from gradchain.tree.mapping import map_leaves


def value_and_grad_from_state(value_fn: Callable) -> Callable:
    """A function that has the value and gradient of a loss from the state of the search that ended
    at these parameters.

    A search has evaluated the loss and its gradient at the point that it settled on, and keeps both
    in its state, so that a loop needs no evaluation of its own. Before the first search, and after
    one that failed, they are computed. So they are, each time, where the state cannot have them:
    where there is no search in it or more than one, where other members move some of the
    parameters, and for parameters of less than float32, which are rounded when the search is over.
    Under ``vmap`` they are computed each time as well.

    It is not for a loss that changes from step to step, as with another batch of data: the value in
    the state is that of the loss which the search was given. Neither is it for a chain in which
    anything follows the search, or around it and changes its update, as then the parameters are not
    those that the search settled on.

    Args:
        value_fn: ``value_fn(params, *args, **kwargs)``, a scalar.

    Returns:
        ``value_and_grad(params, *args, state, **kwargs)``, the value and the gradient, uphill as
        ``update`` wants it: for complex parameters the conjugate of what ``jax.grad`` gives.

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.chain(gc.scale(-1.0), gc.strong_wolfe()), jnp.array([3.0, 2.0])
        >>> loss, state = lambda p: jnp.sum(p**2), tx.init(params)
        >>> value_and_grad = value_and_grad_from_state(loss)
        >>> for _ in range(3):
        ...     value, grads = value_and_grad(params, state=state)
        ...     params, state = tx.step(grads, state, params, value=value, value_fn=loss)
        >>> print(value, state["strong_wolfe"]["value"])
        0.0 0.0
    """

    def value_and_grad(params: Any, *args: Any, state: Any, **kwargs: Any) -> tuple[Any, Any]:
        def evaluated() -> tuple[Any, Any]:
            value, grad = jax.value_and_grad(value_fn)(params, *args, **kwargs)
            return value, map_leaves(jnp.conj, grad)

        types = jax.eval_shape(evaluated)
        entries = list(_settled(state))
        if len(entries) != 1 or not _is_of_types(entries[0]["grad"], types[1]):
            return evaluated()
        (entry,) = entries
        is_known = jnp.isfinite(entry["value"]) & (entry["failed"] == 0)
        return lax.cond(
            is_known, lambda: (cast(entry["value"], types[0].dtype), entry["grad"]), evaluated
        )

    return value_and_grad


def _settled(state: Any) -> Iterator[dict]:
    """The states of searches, however deep; not that of ``reverse_communication``, which is at
    another point.
    """
    if isinstance(state, dict) and "trial" not in state:
        if state.keys() >= SETTLED.keys():
            yield state
        else:
            for entry in state.values():
                yield from _settled(entry)


def _is_of_types(tree: Any, types: Any) -> bool:
    """Whether a tree has the structure, shapes and dtypes of another."""
    describe = lambda tree: [(jnp.shape(x), x.dtype) for x in jax.tree.leaves(tree)]
    return jax.tree.structure(tree) == jax.tree.structure(types) and describe(tree) == describe(
        types
    )
