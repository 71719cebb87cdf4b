"""Postgres owns the work: tables, named queries, views for people. Knows `tracemill` only."""
