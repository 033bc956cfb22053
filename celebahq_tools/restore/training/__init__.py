"""Training of the restoration nets: from a folder of photographs to a weight file (docs/restoration-training.md)."""
