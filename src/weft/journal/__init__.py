"""The journal: what has happened in a run, kept so that nothing that was reported is ever lost. See base.py."""
