"""Postgres: tables, named queries and views for people. It imports `tracemill` only."""
