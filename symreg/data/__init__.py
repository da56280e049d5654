"""Data sets that come with symreg."""
