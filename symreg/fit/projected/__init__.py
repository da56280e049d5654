"""Fits on the projected design: whole batches of candidates in compiled code."""
