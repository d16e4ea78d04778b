"""Compiled kernels: source templates, measures, the on-disk module cache and the thread pool."""
