"""The keeper: a tiny program between the engine and every process it starts.

Why a process of its own. When the engine dies by `kill -9` it runs no line of code, so somebody who is still alive has
to end what it started. A parent-death signal alone does not do: it reaches direct children only, and it fires when the
*thread* that started the child ends. So the engine starts one keeper and asks it over a socket to start everything
else. The keeper is single-threaded, hence it may fork by hand; it is a subreaper, hence every orphan of every command
becomes its own child, whatever `setsid` and double forks were done; it polls the engine's socket and process, hence it
knows at once when the engine is gone. Then it kills all its children until the kernel says there is none left, and
only then lets go of the lock that tells a take-over that the old run's children are gone.

Killing is race-free. Signals go only to process groups whose leader has not been reaped (the main process of a job
stays a zombie until the job has been settled, so its number cannot be given away) and to direct children (nobody else
can reap them). Deeper descendants need not be searched: when their parent dies they become direct children, and the
next round gets them, from the top of the tree down. That also beats what restarts its children.

Children are forked by hand, not with posix_spawn: that is 0.5 ms faster, but cannot set the parent-death signal, which
is all that is left when somebody kills engine and keeper together (`pkill -9 -f weft`).

What it cannot do. A process running as another user (sudo) cannot be signalled: the lock stays held while it lives. If
keeper and engine are both killed at the same moment, direct children still die by the parent-death signal, but their
orphans are found only by the next owner, through the token in their environment. Without /proc and prctl (macOS) only
process groups are known.

It starts in front of the first command of every run, so its start is kept short: the standard library only, and of
that as little as possible. `_socket` and `_signal` are imported because their wrappers import enum, selectors and re
and double the start; the files beside `__main__.py` are imported because what is imported is kept compiled.

    __main__   the start
    program    the loop: what the engine wishes, what the kernel tells
    jobs       a main process, its group, and what came of it
    becoming   what a child does between fork and exec
    wire       frames and descriptors on the engine's socket, and what they say
    processes  what the kernel says of processes, and signals to them; the engine reads with it, too
"""
