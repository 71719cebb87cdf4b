"""Verification: is a trace right, and does its reasoning hold?

- `answers`: extract the final answer, and compare it with the gold answer.
- `reasoning`: steps, equations, grounding of numbers.
- `code`: programs, run against tests in a sandbox.
- `judge`: the LLM verifier.
- `leakage`: phrases that show what a model was told.
"""
