"""Where an attempt runs. `base.py` says which places there are and what each guarantees."""
