"""Transformations around other transformations.

They change the gradients that go in, the updates that come out, or the weights to evaluate with.
"""
