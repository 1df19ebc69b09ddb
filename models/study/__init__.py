"""Which network, on what, and how trained: the comparison under one protocol."""
