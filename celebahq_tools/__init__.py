"""Dataset construction: photographs flow through source, restore, align, rank and store."""

__version__ = "0.1.0"
