"""Settings of fits to argon, and their numbers and residuals by NumPy."""

import numpy as np

from symreg.fit.loss import LossSettings
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import Cutoff

R0 = 3.8
EPSILON, SIGMA = 0.0104, 3.4  # of argon_images
CUTOFF = Cutoff(kind="septic", r_cut=6.5, r_on=4.5)
LOSS = LossSettings(sigma_energy=0.002, sigma_forces=0.02, sigma_stress=1e-3)
AR = Key.of("Ar", "Ar")
START = {"a": 6.0, "b": 1.0, "s": 0.95}


def terms(*texts):
    return tuple(Term.at(AR, AR.parse(text, START)) for text in texts)


def numbers(expression):
    """Weights, then constants."""
    constants = [c for term in expression.terms for c in term.constants]
    return np.array([*expression.weights, *constants])


def with_numbers(expression, values):
    values, made = list(map(float, values)), []
    weights, values = values[: len(expression.terms)], values[len(expression.terms) :]
    for term in expression.terms:
        count = len(term.constants)
        made.append(term.with_constants(values[:count]))
        values = values[count:]
    return Expression(tuple(made), tuple(weights))


def residual(fitter, expression):
    """Weighted errors by numpy, without the compiled programs."""
    nodes, problem = fitter.design.nodes / fitter.design.r0, fitter.problem
    values = np.zeros_like(nodes)
    for term, weight in expression.weighted():
        k = fitter.design.keys.index(term.key)
        values[k] += weight * term.tree(nodes[k])
    return problem.matrix @ values.ravel() - problem.target
