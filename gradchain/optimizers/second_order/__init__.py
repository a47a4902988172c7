"""Optimizers that use curvature, one algorithm a file."""
