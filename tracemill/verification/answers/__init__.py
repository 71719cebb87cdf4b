"""The final answer of a trace: extracted, and compared with the gold answer."""
