"""Candidates in, errors out: batches for compiled code, the exact path, losses and errors."""

from symreg.scoring.errors import errors, training_loss
from symreg.scoring.exact import ExactPath, Prediction
from symreg.scoring.packing import pack, tree_arrays

__all__ = ["ExactPath", "Prediction", "errors", "pack", "training_loss", "tree_arrays"]
