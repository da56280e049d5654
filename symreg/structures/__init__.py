"""Structures with energies, forces and stresses, from any file that ASE reads."""

from symreg.structures.crystals import crystals
from symreg.structures.data import Structures, data_hash
from symreg.structures.distances import isolated_atoms
from symreg.structures.frames import from_atoms
from symreg.structures.proposals import data_in, loss_proposals, proposals
from symreg.structures.report import DataReport, read_structures, survey_structures
from symreg.structures.settings import QUANTITIES, SPLITS, DataSettings
from symreg.structures.split import bootstrap_blocks
from symreg.structures.words import in_words

__all__ = [
    "QUANTITIES",
    "SPLITS",
    "DataReport",
    "DataSettings",
    "Structures",
    "bootstrap_blocks",
    "crystals",
    "data_hash",
    "data_in",
    "from_atoms",
    "in_words",
    "isolated_atoms",
    "loss_proposals",
    "proposals",
    "read_structures",
    "survey_structures",
]
