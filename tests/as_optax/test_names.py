"""Every public name of optax 0.2.8 is there; what is absent, or old, is told."""

import importlib
import operator
import re
import types
import warnings
from pathlib import Path

import optax
import pytest

import gradchain.as_optax as spoken
from gradchain.as_optax import absent

README = Path(__file__).parents[2] / "README.md"
#: by module: the names that are lacking, each with the reason
LACKING = {}
#: modules inside of modules
INNER = ("experimental.aggregating",)
is_version = pytest.mark.skipif(optax.__version__ != "0.2.8", reason="names of another version")


def public(module):
    """The names of functions, classes and constants; not those of modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: getattr(module, name) for name in dir(module) if name[0] != "_"}
    return {name for name, x in found.items() if not isinstance(x, types.ModuleType)}


def own(module):
    """Those of them that the module itself defines: a private module has no list of its own."""
    return {n for n in public(module) if getattr(module, n).__module__ == module.__name__}


def modules():
    """Public modules of optax, by name, and ours or ``None``."""
    names = [n for n in dir(optax) if n[0] != "_" and isinstance(getattr(optax, n), type(optax))]
    found = {"": (optax, spoken)}
    for name in [*names, *INNER]:
        try:
            ours = importlib.import_module(f"gradchain.as_optax.{name}")
        except ModuleNotFoundError:
            ours = None
        found[name] = operator.attrgetter(name)(optax), ours
    return found


def names_of(module, name):
    return own(module) if name in INNER else public(module)


def lacking():
    found = {}
    for name, (theirs, ours) in modules().items():
        names = names_of(theirs, name) - (set() if ours is None else set(dir(ours)))
        found |= {name: names} if names else {}
    return found


@is_version
def test_these_names_of_optax_are_lacking():
    assert lacking() == {module: set(reasons) for module, reasons in LACKING.items()}


@is_version
def test_modules_are_attributes_and_are_imported():
    for name, (_, ours) in modules().items():
        assert (operator.attrgetter(name)(spoken) if name else spoken) is ours, name


@is_version
def test_what_optax_gives_up_is_answered_with_a_warning():
    theirs = {"": optax._deprecations, "tree_utils": optax.tree_utils._deprecations}
    for module, names in theirs.items():
        ours = modules()[module][1]
        for name, (_, value) in names.items():
            if value is None:
                with pytest.raises(AttributeError, match=f"no '{name}'. Optax has it no longer"):
                    getattr(ours, name)
                continue
            with pytest.warns(DeprecationWarning, match=f"{name} is an old name: use "):
                found = getattr(ours, name)
            assert callable(found), name
    assert {m: set(x) for m, x in absent.OLD.items()} == {
        m: {n for n, (_, value) in x.items() if value is not None} for m, x in theirs.items()
    }


def test_old_norms_are_those_of_optax():
    tree = [3.0, -4.0]
    expected = {"tree_l1_norm": 7.0, "tree_l2_norm": 5.0, "tree_linf_norm": 4.0}
    for name, number in expected.items():
        with pytest.warns(DeprecationWarning, match="use tree_norm"):
            norm = getattr(spoken.tree_utils, name)
        assert float(norm(tree)) == number, name


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        ("", "adamm", "Did you mean 'adam'?"),
        ("", "muon", "It is gradchain.as_optax.contrib.muon."),
        ("", "hvp", "It is gradchain.as_optax.second_order.hvp."),
        ("", "soap", "gradchain.soap is there"),
        ("", "monte_carlo", "no longer; use perturbations.make_perturbed_fun"),
        ("", "qqqq", "neither has optax 0.2.8"),
        ("contrib", "adam", "It is gradchain.as_optax.adam."),
        ("losses", "squared_eror", "Did you mean 'squared_error'?"),
    ],
)
def test_an_absent_name_is_told_with_the_way_out(module, name, hint):
    place = getattr(spoken, module) if module else spoken
    with pytest.raises(AttributeError) as caught:
        getattr(place, name)
    path = f"gradchain.as_optax.{module}".rstrip(".")
    assert str(caught.value).startswith(f"{path} has no {name!r}")
    assert hint in str(caught.value)
    assert caught.value.name == name


def test_places_of_names_that_optax_took_away_are_there():
    # The first word of a way out is a name, where it is one.
    for way_out in absent.REMOVED.values():
        path = re.match(r"[\w.]+", way_out)[0]
        found = spoken if not path.startswith("jax") else importlib.import_module("jax")
        for part in path.removeprefix("jax.").split("."):
            found = getattr(found, part)


@is_version
def test_the_readme_says_which():
    every = set().union(*(names_of(theirs, n) for n, (theirs, _) in modules().items()))
    missing = set().union(*LACKING.values())
    text = re.sub(r"\s+", " ", README.read_text())
    counts = f"`gradchain.as_optax` has {len(every - missing)} of the {len(every)} public names"
    assert counts in text, counts
    sentence = text[text.index(counts) :].split(". It adds")[0]
    assert [name for name in missing if f"`{name}`" not in sentence] == []
