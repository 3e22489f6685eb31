"""Figures of the engine, as ratios to a baseline measured in the same process and run. `python -m bench`."""
