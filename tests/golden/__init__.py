"""Trajectories of other implementations, recorded as data: see ``record.py`` for how, the JSON
files for what.
"""
