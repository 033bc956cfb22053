"""Measurements behind the figures in the docs; run from the root of the repository."""
