"""The use cases: check, run, resume, cancel, decide, inspect. Every door calls only what is in here."""

from weft.app.requests import cancel, decide
from weft.app.running import NOBODY, Audience, Outcome, Request, resume, run

__all__ = ["NOBODY", "Audience", "Outcome", "Request", "cancel", "decide", "resume", "run"]
