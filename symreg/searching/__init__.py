"""Search: individuals, variation, selection, islands, the gate, the exhaustive mode."""
