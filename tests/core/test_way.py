"""The way of an update through the files: short, and with few flattened trees."""

import itertools
import sys

import jax
import jax.numpy as jnp

import gradchain as gc

PARAMS = {f"layer_{i}": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(3)} for i in range(2)}
FLATTENING = {"tree_flatten", "tree_leaves", "tree_map", "tree_structure", "map", "leaves"}
FLATTENING |= {"flatten", "structure", "tree_leaves_with_path", "leaves_with_path"}


def way(tx):
    """The files of the package that an update calls into, and how often it flattens a tree."""
    state, files, flattened = tx.init(PARAMS), [], []

    def note(frame, event, argument):
        code, caller = frame.f_code, frame.f_back
        if event == "call" and "/gradchain/" in code.co_filename:
            files.append(code.co_filename)
        is_ours = event == "call" and caller and "/gradchain/" in caller.f_code.co_filename
        if is_ours and code.co_name in FLATTENING and "/jax/_src/tree" in code.co_filename:
            flattened.append(code.co_name)

    def update(g, state, p):
        sys.setprofile(note)
        try:
            return tx.update(g, state, p)
        finally:
            sys.setprofile(None)

    jax.make_jaxpr(update)(PARAMS, state, PARAMS)
    return files, len(flattened)


def changes(files):
    return sum(a != b for a, b in itertools.pairwise(files))


def test_an_update_of_adamw_is_short():
    files, flattened = way(gc.adamw(1e-3))
    assert 40 < changes(files) < 95  # it passes through several files, or nothing was noted
    assert 1 <= flattened <= 3


def test_an_update_in_a_wrapper_flattens_few_trees():
    files, flattened = way(gc.accumulate(gc.adamw(1e-3), every=4))
    assert changes(files) > 90
    assert 1 <= flattened <= 8
