"""The README says which names of optax are lacking; this counts them."""

import importlib
import re
import types
import warnings
from pathlib import Path

import optax
import pytest

import gradchain.as_optax as spoken

README = Path(__file__).parents[2] / "README.md"
#: by module; whole modules that are lacking have all of their names here
LACKING = {
    "": {"microbatch", "multi_normal"},
    "microbatching": {
        "AccumulationType",
        "Accumulator",
        "micro_grad",
        "micro_vmap",
        "microbatch",
        "reshape_batch_axis",
    },
    "perturbations": {"Gumbel", "Normal", "make_perturbed_fun"},
}


def public(module):
    """The names of functions, classes and constants; not those of modules and of states."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: getattr(module, name) for name in dir(module) if name[0] != "_"}
    is_state = lambda name: name.endswith("State") or name == "ApplyEvery"
    is_module = lambda x: isinstance(x, types.ModuleType)
    return {name for name, x in found.items() if not is_state(name) and not is_module(x)}


def modules():
    """Public modules of optax, by name, and ours or ``None``."""
    names = [n for n in dir(optax) if n[0] != "_" and isinstance(getattr(optax, n), type(optax))]
    theirs = {"": optax} | {n: importlib.import_module(f"optax.{n}") for n in names}
    return {n: (m, getattr(spoken, n, None) if n else spoken) for n, m in theirs.items()}


def lacking():
    found = {}
    for name, (theirs, ours) in modules().items():
        names = public(theirs) - (set() if ours is None else set(dir(ours)))
        found |= {name: names} if names else {}
    return found


def test_these_names_of_optax_are_lacking():
    if optax.__version__ != "0.2.8":
        pytest.skip("the names of another version")
    assert lacking() == LACKING


def test_the_readme_says_which():
    every = set().union(*(public(theirs) for theirs, _ in modules().values()))
    missing = set().union(*LACKING.values())
    text = re.sub(r"\s+", " ", README.read_text())
    counts = f"`gradchain.as_optax` has {len(every - missing)} of the {len(every)} public names"
    assert counts in text, counts
    sentence = text[text.index(counts) :].split(". It adds")[0]
    for module, names in LACKING.items():
        is_whole = modules()[module][1] is None
        for name in names:
            is_said = f"`{name}`" in sentence or f"`contrib.{name}`" in sentence
            # Of a whole module the names are not spelled.
            in_module = [m for m, of in LACKING.items() if name in of and f"`{m}`" in sentence]
            assert is_said or (is_whole and f"`{module}`" in sentence) or in_module, name
