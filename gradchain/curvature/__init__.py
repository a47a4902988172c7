"""Second order: products with Hessians and their spectra, directions, line searches, and ``minimize``.

The tools that look at a loss are here by name, ``gradchain.curvature.hessian_vector_product``; transformations and
``minimize`` are ``gradchain.lbfgs`` and so on, like all others.
"""
