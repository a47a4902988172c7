"""Transformations around others: they change what goes in, what comes out, or which weights are
evaluated.
"""
