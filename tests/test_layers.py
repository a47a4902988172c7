"""Imports only point down: each module may import from its own layer's files beside it, or from a lower layer."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gradchain"
#: From the bottom up. A module may import modules that stand before it, and files of its own folder.
ORDER = [
    "paths",
    "numerics",
    "leaves",
    "checks",
    "trees",
    "call",
    "stages",
    "slots",
    "core",
    "lift",
    "around",
    "labels",
    "walk",
    "compose",
    "groups",
    "hyperparams",
    "schedules",
    "projections",
    "transforms",
    "wrappers",
    "optimizers",
    "curvature",
    "telemetry",
    "losses",
    "config",
    "foreign_states",
    "matching",
    "state",
    "describe",
    "rules",
    "check",
    "plot",
    "cli",
    "__main__",
    "as_optax",
    "__init__",
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """The first part of a module's name below the package: a file or a folder."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> list[str]:
    """The dotted names that a module imports when it runs."""
    found = []
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []  # for type checkers only
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
            found += modules if node.module == "gradchain" else [node.module or ""]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    for name in imports(path):
        if name.startswith("gradchain."):
            target = name.split(".")[1]
            is_lower = ORDER.index(target) < ORDER.index(room(path))
            is_beside = target == room(path) and path.parent != PACKAGE
            assert is_lower or is_beside, f"{path.relative_to(PACKAGE)} imports {name}, which stands above it"


def test_every_module_has_a_place_in_the_order():
    assert {room(path) for path in MODULES} == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_package_imports_no_peer(path):
    assert not [n for n in imports(path) if n.split(".")[0] in {"optax", "torch", "keras", "flax", "jaxopt"}]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_has_one_subject(path):
    assert len(path.read_text().splitlines()) <= 400, "a file above 400 lines wants to be two"


def test_the_core_is_read_in_half_an_hour():
    files = ("core.py", "lift.py", "compose.py")
    assert sum(len((PACKAGE / f).read_text().splitlines()) for f in files) < 700
