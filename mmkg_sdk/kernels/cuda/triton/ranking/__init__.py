"""Exact top-k and ranks of a table; scan.md says how the kernels follow each other."""
