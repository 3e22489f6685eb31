"""The program of a worker process: runs Python code for the engine, call after call.

Self-contained, standard library only, Python 3.8 or later: the document may choose an interpreter in which Weft is not
installed. Nothing is imported that a call does not need.

What the user's code prints goes to the standard descriptors, not to the engine's socket; they are flushed before the
answer. Code is compiled once and run in a new module for each call; modules that it imports stay. Folder, environment
and `sys.path` are put back after each call.

    __main__  the start
    program   the loop: a request, a call, an answer; what a call may change is put back
    calling   from a request to the call of a function, with those of the arguments that it takes
    results   a result as strict JSON
    failing   an exception as data, with the user's frames only
    channel   frames on the engine's socket
"""
