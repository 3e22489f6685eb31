"""The same workflows in other engines, each in processes of its own with the interpreter of another environment.

`python -m bench.peers [name...]`. A peer is a module of this package that speaks through `cases`; it imports nothing
of ours. What is missing, fails or takes too long is a row that says so.
"""
