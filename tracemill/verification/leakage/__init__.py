"""Phrases that reveal the prompt: a hint with the answer, an order to be wrong."""
