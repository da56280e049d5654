"""Formats that people keep structures in, each with its own traps."""
