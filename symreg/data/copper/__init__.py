"""Copper: DFT energies, forces and stresses, and the script that labels them."""
