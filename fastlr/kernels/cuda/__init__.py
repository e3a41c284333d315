"""Kernels for NVIDIA GPUs, compiled by Numba-CUDA, and calls of cuBLAS."""
