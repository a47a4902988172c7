"""The residuals of Moré, Garbow and Hillstrom's 35 problems in plain Python, one at a time as the
paper writes them.

``RESIDUALS[number](x, i, m)`` is the i-th residual, i = 1 ... m. Sums run over indices of the
paper: ``x[1]`` to ``x[n]``, with an unused ``x[0]``.
"""

from math import atan, cos, exp, log, pi, prod, sin, sqrt

import numpy as np

BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.1, 4.39]
GAUSS = [
    9e-4,
    4.4e-3,
    1.75e-2,
    5.4e-2,
    0.1295,
    0.242,
    0.3521,
    0.3989,
    0.3521,
    0.242,
    0.1295,
    5.4e-2,
    1.75e-2,
    4.4e-3,
]
MEYER = "34780 28610 23650 19630 16370 13720 11540 9744 8261 7030 6005 5147 4427 3820 3307 2872"
KOWALIK_U = [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]
KOWALIK_Y = "1957 1947 1735 1600 0844 0627 0456 0342 0323 0235 0246"  # in 1e-4
OSBORNE_1 = """
    844 908 932 936 925 908 881 850 818 784 751 718 685 658 628 603 580
    558 538 522 506 490 478 467 457 448 438 431 424 420 414 411 406"""  # in 1e-3
OSBORNE_2 = """
    1366 1191 1112 1013 991 885 831 847 786 725 746 679 608 655 616 606 602 626 651 724 649 649
    694 644 624 661 612 558 533 495 500 423 395 375 372 391 396 405 428 429 523 562 607 653
    672 708 633 668 645 632 591 559 597 625 739 710 729 720 636 581 428 292 162 98 54"""  # in 1e-3


def table(text, scale=1.0):
    return [None, *(float(word) * scale for word in text.split())]


def size(x):
    return len(x) - 1


def every(x):
    return range(1, size(x) + 1)


def rosenbrock(x, i, m):
    return 10 * (x[2] - x[1] ** 2) if i == 1 else 1 - x[1]


def freudenstein_roth(x, i, m):
    return (
        -13 + x[1] + ((5 - x[2]) * x[2] - 2) * x[2]
        if i == 1
        else -29 + x[1] + ((x[2] + 1) * x[2] - 14) * x[2]
    )


def powell_badly_scaled(x, i, m):
    return 10**4 * x[1] * x[2] - 1 if i == 1 else exp(-x[1]) + exp(-x[2]) - 1.0001


def brown_badly_scaled(x, i, m):
    return [x[1] - 10**6, x[2] - 2e-6, x[1] * x[2] - 2][i - 1]


def beale(x, i, m):
    return [1.5, 2.25, 2.625][i - 1] - x[1] * (1 - x[2] ** i)


def jennrich_sampson(x, i, m):
    return 2 + 2 * i - (exp(i * x[1]) + exp(i * x[2]))


def helical_valley(x, i, m):
    theta = atan(x[2] / x[1]) / (2 * pi) + (0.5 if x[1] < 0 else 0)
    return [10 * (x[3] - 10 * theta), 10 * (sqrt(x[1] ** 2 + x[2] ** 2) - 1), x[3]][i - 1]


def bard(x, i, m):
    u, v, w = i, 16 - i, min(i, 16 - i)
    return BARD[i - 1] - (x[1] + u / (v * x[2] + w * x[3]))


def gaussian(x, i, m):
    t = (8 - i) / 2
    return x[1] * exp(-x[2] * (t - x[3]) ** 2 / 2) - [*GAUSS, 9e-4][i - 1]


def meyer(x, i, m):
    return x[1] * exp(x[2] / (45 + 5 * i + x[3])) - table(MEYER)[i]


def gulf(x, i, m):
    t = i / 100
    y = 25 + (-50 * log(t)) ** (2 / 3)
    return exp(-(abs(y - x[2]) ** x[3]) / x[1]) - t


def box(x, i, m):
    t = 0.1 * i
    return exp(-t * x[1]) - exp(-t * x[2]) - x[3] * (exp(-t) - exp(-10 * t))


def powell_singular(x, i, m):
    return [
        x[1] + 10 * x[2],
        sqrt(5) * (x[3] - x[4]),
        (x[2] - 2 * x[3]) ** 2,
        sqrt(10) * (x[1] - x[4]) ** 2,
    ][i - 1]


def wood(x, i, m):
    first = [10 * (x[2] - x[1] ** 2), 1 - x[1], sqrt(90) * (x[4] - x[3] ** 2), 1 - x[3]]
    return [*first, sqrt(10) * (x[2] + x[4] - 2), (x[2] - x[4]) / sqrt(10)][i - 1]


def kowalik_osborne(x, i, m):
    u = KOWALIK_U[i - 1]
    return table(KOWALIK_Y, 1e-4)[i] - x[1] * (u**2 + u * x[2]) / (u**2 + u * x[3] + x[4])


def brown_dennis(x, i, m):
    t = i / 5
    return (x[1] + t * x[2] - exp(t)) ** 2 + (x[3] + x[4] * sin(t) - cos(t)) ** 2


def osborne_1(x, i, m):
    t = 10 * (i - 1)
    return table(OSBORNE_1, 1e-3)[i] - (x[1] + x[2] * exp(-t * x[4]) + x[3] * exp(-t * x[5]))


def biggs_exp6(x, i, m):
    t = 0.1 * i
    y = exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t)
    return x[3] * exp(-t * x[1]) - x[4] * exp(-t * x[2]) + x[6] * exp(-t * x[5]) - y


def osborne_2(x, i, m):
    t = (i - 1) / 10
    bells = x[2] * exp(-((t - x[9]) ** 2) * x[6]) + x[3] * exp(-((t - x[10]) ** 2) * x[7])
    bells += x[4] * exp(-((t - x[11]) ** 2) * x[8])
    return table(OSBORNE_2, 1e-3)[i] - (x[1] * exp(-t * x[5]) + bells)


def watson(x, i, m):
    if i > 29:
        return x[1] if i == 30 else x[2] - x[1] ** 2 - 1
    t = i / 29
    slope = sum((j - 1) * x[j] * t ** (j - 2) for j in range(2, size(x) + 1))
    return slope - sum(x[j] * t ** (j - 1) for j in every(x)) ** 2 - 1


def extended_rosenbrock(x, i, m):
    return 10 * (x[i + 1] - x[i] ** 2) if i % 2 else 1 - x[i - 1]


def extended_powell(x, i, m):
    first = (i - 1) // 4 * 4
    return powell_singular([None, *x[first + 1 : first + 5]], i - first, 4)


def penalty_1(x, i, m):
    return sqrt(1e-5) * (x[i] - 1) if i <= size(x) else sum(x[j] ** 2 for j in every(x)) - 1 / 4


def penalty_2(x, i, m):
    n = size(x)
    if i == 1:
        return x[1] - 0.2
    if i <= n:
        return sqrt(1e-5) * (
            exp(x[i] / 10) + exp(x[i - 1] / 10) - (exp(i / 10) + exp((i - 1) / 10))
        )
    if i < 2 * n:
        return sqrt(1e-5) * (exp(x[i - n + 1] / 10) - exp(-1 / 10))
    return sum((n - j + 1) * x[j] ** 2 for j in every(x)) - 1


def variably_dimensioned(x, i, m):
    if i <= size(x):
        return x[i] - 1
    return sum(j * (x[j] - 1) for j in every(x)) ** (i - size(x))


def trigonometric(x, i, m):
    return size(x) - sum(cos(x[j]) for j in every(x)) + i * (1 - cos(x[i])) - sin(x[i])


def brown_almost_linear(x, i, m):
    if i == size(x):
        return prod(x[1:]) - 1
    return x[i] + sum(x[1:]) - (size(x) + 1)


def neighbour(x, i):
    """x_i, with x_0 = x_{n+1} = 0."""
    return x[i] if 1 <= i <= size(x) else 0.0


def discrete_boundary_value(x, i, m):
    h = 1 / (size(x) + 1)
    return (
        2 * x[i] - neighbour(x, i - 1) - neighbour(x, i + 1) + h**2 * (x[i] + i * h + 1) ** 3 / 2
    )


def discrete_integral_equation(x, i, m):
    h = 1 / (size(x) + 1)
    before = sum(j * h * (x[j] + j * h + 1) ** 3 for j in range(1, i + 1))
    after = sum((1 - j * h) * (x[j] + j * h + 1) ** 3 for j in range(i + 1, size(x) + 1))
    return x[i] + h * ((1 - i * h) * before + i * h * after) / 2


def broyden_tridiagonal(x, i, m):
    return (3 - 2 * x[i]) * x[i] - neighbour(x, i - 1) - 2 * neighbour(x, i + 1) + 1


def broyden_banded(x, i, m):
    near = [j for j in every(x) if j != i and max(1, i - 5) <= j <= min(size(x), i + 1)]
    return x[i] * (2 + 5 * x[i] ** 2) + 1 - sum(x[j] * (1 + x[j]) for j in near)


def linear_full_rank(x, i, m):
    return (x[i] if i <= size(x) else 0) - 2 / m * sum(x[1:]) - 1


def linear_rank_1(x, i, m):
    return i * sum(j * x[j] for j in every(x)) - 1


def linear_rank_1_with_zeros(x, i, m):
    if i in (1, m):
        return -1
    return (i - 1) * sum(j * x[j] for j in range(2, size(x))) - 1


def chebyquad(x, i, m):
    shifted = np.polynomial.Chebyshev.basis(i, domain=[0, 1])
    return sum(shifted(x[j]) for j in every(x)) / size(x) - (0 if i % 2 else -1 / (i**2 - 1))


RESIDUALS = dict(
    enumerate(
        (
            *(
                rosenbrock,
                freudenstein_roth,
                powell_badly_scaled,
                brown_badly_scaled,
                beale,
                jennrich_sampson,
            ),
            *(
                helical_valley,
                bard,
                gaussian,
                meyer,
                gulf,
                box,
                powell_singular,
                wood,
                kowalik_osborne,
                brown_dennis,
            ),
            *(
                osborne_1,
                biggs_exp6,
                osborne_2,
                watson,
                extended_rosenbrock,
                extended_powell,
                penalty_1,
                penalty_2,
            ),
            *(variably_dimensioned, trigonometric, brown_almost_linear, discrete_boundary_value),
            *(
                discrete_integral_equation,
                broyden_tridiagonal,
                broyden_banded,
                linear_full_rank,
                linear_rank_1,
            ),
            *(linear_rank_1_with_zeros, chebyquad),
        ),
        start=1,
    )
)


def residuals(number, x, m):
    """All m of them, as an array."""
    values = [None, *(float(value) for value in x)]
    return np.array([RESIDUALS[number](values, i, m) for i in range(1, m + 1)])
