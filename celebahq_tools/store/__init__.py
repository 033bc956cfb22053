"""The multi-resolution HDF5 dataset: layout, writer and reader."""
