"""The page for reading traces: server-rendered, read-only, on loopback (`tracemill view`)."""
