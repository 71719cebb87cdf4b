"""Phrases that show what a model was told: a hint with the gold answer, or that its reasoning is meant to be wrong."""
