"""The solver: weights eliminated, constants by Levenberg-Marquardt."""
