"""A stand-in for NVIDIA's driver, for machines without a GPU: what the library launches is run in Triton's interpreter.

The library's C code (arguments, grids, working memory, certificates) and the kernels' sources run for real, together.
What is not tested so: what the compilers make of the sources, what runs at the same time on a GPU, and every time.
"""
