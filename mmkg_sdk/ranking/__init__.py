"""The plain statement of a ranking in numpy: scores, ties, known answers. Kernels are measured against it."""
