"""Commands `celebahq`, `swd` and `pggan`: options, progress bars and printing; no image or network code."""
