"""Frequency-spectrum quality score."""
