"""The result of ``least_squares``: Jacobian, covariance and standard errors."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.types import Tree
from gradchain.curvature.vectors import to_vector
from gradchain.minimization.result import Result
from gradchain.numerics import decompositions
from gradchain.numerics.arithmetic import safe_divide
from gradchain.searches.damping import column_norms, dot_exactly
from gradchain.tree.mapping import is_traced, upcast
from gradchain.tree.paths import named_leaves


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class LeastSquaresResult(Result):
    r"""The result of ``least_squares``.

    It is a ``Result`` that knows the residuals :math:`r` and their Jacobian :math:`J` at its
    parameters, and so how well the data determine them. Both are those of ``residual_fn``, also
    with a robust loss.

    Attributes:
        residuals: what ``residual_fn`` returns there; ``None`` if the Jacobian was not asked for.
        jacobian_matrix: :math:`J`, of shape (residuals, parameters), in the order of the leaves; of
            a complex array first the real parts, then the imaginary ones.
        bends: of a robust loss the second derivatives with respect to the residuals, by which the
            rows of :math:`J` are weighted; else ``None``.
        at_bound: a tree of bools like the parameters: which of them stand at a bound; ``None``
            without bounds.

    Example:
        >>> import gradchain as gc
        >>> line = lambda p, x, y: p["a"] * x + p["b"] - y
        >>> x, y = jnp.arange(4.0), jnp.array([1.0, 4.1, 6.9, 10.0])
        >>> result = gc.least_squares(line, {"a": 0.0, "b": 0.0}, args=(x, y))
        >>> errors = result.standard_errors()
        >>> print(f"a = {result.params['a']:.3f} ± {errors['a']:.3f}")
        a = 2.980 ± 0.042
        >>> covariance = result.covariance()
        >>> print(f"{covariance['a']['b']:.4f}", result.covariance(flat=True).shape)
        -0.0027 (2, 2)
    """

    residuals: Tree = None
    jacobian_matrix: jax.Array | None = None
    bends: jax.Array | None = None
    at_bound: Tree = None

    @property
    def jacobian(self) -> Tree:
        """The derivatives of each residual with respect to each parameter.

        It is a tree like the residuals whose leaves are trees like the parameters; an array of them
        has the shape of the residuals and then that of the parameters.
        """
        matrix = self._matrix("jacobian")
        return _blocks("jacobian", matrix, self.residuals, self.params)

    def covariance(self, *, absolute_sigma: bool = False, flat: bool = False) -> Tree:
        r"""Covariance of the parameters if data were drawn again.

        .. math::
            C = s^2 (J^T J)^{-1}, \quad s^2 = \frac{2 f(p)}{m - n}

        for :math:`m` residuals and :math:`n` parameters, as by SciPy's ``curve_fit``: good where
        the model is nearly linear within the errors. With a robust loss the rows of :math:`J` are
        weighted by the second derivatives of the loss, which is rough where many data are outliers.

        Nothing is said of a parameter that the data do not determine, because they do not depend on
        it or only on it together with others: its variance is infinite and its covariances are NaN.
        A parameter at a bound does not scatter as others do: all that is said of it is NaN, and the
        others have the covariance that they have while it stays there. If there are no more
        residuals than parameters, :math:`s^2` is unknown and all variances are infinite. Each of
        these is told in a ``UserWarning``, which names the parameters; inside ``jit`` there are
        only the numbers.

        Args:
            absolute_sigma: whether the residuals are in units of their standard errors, so that
                :math:`s^2 = 1`; else it is estimated, and only relative errors matter.
            flat: whether to return one matrix, in the order of the leaves; else a tree like the
                parameters whose leaves are trees like the parameters, as of ``jax.hessian``.

        Raises:
            ValueError: if the Jacobian was not kept, or this is the result of many fits, or a tree
                is wanted for complex parameters.
        """
        matrix = self._estimated("covariance", absolute_sigma)
        return matrix if flat else _blocks("covariance", matrix, self.params, self.params)

    def standard_errors(self, *, absolute_sigma: bool = False, flat: bool = False) -> Tree:
        """Standard errors of the parameters: roots of their variances.

        See ``covariance``, also for the arguments and for infinite errors and NaN.

        Returns:
            A tree like the parameters, or one vector; the error of a complex number has those of
            its real and of its imaginary part.
        """
        matrix = self._estimated("standard_errors", absolute_sigma)
        errors = jnp.sqrt(jnp.diagonal(matrix))
        return errors if flat else to_vector(upcast(self.params))[1](errors)

    def _matrix(self, caller: str) -> jax.Array:
        """The Jacobian of one fit as a matrix."""
        if self.jacobian_matrix is None:
            raise ValueError(
                f"{caller}: the Jacobian was not kept, since this method does not make it. Ask for"
                " it: least_squares(..., jacobian=True)."
            )
        if jnp.ndim(self.code):
            raise ValueError(
                f"{caller}: these are the results of many fits, of shape {jnp.shape(self.code)}."
                f" Take one after another: jax.vmap(lambda result: result.{caller}...)(results)."
            )
        return self.jacobian_matrix

    def _estimated(self, caller: str, absolute_sigma: bool) -> jax.Array:
        """The covariance as a matrix; warns of missing numbers."""
        matrix = self._matrix(caller)
        at_bound = None if self.at_bound is None else _flat_flags(self.at_bound)
        found = _estimate(matrix, self.bends, self.value, at_bound, absolute_sigma)
        if not is_traced([*found, self.code]):
            self._warn(caller, found, len(matrix))
        return found.matrix

    def _warn(self, caller: str, found: Estimate, rows: int) -> None:
        """Say in words which numbers are none, and why."""
        held, free, lost = (np.asarray(x) for x in found[1:])
        words = []
        if not self.success:
            words.append(f"the fit did not converge ({self.status.words})")
        if held.any():
            words.append(f"at a bound, so NaN: {self._names(held)}")
        if lost.any():
            words.append(f"not determined by the data, so infinite: {self._names(lost)}")
        if not free > 0:
            words.append(
                f"{rows} residuals leave nothing to estimate their variance from beside"
                f" {held.size} parameters, so that all errors are infinite"
            )
        if words:
            warnings.warn(f"{caller}: {'; '.join(words)}.", UserWarning, stacklevel=4)

    def _names(self, chosen: np.ndarray) -> str:
        """The paths of chosen parameters, at most five."""
        names = []
        for path, leaf in named_leaves(self.params):
            if leaf is not None:
                parts = ["real", "imag"] if jnp.iscomplexobj(leaf) else [""]
                places = [(part, i) for part in parts for i in np.ndindex(np.shape(leaf))]
                names += [_name(path, part, i) for part, i in places]
        found = [name for name, is_meant in zip(names, chosen, strict=True) if is_meant]
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        return ", ".join(found[:5]) + more


class Estimate(NamedTuple):
    """A covariance, and which of its numbers are none.

    Attributes:
        matrix: the covariance.
        held: which parameters are at a bound.
        freedom: how many more residuals there are than parameters that they determine.
        lost: which parameters the residuals do not determine.
    """

    matrix: jax.Array
    held: jax.Array
    freedom: jax.Array
    lost: jax.Array


@functools.partial(jax.jit, static_argnums=4)
def _estimate(
    jacobian: jax.Array,
    bends: jax.Array | None,
    value: jax.Array,
    held: jax.Array | None,
    absolute_sigma: bool,
) -> Estimate:
    """Covariance by singular values; columns have length 1."""
    rows, columns = jacobian.shape
    held = jnp.zeros(columns, bool) if held is None else held
    free = jnp.where(held[None], 0.0, jacobian)
    eps = jnp.finfo(free.dtype).eps
    if bends is not None:
        free = free * jnp.sqrt(jnp.maximum(bends, eps))[:, None]
    lengths = column_norms(free) if rows else jnp.zeros(columns, free.dtype)
    units = jnp.where(lengths > 0, lengths, 1.0)
    triangle = decompositions.triangle(free / units[None]) if free.size else free
    _, sizes, right = decompositions.svd(triangle)
    is_kept = sizes > 4 * columns * eps * jnp.max(sizes, initial=0.0)
    axes = jnp.where(is_kept[:, None], right, 0.0)
    is_lost = ~held & (jnp.sum(axes**2, 0) < 1 - 100 * columns * eps)
    inverse = safe_divide(axes, jnp.where(is_kept, sizes, 1.0)[:, None]) / units[None]
    freedom = rows - jnp.sum(is_kept)
    variance = safe_divide(2 * value.astype(free.dtype), freedom.astype(free.dtype))
    variance = jnp.where(freedom > 0, variance, jnp.inf)
    if absolute_sigma:
        freedom, variance = jnp.ones_like(freedom), jnp.ones_like(variance)
    scaled = jnp.where(jnp.isfinite(variance), jnp.sqrt(variance), 1.0) * inverse
    covariance = dot_exactly(scaled.T, scaled)
    is_unknown = is_lost | ~(freedom > 0)
    is_none = _in_row_or_column(held | is_unknown)
    covariance = jnp.where(is_none, jnp.nan, covariance)
    is_endless = jnp.diag(is_unknown & ~held)
    return Estimate(jnp.where(is_endless, jnp.inf, covariance), held, freedom, is_lost)


def _in_row_or_column(chosen: jax.Array) -> jax.Array:
    """Places of a matrix in chosen rows or columns."""
    return chosen[:, None] | chosen[None]


def _blocks(caller: str, matrix: jax.Array, outer: Tree, inner: Tree) -> Tree:
    """A matrix as a tree of trees of arrays."""
    down, down_tree = jax.tree.flatten(outer)
    across, across_tree = jax.tree.flatten(inner)
    if any(jnp.iscomplexobj(x) for x in [*down, *across]):
        raise ValueError(
            f"{caller}: complex numbers are two real ones here, which no tree has a place for. Take"
            " the matrix: covariance(flat=True) or jacobian_matrix."
        )
    ends = lambda leaves: np.cumsum([np.size(x) for x in leaves])[:-1]
    rows = zip(down, jnp.split(matrix, ends(down), 0) if down else [], strict=True)

    def row(x: jax.Array, part: jax.Array) -> Tree:
        blocks = jnp.split(part, ends(across), 1) if across else []
        shape = lambda y: np.shape(x) + np.shape(y)
        pairs = zip(across, blocks, strict=True)
        return across_tree.unflatten([block.reshape(shape(y)) for y, block in pairs])

    return down_tree.unflatten([row(x, part) for x, part in rows])


def _flat_flags(tree: Tree) -> jax.Array:
    """The bools of a tree in one vector."""
    parts = [jnp.ravel(x) for x in jax.tree.leaves(tree)]
    return jnp.concatenate(parts) if parts else jnp.zeros(0, bool)


def _name(path: str, part: str, place: tuple[int, ...]) -> str:
    """The name of one real number of a tree."""
    index = "".join(f"[{i}]" for i in place)
    name = f"{path!r}{index}" if path else f"x0{index}"
    return f"{part} {name}" if part else name
