"""The compiled kernels and their peers at the same work on random numbers."""
