"""One row per factory of transformations: a value to test, its twin, and what the laws have to
know.

A factory with options that change its formula has more rows than one. Each file in ``tests/rows``
holds a family.
"""

import importlib
import pkgutil

from gradchain.core.run import FUNCTIONS
from tests import rows
from tests.row import Row as Row

FAMILIES = sorted(module.name for module in pkgutil.iter_modules(rows.__path__))
ROWS: list[Row] = [
    row for name in FAMILIES for row in importlib.import_module(f"tests.rows.{name}").ROWS
]
#: Those for trees of any form: gradients of examples have a dimension more than parameters. A
#: function of the parameters sees what is left out of a member's tree too.
FOR_ANY_TREE = [
    row
    for row in ROWS
    if "takes_trees_of_every_kind" not in row.reasons and not row.extra.keys() & FUNCTIONS
]
