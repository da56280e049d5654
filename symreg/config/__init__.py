"""Run files: TOML in, checked settings of every stage out."""

from symreg.config.proposals import term_proposals
from symreg.config.runfile import TABLES, dumps, from_dict, load, template, to_dict
from symreg.config.settings import (
    OutputSettings,
    SearchSettings,
    Settings,
    SettingsError,
    TermSettings,
    toml_value,
)
from symreg.fit.loss import LossSettings
from symreg.structures.settings import DataSettings

__all__ = [
    "TABLES",
    "DataSettings",
    "LossSettings",
    "OutputSettings",
    "SearchSettings",
    "Settings",
    "SettingsError",
    "TermSettings",
    "dumps",
    "from_dict",
    "load",
    "template",
    "term_proposals",
    "to_dict",
    "toml_value",
]
