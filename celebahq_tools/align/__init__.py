"""Landmark-oriented crop: quad, mirror padding with depth-of-field blur, resampling."""
