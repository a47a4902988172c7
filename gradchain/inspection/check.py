"""Check a transformation for the classic mistakes before a run."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator

from gradchain.core.errors import check_params
from gradchain.core.idle import IdlePatternWarning
from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import PositiveInt
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Pair, Params
from gradchain.core.walk import walk
from gradchain.inspection.mistakes import arguments, devices, few_bytes, numbers, order, timing
from gradchain.inspection.mistakes.case import Case, Finding, Search
from gradchain.tree.kinds import trainable_part
from gradchain.tree.mapping import laid_shapes_of, shapes_of

#: What ``check`` runs; the names are those of the findings.
MISTAKES: tuple[Search, ...] = (
    order.no_learning_rate,
    order.two_learning_rates,
    order.sign_twice,
    order.negative_learning_rate,
    order.zero_learning_rate,
    order.infinite_learning_rate,
    order.clip_after_scaling,
    order.decay_before_adaptive,
    order.decay_uphill,
    order.not_the_last,
    order.momentum_twice,
    order.clip_in_groups,
    order.outside_accumulate,
    numbers.not_a_schedule,
    numbers.out_of_range,
    arguments.missing_arguments,
    arguments.unknown_arguments,
    arguments.float16_without_loss_scale,
    arguments.zero_eps,
    devices.reduces_too_late,
    devices.is_not_outermost,
    few_bytes.small_divisors_become_zero,
    few_bytes.copies_lose_their_bits,
    arguments.selects_nothing,
    arguments.empty_group,
    arguments.freezes_everything,
    arguments.decays_vectors,
    timing.still_rising,
    timing.ends_early,
    timing.decay_unfinished,
)


class Findings(list[Finding]):
    """The findings of ``check``, the worst first, printed as lines."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "nothing found"

    def __str__(self) -> str:
        return repr(self)


@checks_numbers
def check(
    tx: GradientTransformation | Pair,
    params: Params | None = None,
    steps: PositiveInt | None = None,
    passes: Collection[str] = ("params",),
) -> Findings:
    """Look for classic mistakes in a transformation.

    A sign turned twice, for example, a clip at the wrong place, a schedule that ends too early.
    Findings are not raised, and nothing is run. The unknown, such as what a foreign pair does, is
    taken to be right; so is the order of members within a recipe of this library. A transformation
    of your own is known by its roles, see ``transform``.

    Args:
        tx: the transformation, most often a whole optimizer.
        params: the parameters or their shapes, for mistakes in which leaves are chosen.
        steps: how many calls of ``update`` the run will make, for mistakes in schedules. Inside
            ``accumulate(tx, every=k)`` every ``k`` of them are one step of a schedule.
        passes: the arguments that ``update`` will be given beside gradients and state:
            ``("params", "value")``.

    Returns:
        A list of findings, each with ``severity`` (``mistake``, ``warning`` or ``note``), ``name``,
        ``member`` and ``message``.

    Raises:
        TypeError: if ``passes`` is a string.
        ValueError: if ``steps`` is less than 1.

    Example:
        >>> import gradchain as gc
        >>> for finding in check(gc.chain(gc.adam(1e-3), gc.scale(-1.0))):
        ...     print(finding.severity, finding.name, finding.member)
        mistake sign_twice scale
    """
    tx = as_transformation(tx, "check: tx")
    if isinstance(passes, str):
        raise TypeError(
            f"check: passes is a collection of names, such as {('params', passes)!r},"
            f" not {passes!r}."
        )
    shapes, found = None, Findings()
    try:  # whatever a member may raise is a finding
        parts = list(walk(tx))
    except Exception as error:
        return Findings([_does_not_fit(f"it cannot be made: {error}")])
    try:
        if params is not None:
            check_params(params)
            shapes = shapes_of(trainable_part(params))
            parts = list(walk(tx, None, shapes))
            # Of patterns that fit no path: they are findings here.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", IdlePatternWarning)
                tx.init(laid_shapes_of(trainable_part(params)))
    except Exception as error:
        found.append(_does_not_fit(f"init fails for these parameters: {error}"))
        shapes = None
    case = Case(tx, parts, shapes, steps, passes)
    found += _search_all(case)
    order = ("mistake", "warning", "note")
    return Findings(sorted(found, key=lambda finding: order.index(finding.severity)))


def _search_all(case: Case) -> Iterator[Finding]:
    """The findings of all searches; a failure is one more."""
    failed = {}
    for search in MISTAKES:
        try:
            for severity, *rest in search(case):
                yield Finding(severity, search.__name__, *rest)
        except Exception as error:
            failed[search.__name__] = error
    if failed:
        (first, error), *_ = failed.items()
        others = f", nor {len(failed) - 1} others" if len(failed) > 1 else ""
        yield _does_not_fit(f"{first} cannot be looked for{others}: {error}")


def _does_not_fit(message: str) -> Finding:
    return Finding("mistake", "does_not_fit", "", message)
