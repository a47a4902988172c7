"""Second order: products with Hessians and their spectra, directions, line searches, and ``minimize``.

The tools that look at a loss are here by name, ``gradchain.curvature.hessian_vector_product``; transformations and
``minimize`` are ``gradchain.lbfgs`` and so on, like all others.
"""

from gradchain.curvature import scipy as scipy
from gradchain.curvature.density import SpectralDensity as SpectralDensity
from gradchain.curvature.density import spectral_density as spectral_density
from gradchain.curvature.diagonals import diagonal as diagonal
from gradchain.curvature.diagonals import gauss_newton_diagonal as gauss_newton_diagonal
from gradchain.curvature.diagonals import hessian_diagonal as hessian_diagonal
from gradchain.curvature.diagonals import hessian_trace as hessian_trace
from gradchain.curvature.diagonals import trace as trace
from gradchain.curvature.estimates import Estimate as Estimate
from gradchain.curvature.fisher import empirical_fisher_diagonal as empirical_fisher_diagonal
from gradchain.curvature.fisher import empirical_fisher_operator as empirical_fisher_operator
from gradchain.curvature.fisher import empirical_fisher_vector_product as empirical_fisher_vector_product
from gradchain.curvature.fisher import fisher_diagonal as fisher_diagonal
from gradchain.curvature.fisher import fisher_operator as fisher_operator
from gradchain.curvature.fisher import fisher_vector_product as fisher_vector_product
from gradchain.curvature.krylov import ConjugateGradientInfo as ConjugateGradientInfo
from gradchain.curvature.krylov import conjugate_gradient as conjugate_gradient
from gradchain.curvature.products import Linearization as Linearization
from gradchain.curvature.products import dense as dense
from gradchain.curvature.products import gauss_newton_operator as gauss_newton_operator
from gradchain.curvature.products import gauss_newton_vector_product as gauss_newton_vector_product
from gradchain.curvature.products import hessian_operator as hessian_operator
from gradchain.curvature.products import hessian_vector_product as hessian_vector_product
from gradchain.curvature.products import jacobian_vector_product as jacobian_vector_product
from gradchain.curvature.products import linearization as linearization
from gradchain.curvature.products import vector_jacobian_product as vector_jacobian_product
from gradchain.curvature.spectrum import ExtremeEigenvalues as ExtremeEigenvalues
from gradchain.curvature.spectrum import Lanczos as Lanczos
from gradchain.curvature.spectrum import PowerIteration as PowerIteration
from gradchain.curvature.spectrum import RitzPairs as RitzPairs
from gradchain.curvature.spectrum import extreme_eigenvalues as extreme_eigenvalues
from gradchain.curvature.spectrum import lanczos as lanczos
from gradchain.curvature.spectrum import power_iteration as power_iteration
from gradchain.curvature.spectrum import ritz_pairs as ritz_pairs
from gradchain.curvature.spectrum import sharpness as sharpness
from gradchain.trees import rademacher_like as rademacher_like
