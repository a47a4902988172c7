"""Slow, obvious twins in NumPy float64, written from the formulas of the papers.

A twin of a transformation works on a flat dict from names to arrays and keeps its own state:

    twin = Adam(b1=0.9)
    twin.init(params)
    updates = twin.update(gradients, params)

Its numbers are attributes under the names of the factory's arguments. A twin of a schedule is a
function of the step.
"""
