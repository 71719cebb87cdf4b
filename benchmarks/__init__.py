"""Reproducible measurements of Tracemill and of comparable programs: `python -m benchmarks.NAME [--quick] [--json]`."""
