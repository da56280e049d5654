"""Units that labels are met in by mistake, and elements that do not bind."""

ENERGIES = {
    "Ha": 27.211386,
    "Ry": 13.605693,
    "kcal/mol": 1 / 23.060548,
    "kJ/mol": 1 / 96.485332,
    "meV": 1e-3,
}
"""Units of energy in eV."""
FORCES = {
    "Ha/bohr": 51.422067,
    "Ry/bohr": 25.711034,
    "kcal/mol/Å": 1 / 23.060548,
    "kJ/mol/Å": 1 / 96.485332,
    "meV/Å": 1e-3,
}
"""Units of forces in eV/Å."""
STRESSES = {
    "kBar": 1 / 1602.1766,
    "GPa": 1 / 160.21766,
    "Ha/bohr³": 183.63154,
    "bar": 6.2415e-7,
}
"""Units of stresses in eV/Å³."""
NOBLE = ("He", "Ne", "Ar", "Kr", "Xe", "Rn")
"""Elements whose atoms do not bond."""
UNBONDED = 1.35
"""Distance over the sum of covalent radii beyond which no solid is bound."""
