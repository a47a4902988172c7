"""Random trees: nested dicts, lists and tuples with holes, scalars, leaves of size zero and several
dtypes.
"""

import math

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import settings

from tests.laws.samples import named

few = settings(deadline=None, max_examples=40, derandomize=True)
EVERY_DTYPE = (jnp.float32, jnp.float32, jnp.bfloat16, jnp.float16, jnp.complex64)
FULL_PRECISION = (jnp.float32, jnp.complex64)
SHAPES = ((), (0,), (3,), (2, 3), (0, 2), (1, 2, 2))


def _numbers(size, dtype):
    real = st.floats(-100, 100, width=16)
    one = st.builds(complex, real, real) if dtype == jnp.complex64 else real
    return st.lists(one, min_size=size, max_size=size)


@st.composite
def arrays(draw, dtypes=EVERY_DTYPE):
    shape, dtype = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(dtypes))
    return jnp.asarray(np.array(draw(_numbers(math.prod(shape), dtype))).reshape(shape), dtype)


def _containers(inner):
    names = st.sampled_from(["a", "b", "kernel", "bias", "layers_3"])
    several = st.lists(inner, max_size=3)
    return several | several.map(tuple) | st.dictionaries(names, inner, max_size=3)


def trees_of(dtypes):
    """A whole tree that is None is refused, as an argument that was forgotten."""
    return st.recursive(arrays(dtypes) | st.none(), _containers, max_leaves=6).filter(
        lambda tree: tree is not None
    )


trees = trees_of(EVERY_DTYPE)
full_trees = trees_of(FULL_PRECISION)


def flat(tree):
    """All numbers of a tree as one vector."""
    return np.concatenate([np.zeros(0), *(x.ravel() for x in named(tree).values())])


def other_like(tree, seed=0):
    """Another tree of the same structure, shapes and dtypes, of numbers of order 1 and some
    zeros.
    """
    rng = np.random.default_rng(seed)

    def draw(x):
        y = rng.standard_normal(x.shape) * (rng.random(x.shape) > 0.2)
        return jnp.asarray(y * (0.6 + 0.8j) if jnp.iscomplexobj(x) else y, x.dtype)

    return jax.tree.map(draw, tree)


def random_mask(data, tree):
    """A tree of bools, drawn with the ``data`` of hypothesis."""
    return jax.tree.map(lambda x: data.draw(st.booleans()), tree)


def own_leaves(mask, tree):
    """The leaves where a mask is true, with holes elsewhere."""
    return jax.tree.map(lambda chosen, x: x if chosen else None, mask, tree)
