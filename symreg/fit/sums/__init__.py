"""Kinds of sums for discovery: addends over neighbours, and values on rows of labels."""
