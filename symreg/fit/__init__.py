"""Fitting: the projected design, compiled programs, the solver, the exact path, errors."""
