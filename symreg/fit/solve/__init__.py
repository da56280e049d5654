"""Least squares: weights eliminated, constants fitted by Levenberg-Marquardt."""
