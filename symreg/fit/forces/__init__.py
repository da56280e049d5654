"""Loops over pairs and triplets: energies, forces and virials."""
