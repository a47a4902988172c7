"""No bare roots, no bare sums of squares: rules take those that are right at 0 and at every size.

The slope of ``jnp.sqrt`` at 0 is infinite, and NaN times a gradient of 0; a square is out of range
where the number is not. Files are read, so that a new rule cannot bring either back.
"""

import ast
from pathlib import Path

import pytest

import gradchain as gc

PACKAGE = Path(gc.__file__).parent
ROOMS = (
    "tree",
    "transforms",
    "wrappers",
    "optimizers",
    "telemetry",
    "numerics",
    "projections.py",
)
#: The two files that make roots and lengths of what JAX has.
MAKERS = {PACKAGE / "numerics" / name for name in ("roots.py", "lengths.py")}
FILES = [
    path
    for room in ROOMS
    for path in (
        [PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).rglob("*.py"))
    )
    if path not in MAKERS
]
each_file = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix()
)

BARE = {"sqrt", "rsqrt", "cbrt", "power", "float_power", "pow", "hypot", "norm"}
OF_ARRAYS = {"jnp", "lax", "jax.numpy", "jax.lax", "jnp.linalg", "jax.numpy.linalg"}
SUMS = {"sum", "mean", "total", "total_along", "mean_along", "sum_over_shards", "over.sum"}
SUMS |= {"jnp.sum", "jnp.mean"}
SQUARES = {"abs2", "jnp.square"}
INNER = {"dot", "inner", "jnp.vdot", "jnp.dot"}

#: Sums of squares that are no norms, or whose numbers have a size about 1.
HONEST = {
    "tree/norms.py": "the sums that lengths are made of; safe_norm, for vectors of length 1",
    "telemetry/layers.py": "the sums that lengths are made of",
    "transforms/per_example.py": "the sums that lengths are made of",
    "transforms/normalizing.py": "of vectors divided by their lengths",
    "wrappers/guards.py": "a test whether all is finite, with a second one where it fails",
    "projections.py": "the square is the divisor of a product",
    "numerics/polar.py": "of a Gram matrix of norm 1",
    "numerics/matrix_roots.py": "a share of one square in another, of matrices near 1",
    "optimizers/matrix/alice.py": "of matrices that are short enough to be squared",
    "optimizers/matrix/kron_factors.py": "of matrices that are short enough to be squared",
    "optimizers/matrix/normuon.py": "of elements of a polar factor",
    "optimizers/matrix/racs.py": "of squares that are divided by their largest",
    "optimizers/dog.py": "the state is a square",
    "optimizers/second_order/lbfgsb.py": "of directions of length 1",
    "optimizers/second_order/gauss_newton.py": "the loss of outputs, a sum of squares by name",
    "optimizers/second_order/hessian_free.py": "a square is added to a value",
    "optimizers/second_order/nonlinear_cg.py": "quotients of products",
}


def name_of(node: ast.AST) -> str:
    """The dotted name that is called, or the empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = name_of(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def is_bare_root(node: ast.AST) -> bool:
    """Whether it is a root of JAX, or a power that may be one.

    A power of a number that is written down, or with a whole number for exponent, has slopes.
    """
    if isinstance(node, ast.Attribute) and node.attr in BARE:
        return name_of(node.value) in OF_ARRAYS
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        is_whole = isinstance(node.right, ast.Constant) and isinstance(node.right.value, int)
        return not (is_whole or isinstance(node.left, ast.Constant))
    return False


def is_sum_of_squares(node: ast.AST) -> bool:
    """Whether it is a sum or a mean of squares, or a product of something with itself."""
    if not isinstance(node, ast.Call):
        return False
    name = name_of(node.func)
    if name in INNER and len(node.args) == 2:
        return ast.dump(node.args[0]) == ast.dump(node.args[1])
    inside = [x for argument in node.args for x in ast.walk(argument)]
    return name in SUMS and any(
        isinstance(x, ast.Call | ast.Name | ast.Attribute) and name_of(x) in SQUARES
        for x in (getattr(x, "func", x) for x in inside)
    )


def found(source: str, is_one) -> list[str]:
    """The places of what is looked for, each with its text."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if is_one(node)
    ]


@each_file
def test_no_root_is_bare(path):
    name = path.relative_to(PACKAGE).as_posix()
    places = found(path.read_text(), is_bare_root)
    assert not places or name in ALLOWED_POWERS, (
        f"{name}: take root, cube_root, power or norm of gradchain.numerics: {places}"
    )


#: Powers that are no roots of what a gradient may make 0.
ALLOWED_POWERS = {
    "numerics/arithmetic.py": "safe_sqrt hides the zero before the root",
    "transforms/multipliers.py": "a decay to the power of a whole number of layers",
    "numerics/matrix_roots.py": "of positive numbers near 1, and constants to derivatives",
    "optimizers/matrix/sketchy.py": "of singular values, which are constants to derivatives",
}


@each_file
def test_no_sum_of_squares_is_bare(path):
    name = path.relative_to(PACKAGE).as_posix()
    places = found(path.read_text(), is_sum_of_squares)
    assert not places or name in HONEST, (
        f"{name}: take length, rms or length_along of gradchain.numerics.lengths: {places}"
    )


def test_the_reasons_are_for_files_that_need_one():
    """A reason that nothing needs any more goes."""
    for reasons, is_one in ((ALLOWED_POWERS, is_bare_root), (HONEST, is_sum_of_squares)):
        idle = [n for n in reasons if not found((PACKAGE / n).read_text(), is_one)]
        assert not idle, idle


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("u = g / (jnp.sqrt(nu) + eps)", is_bare_root),
        ("u = g * lax.rsqrt(nu)", is_bare_root),
        ("u = g / jnp.linalg.norm(g)", is_bare_root),
        ("u = nu ** 0.5", is_bare_root),
        ("u = nu ** -power", is_bare_root),
        ("length = root(total(abs2(g)))", is_sum_of_squares),
        ("size = jnp.mean(jnp.square(g), axis=0)", is_sum_of_squares),
        ("length = root(dot(g, g))", is_sum_of_squares),
        ("s = over.sum(map_leaves(abs2, tree))", is_sum_of_squares),
    ],
)
def test_what_is_bare_is_found(source, is_one):
    assert found(source, is_one)


def test_what_is_not_bare_is_let_through():
    fine = "u = root(nu); b = 2.0**-80; s = x**2; l = length(g); d = dot(g, p); m = mean(g)"
    assert not found(fine, is_bare_root) and not found(fine, is_sum_of_squares)
