"""Argon: DFT curve and clusters, CCSD(T) reference curve, and the script that made them."""
