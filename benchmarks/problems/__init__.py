"""The test problems of Moré, Garbow and Hillstrom, from the formulas of their paper.

J. J. Moré, B. S. Garbow and K. E. Hillstrom, Testing unconstrained optimization software, ACM
Transactions on Mathematical Software 7(1), 1981, 17-41. ``PROBLEMS`` holds all 35 in their order;
``VARIANTS`` some of them again, at other dimensions for which the minimum is known. They want
float64: ``with jax.enable_x64(True)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.problems import small, variable
from benchmarks.problems.problem import CLOSE, ZERO, Problem, Residuals, tolerance

__all__ = ["CLOSE", "PROBLEMS", "VARIANTS", "ZERO", "Problem", "tolerance"]


def _problem(
    number: int,
    name: str,
    residuals: Residuals,
    start: Sequence[float] | np.ndarray,
    m: int,
    minima: dict[float, str] | None = None,
    others: tuple[float, ...] = (),
    note: str = "",
) -> Problem:
    minima = {0.0: "0"} if minima is None else minima
    start = np.asarray(start, np.float64)
    return Problem(
        name, number, residuals, start, m, tuple(minima), tuple(minima.values()), others, note
    )


def _steps(n: int) -> np.ndarray:
    """1/(n + 1), 2/(n + 1), ... n/(n + 1)."""
    return np.arange(1, n + 1) / (n + 1)


def _linear(n: int, m: int) -> tuple[Problem, ...]:
    full, one, zeros = (
        m - n,
        m * (m - 1) / (2 * (2 * m + 1)),
        (m**2 + 3 * m - 6) / (2 * (2 * m - 3)),
    )
    ones = np.ones(n)
    return (
        _problem(32, "linear, full rank", variable.linear_full_rank(m), ones, m, {full: "m - n"}),
        _problem(
            33,
            "linear, rank 1",
            variable.linear_rank_1(m),
            ones,
            m,
            {one: "m (m - 1) / (2 (2 m + 1))"},
        ),
        _problem(
            34,
            "linear, rank 1 with zero columns and rows",
            variable.linear_rank_1_with_zeros(m),
            ones,
            m,
            {zeros: "(m^2 + 3 m - 6) / (2 (2 m - 3))"},
        ),
    )


PROBLEMS = (
    _problem(1, "rosenbrock", small.rosenbrock, [-1.2, 1], 2),
    _problem(
        2,
        "freudenstein and roth",
        small.freudenstein_roth,
        [0.5, -2],
        2,
        {0.0: "0", 48.98425367924: "48.9842..."},
    ),
    _problem(3, "powell badly scaled", small.powell_badly_scaled, [0, 1], 2),
    _problem(4, "brown badly scaled", small.brown_badly_scaled, [1, 1], 3),
    _problem(5, "beale", small.beale, [1, 1], 3),
    _problem(
        6,
        "jennrich and sampson",
        small.jennrich_sampson,
        [0.3, 0.4],
        10,
        {124.3621823556: "124.362..."},
    ),
    _problem(7, "helical valley", small.helical_valley, [-1, 0, 0], 3),
    _problem(
        8,
        "bard",
        small.bard,
        [1, 1, 1],
        15,
        {8.214877306579e-3: "8.21487...e-3"},
        (17.42869333333,),
        "the paper also lists 17.4286..., approached as x2 and x3 go to -infinity",
    ),
    _problem(
        9, "gaussian", small.gaussian, [0.4, 1, 0], 15, {1.127932769619e-8: "1.12793...e-8"}
    ),
    _problem(
        10,
        "meyer",
        small.meyer,
        [0.02, 4000, 250],
        16,
        {87.94585517068: "87.9458..."},
        note="badly scaled: rounding alone leaves a gradient of 1e-2 or more at the minimum",
    ),
    _problem(
        11,
        "gulf research and development",
        small.gulf,
        [5, 2.5, 0.15],
        99,
        note=(
            "the paper prints |y m i x2| where |y - x2| makes its minimum of 0 at (50, 25,"
            " 1.5) true"
        ),
    ),
    _problem(12, "box three-dimensional", small.box, [0, 10, 20], 10),
    _problem(
        13,
        "powell singular",
        small.powell_singular,
        [3, -1, 0, 1],
        4,
        note="the Hessian at 0 has rank 2",
    ),
    _problem(14, "wood", small.wood, [-3, -1, -3, -1], 6),
    _problem(
        15,
        "kowalik and osborne",
        small.kowalik_osborne,
        [0.25, 0.39, 0.415, 0.39],
        11,
        {3.075056038492e-4: "3.07505...e-4"},
        (1.027343048695e-3,),
        "the paper also lists 1.02734...e-3, approached as x1 goes to +, x3 and x4 to -infinity",
    ),
    _problem(
        16,
        "brown and dennis",
        small.brown_dennis,
        [25, 5, -5, -1],
        20,
        {85822.20162636: "85822.2..."},
    ),
    _problem(
        17,
        "osborne 1",
        small.osborne_1,
        [0.5, 1.5, -1, 0.01, 0.02],
        33,
        {5.464894697483e-5: "5.46489...e-5"},
    ),
    _problem(
        18,
        "biggs exp6",
        small.biggs_exp6,
        [1, 2, 1, 1, 1, 1],
        13,
        {5.655649925500e-3: "5.65565...e-3", 0.0: "0"},
        note=(
            "the 0 at (1, 10, 1, 5, 4, 3) is what the data are made from; 5.65564992...e-3"
            " is rounded in the paper"
        ),
    ),
    _problem(
        19,
        "osborne 2",
        small.osborne_2,
        [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5],
        65,
        {4.013773629355e-2: "4.01377...e-2"},
    ),
    _problem(
        20, "watson", variable.watson, np.zeros(6), 31, {2.287670053552e-3: "2.28767...e-3"}
    ),
    _problem(21, "extended rosenbrock", variable.extended_rosenbrock, [-1.2, 1] * 5, 10),
    _problem(22, "extended powell singular", variable.extended_powell, [3, -1, 0, 1] * 3, 12),
    _problem(
        23,
        "penalty 1",
        variable.penalty_1,
        np.arange(1, 11),
        11,
        {7.087651467090e-5: "7.08765...e-5"},
    ),
    _problem(
        24,
        "penalty 2",
        variable.penalty_2,
        np.full(4, 0.5),
        8,
        {9.376293007355e-6: "9.37629...e-6"},
    ),
    _problem(
        25, "variably dimensioned", variable.variably_dimensioned, 1 - np.arange(1, 11) / 10, 12
    ),
    _problem(
        26,
        "trigonometric",
        variable.trigonometric,
        np.full(9, 1 / 9),
        9,
        note=(
            "at most dimensions, descent from the start ends in a local minimum near 1e-5"
            " instead of at 0; not at 9"
        ),
    ),
    _problem(
        27,
        "brown almost-linear",
        variable.brown_almost_linear,
        np.full(10, 0.5),
        10,
        {0.0: "0", 1.0: "1"},
    ),
    _problem(
        28,
        "discrete boundary value",
        variable.discrete_boundary_value,
        _steps(10) * (_steps(10) - 1),
        10,
    ),
    _problem(
        29,
        "discrete integral equation",
        variable.discrete_integral_equation,
        _steps(10) * (_steps(10) - 1),
        10,
    ),
    _problem(30, "broyden tridiagonal", variable.broyden_tridiagonal, -np.ones(10), 10),
    _problem(31, "broyden banded", variable.broyden_banded, -np.ones(10), 10),
    *_linear(5, 10),
    _problem(
        35, "chebyquad", variable.chebyquad, _steps(8), 8, {3.516873725678e-3: "3.51687...e-3"}
    ),
)

VARIANTS = (
    _problem(20, "watson", variable.watson, np.zeros(9), 31, {1.399760138e-6: "1.39976...e-6"}),
    _problem(
        20,
        "watson",
        variable.watson,
        np.zeros(12),
        31,
        {4.7223811e-10: "4.72238...e-10"},
        note="so ill-conditioned that quasi-Newton methods stall above 1e-9",
    ),
    _problem(
        23,
        "penalty 1",
        variable.penalty_1,
        np.arange(1, 5),
        5,
        {2.249977500900e-5: "2.24997...e-5"},
    ),
    _problem(
        24,
        "penalty 2",
        variable.penalty_2,
        np.full(10, 0.5),
        20,
        {2.936605374567e-4: "2.93660...e-4"},
    ),
    _problem(
        26,
        "trigonometric",
        variable.trigonometric,
        np.full(10, 0.1),
        10,
        others=(2.795056121879e-5,),
    ),
    *_linear(5, 50),
    _problem(35, "chebyquad", variable.chebyquad, _steps(9), 9),
    _problem(
        35,
        "chebyquad",
        variable.chebyquad,
        _steps(10),
        10,
        {6.503954800882e-3: "6.50395...e-3"},
        (4.7727136965e-3,),
    ),
)
