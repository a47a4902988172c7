"""Recipes: the optimizers of the field, put together from transformations."""
