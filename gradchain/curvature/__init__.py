"""The curvature of a loss: matrix products, diagonals, spectra.

The tools that look at a loss are here by name, ``gradchain.curvature.hessian_vector_product``;
second-order optimizers and ``minimize`` are ``gradchain.lbfgs`` and so on, like all others.
"""

from gradchain.curvature.conjugate_gradient import (
    ConjugateGradientInfo as ConjugateGradientInfo,
    conjugate_gradient as conjugate_gradient,
)
from gradchain.curvature.density import (
    SpectralDensity as SpectralDensity,
    spectral_density as spectral_density,
)
from gradchain.curvature.diagonals import (
    diagonal as diagonal,
    gauss_newton_diagonal as gauss_newton_diagonal,
    hessian_diagonal as hessian_diagonal,
    hessian_trace as hessian_trace,
    trace as trace,
)
from gradchain.curvature.estimates import Estimate as Estimate
from gradchain.curvature.fisher import (
    empirical_fisher_diagonal as empirical_fisher_diagonal,
    empirical_fisher_operator as empirical_fisher_operator,
    empirical_fisher_vector_product as empirical_fisher_vector_product,
    fisher_diagonal as fisher_diagonal,
    fisher_operator as fisher_operator,
    fisher_vector_product as fisher_vector_product,
)
from gradchain.curvature.noise_scale import (
    NoiseScale as NoiseScale,
    gradient_noise_scale as gradient_noise_scale,
)
from gradchain.curvature.products import (
    Linearization as Linearization,
    dense as dense,
    gauss_newton_operator as gauss_newton_operator,
    gauss_newton_vector_product as gauss_newton_vector_product,
    hessian_operator as hessian_operator,
    hessian_vector_product as hessian_vector_product,
    jacobian_vector_product as jacobian_vector_product,
    linearization as linearization,
    vector_jacobian_product as vector_jacobian_product,
)
from gradchain.curvature.spectrum import (
    ExtremeEigenvalues as ExtremeEigenvalues,
    Lanczos as Lanczos,
    PowerIteration as PowerIteration,
    RitzPairs as RitzPairs,
    extreme_eigenvalues as extreme_eigenvalues,
    lanczos as lanczos,
    power_iteration as power_iteration,
    ritz_pairs as ritz_pairs,
    sharpness as sharpness,
)
from gradchain.tree.random import rademacher_like as rademacher_like
