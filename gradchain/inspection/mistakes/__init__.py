"""The classic mistakes in a chain, a function for each.

``gradchain.check`` runs them all.
"""
