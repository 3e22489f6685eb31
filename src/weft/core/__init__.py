"""All decisions, and nothing else: no clock, no loop, no I/O, no values."""
