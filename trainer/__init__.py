"""Rounds: select traces, fit an adapter on them, evaluate it."""
