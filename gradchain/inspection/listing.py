"""The kinds of factories, and their names."""

from __future__ import annotations

from fnmatch import fnmatchcase

from gradchain.core.factory import FACTORIES, Factory
from gradchain.core.schedule import Schedule
from gradchain.core.transformation import GradientTransformation
from gradchain.tree.limits import short

KINDS = ("transforms", "wrappers", "recipes", "schedules")


def optimizers_named(pattern: str = "*") -> list[str]:
    """Find the optimizers whose names fit a pattern.

    An optimizer is a recipe, such as ``adamw``: whole, with its learning rate. The parts of one,
    wrappers and schedules are listed by ``gradchain list`` on the command line.

    Args:
        pattern: a name in which ``*`` stands for any letters, ``?`` for one, and ``[ab]`` for one
            of these; by default all names fit.

    Returns:
        The names, sorted; also those of recipes that the program itself has made. ``getattr(gc,
        name)`` is the optimizer of that name.

    Raises:
        TypeError: if the pattern is not text.

    Example:
        >>> import gradchain as gc
        >>> gc.optimizers_named("*adamw")
        ['adamw', 'dadapt_adamw', 'nadamw', 'schedule_free_adamw', 'stable_adamw']
    """
    if not isinstance(pattern, str):
        raise TypeError(
            f"optimizers_named: pattern must be text, such as 'adam*', not {short(pattern)}"
        )
    return names_of("recipes", pattern)


def names_of(kind: str, pattern: str = "*") -> list[str]:
    """The names of one kind that fit a pattern, sorted."""
    fitting = {name: x for name, x in FACTORIES.items() if fnmatchcase(name, pattern)}
    return sorted(name for name, factory in fitting.items() if kind_of(factory) == kind)


def kind_of(factory: Factory) -> str | None:
    """The kind of a factory; selections have none."""
    if factory.kind is Schedule:
        return "schedules"
    is_pair = factory.name == "GradientTransformation"
    if factory.kind is not GradientTransformation or is_pair:
        return None
    required = [p.name for p in factory.signature.parameters.values() if p.default is p.empty]
    takes_another = any(factory.mentions(name, "GradientTransformation") for name in required)
    is_search = ".searches." in factory.function.__module__  # one of them takes another
    if takes_another and not is_search:
        return "wrappers"
    # By its name a chain such as scale_by_muon is a direction, and no whole optimizer.
    is_whole = factory.composite and not factory.name.startswith("scale_by_")
    return "recipes" if is_whole else "transforms"
