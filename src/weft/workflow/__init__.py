"""The Python door: a workflow of functions, or a document, built, looked at and run.

flow = weft.Workflow("etl")

@flow.task
async def extract() -> list[dict]: ...

@flow.task(retry=3, timeout=30)
def transform(extract): ...            # a parameter named as a task is its output

result = flow.run()                    # or: await flow.execute(...)
"""

from __future__ import annotations

from weft.workflow.documents import LoadedWorkflow, check, load, run_document, run_document_sync
from weft.workflow.loops import in_a_loop_of_its_own
from weft.workflow.options import SCHEDULES, Options, Schedule
from weft.workflow.runs import events, resume, resume_sync
from weft.workflow.tasks import Workflow, task

__all__ = [
    "SCHEDULES",
    "LoadedWorkflow",
    "Options",
    "Schedule",
    "Workflow",
    "check",
    "events",
    "in_a_loop_of_its_own",
    "load",
    "resume",
    "resume_sync",
    "run_document",
    "run_document_sync",
    "task",
]
