"""One row per factory of transformations: a value to test, its twin, and what the laws have to
know.

A factory with options that change its formula has more rows than one. They stand in the file of the
tests that has the place and the name of the factory's file in ``gradchain``.
"""

import importlib
import pkgutil

from gradchain.core.holes import FUNCTIONS
from tests.laws.row import Row

ROOMS = (
    "core",
    "transforms",
    "wrappers",
    "precision",
    "searches",
    "optimizers",
    "distributed",
    "telemetry",
)
FILES = [
    found.name
    for room in ROOMS
    for found in pkgutil.walk_packages(
        importlib.import_module(f"tests.{room}").__path__, f"tests.{room}."
    )
    if ".test_" not in found.name
]
ROWS: list[Row] = [
    row
    for name in (*FILES, "tests.laws.user_transforms")
    for row in getattr(importlib.import_module(name), "ROWS", [])
]
#: Those for trees of any form: gradients of examples have a dimension more than parameters. A
#: function of the parameters sees what is left out of a member's tree too.
FOR_ANY_TREE = [
    row
    for row in ROWS
    if "takes_trees_of_every_kind" not in row.reasons and not row.extra.keys() & FUNCTIONS
]
