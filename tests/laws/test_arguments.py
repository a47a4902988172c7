"""Arguments of factories: default values, which rows of the table mostly replace, and what recipes
do with theirs.
"""

import inspect
import warnings

import optax
import optax.contrib
import pytest

from gradchain.core.factory import FACTORIES
from gradchain.core.ranges import EVERY
from tests.laws.table import ROWS

# Where a default is not that of optax, of the twin, or of the member of a recipe that has an
# argument of this name.
OF_OPTAX = {
    ("adadelta", "learning_rate"): "it is 1 in the paper; optax has no rate by default",
    ("adan", "eps_root"): "the paper has none",
    ("sophia", "b1"): "as in the paper",
    ("sophia", "eps"): "as in the paper, where it is the least curvature",
}
OF_TWINS = {
    ("asam", "rho"): "one class has the number of sam, asam and looksam",
    ("looksam", "rho"): "one class has the number of sam, asam and looksam",
    ("novograd", "eps"): "the twin has that of scale_by_novograd",
    ("scale_by_sink_gd", "steps"): "the twin is that of equilibrate",
    ("sink_gd", "steps"): "the twin is that of equilibrate",
    **dict.fromkeys(
        [("scale_by_natural_gradient", k) for k in ("damping", "max_steps", "tol")]
        + [("scale_by_hessian_free", k) for k in ("damping", "max_steps")],
        "one class has the numbers of all truncated methods",
    ),
    ("watch", "every"): "the twin is that of the average inside, which counts each step",
}
OF_MEMBERS = {
    ("ademamix", "alpha"): "as in optax, where the two differ too",
    ("lamb", "eps"): "as in optax; it is not the eps of Adam alone, nor that of the trust ratio",
    ("lars", "trust_coefficient"): "as in the paper on LARS",
    ("novograd", "eps"): "as in optax, where the two differ too",
    ("fromage", "min_norm"): "as in optax",
    ("scale_by_sink_gd", "steps"): "as in the paper, where one step is not enough",
    ("sink_gd", "steps"): "as in the paper, where one step is not enough",
    ("scale_by_scale_sgd", "sides"): "columns alone, as in the paper",
    ("scale_by_scale_sgd", "eps"): "as in the paper",
    ("scale_sgd", "eps"): "as in the paper",
    ("scale_sgd", "sides"): "columns alone, as in the paper",
}
FREE = {
    "learning_rate",
    "weight_decay",
    "seed",
}  # what is up to the user, and in twins often nothing


def defaults(signature):
    return {k: p.default for k, p in signature.parameters.items() if p.default is not p.empty}


def differences(name, theirs, exceptions):
    """The arguments that have a number by default in both, and not the same."""
    ours, allowed = (
        defaults(FACTORIES[name].signature),
        {k for factory, k in exceptions if factory == name},
    )
    is_number = lambda x: isinstance(x, int | float) and not isinstance(x, bool)
    both = [
        k
        for k in ours.keys() & theirs.keys() - allowed
        if is_number(ours[k]) and is_number(theirs[k])
    ]
    return {k: (ours[k], theirs[k]) for k in both if ours[k] != theirs[k]}


def of_optax(name):
    with warnings.catch_warnings(action="ignore"):  # some moved to contrib
        return getattr(optax, name, None) or getattr(optax.contrib, name, None)


def name_of(row):
    return row.name.split("-")[0]


@pytest.mark.parametrize("name", sorted(name for name in FACTORIES if callable(of_optax(name))))
def test_defaults_are_those_of_optax(name):
    assert differences(name, defaults(inspect.signature(of_optax(name))), OF_OPTAX) == {}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_defaults_are_those_of_the_twin(row):
    twin = defaults(inspect.signature(type(row.twin()).__init__))
    assert (
        differences(name_of(row), {k: v for k, v in twin.items() if k not in FREE}, OF_TWINS)
        == {}
    )


recipes = [row for row in ROWS if row.make().factory.composite and name_of(row) != "chain"]
each_recipe = pytest.mark.parametrize("row", recipes, ids=[row.name for row in recipes])


@each_recipe
def test_defaults_are_those_of_the_members(row):
    for member in row.make().members.values():
        assert differences(name_of(row), defaults(member.factory.signature), OF_MEMBERS) == {}


def another(value, numbers):
    """Another value of the same kind, whose numbers are in a range."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        others = (value + 1,) if isinstance(value, int) else (0.5 * value + 0.0625, value + 0.25)
        return next(x for x in others if x in (numbers or EVERY))
    return (
        tuple(x if isinstance(x, str) else another(x, numbers) for x in value)
        if isinstance(value, tuple)
        else None
    )


@each_recipe
def test_a_recipe_hands_every_argument_on(row):
    tx = row.make()
    unused = [k for k, v in tx.arguments.items() if v is None and tx.factory.kinds[k].is_hyper]
    ranges = {k: kind.range for k, kind in tx.factory.kinds.items()}
    # momentum=None has no use for nesterov
    tx = tx.replace(**{k: 0.25 if 0.25 in ranges[k] else 2.5 for k in unused})
    changes = {
        k: "nothing" if k == "where" else another(v, ranges[k]) for k, v in tx.arguments.items()
    }
    for name, value in changes.items():
        if value is not None:
            assert tx.replace(**{name: value}).members != tx.members, name
