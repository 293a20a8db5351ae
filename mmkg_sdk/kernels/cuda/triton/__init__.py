"""Triton sources of the CUDA kernels, and what compiles them ahead of time into the image (build.py).

`python -m mmkg_sdk.kernels.cuda.triton.build` needs Triton and no GPU. Answering needs neither Triton nor this folder:
the library launches what `mmkg_cuda.bin` holds. A module of kernels in a room of this folder lists them in a tuple
`KERNELS` of `specs.KernelSpec`.
"""
