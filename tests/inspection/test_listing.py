"""Factories are found by their names."""

import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES
from gradchain.inspection.listing import kind_of


def test_every_recipe_is_found_and_nothing_else():
    found = gc.optimizers_named()
    assert found == sorted(found)
    assert {"sgd", "adamw", "lbfgs", "adafactor"} <= set(found)
    assert set(found).isdisjoint(
        {"scale_by_adam", "scale_by_muon", "chain", "masked", "cosine_decay_schedule"}
    )
    assert all(FACTORIES[name].composite for name in found)


def test_a_pattern_chooses():
    assert gc.optimizers_named("adama?") == ["adamax"]
    assert gc.optimizers_named("[np]adam") == ["nadam", "padam"]
    assert gc.optimizers_named("ADAM") == []


def test_a_recipe_of_ones_own_is_found():
    @gc.recipe
    def my_recipe(learning_rate: gc.Hyper):
        """Descend."""
        return gc.scale_by_learning_rate(learning_rate)

    try:
        assert gc.optimizers_named("my_*") == ["my_recipe"]
    finally:
        del FACTORIES["my_recipe"]


@pytest.mark.parametrize("pattern", [None, 3, gc.adam])
def test_a_pattern_is_text(pattern):
    with pytest.raises(TypeError, match=r"pattern must be text, such as 'adam\*', not"):
        gc.optimizers_named(pattern)


def test_what_takes_no_other_transformation_is_no_wrapper():
    assert kind_of(FACTORIES["lbfgs"]) == "recipes"  # a line search is at choice
    assert kind_of(FACTORIES["sam"]) == "wrappers"
    assert kind_of(FACTORIES["backtracking"]) == "transforms"
