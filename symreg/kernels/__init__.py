"""Numba loops: elementary functions, programs over blocks of rows, and sums over pairs."""
