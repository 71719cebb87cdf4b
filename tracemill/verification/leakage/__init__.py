"""Phrases in a trace that reveal its prompt: a hint with the answer, or an order to be wrong."""
