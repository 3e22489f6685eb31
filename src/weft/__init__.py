"""Weft: many steps at once, safely, and nothing forgotten.

The public names, and nothing else. Each is imported when it is first used, so that `import weft` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from weft import undo as undo
    from weft.budget import Budget as Budget
    from weft.cancellation import CancellationToken as CancellationToken
    from weft.engine.context import TaskContext as TaskContext
    from weft.errors import AttemptError as AttemptError
    from weft.errors import AttemptTimeout as AttemptTimeout
    from weft.errors import BudgetExceeded as BudgetExceeded
    from weft.errors import Cancelled as Cancelled
    from weft.errors import ChangedError as ChangedError
    from weft.errors import CycleError as CycleError
    from weft.errors import DocumentError as DocumentError
    from weft.errors import DuplicateTaskError as DuplicateTaskError
    from weft.errors import EmptyWorkflowError as EmptyWorkflowError
    from weft.errors import ErrorData as ErrorData
    from weft.errors import InputError as InputError
    from weft.errors import NodeFailed as NodeFailed
    from weft.errors import NotFoundError as NotFoundError
    from weft.errors import NotResumableError as NotResumableError
    from weft.errors import OwnedError as OwnedError
    from weft.errors import Skip as Skip
    from weft.errors import TaskBlocked as TaskBlocked
    from weft.errors import UnknownTaskError as UnknownTaskError
    from weft.errors import ValidationError as ValidationError
    from weft.errors import WeftError as WeftError
    from weft.errors import WorkflowFailed as WorkflowFailed
    from weft.fronts.python.combinators import Conditional as Conditional
    from weft.fronts.python.combinators import ParallelTasks as ParallelTasks
    from weft.fronts.python.combinators import Retrying as Retrying
    from weft.fronts.python.combinators import Sequence as Sequence
    from weft.fronts.python.combinators import Timeout as Timeout
    from weft.fronts.python.combinators import TryCatch as TryCatch
    from weft.fronts.python.task import Task as Task
    from weft.policy import Limit as Limit
    from weft.policy import Retry as Retry
    from weft.pool import iter_concurrently as iter_concurrently
    from weft.pool import run_with_concurrency as run_with_concurrency
    from weft.results import Compensated as Compensated
    from weft.results import NodeResult as NodeResult
    from weft.results import RollbackReport as RollbackReport
    from weft.results import RunResult as RunResult
    from weft.results import TaskResult as TaskResult
    from weft.results import TaskResultMetrics as TaskResultMetrics
    from weft.runtimes.registry import register_runtime as register_runtime
    from weft.workflow import Workflow as Workflow
    from weft.workflow import check as check
    from weft.workflow import events as events
    from weft.workflow import load as load
    from weft.workflow import resume as resume
    from weft.workflow import resume_sync as resume_sync
    from weft.workflow import run_document as run_document
    from weft.workflow import run_document_sync as run_document_sync
    from weft.workflow import task as task

_PLACES = {
    "budget": "Budget",
    "cancellation": "CancellationToken",
    "engine.context": "TaskContext",
    "errors": "AttemptError AttemptTimeout BudgetExceeded Cancelled ChangedError CycleError DocumentError "
    "DuplicateTaskError EmptyWorkflowError ErrorData InputError NodeFailed NotFoundError NotResumableError OwnedError "
    "Skip TaskBlocked UnknownTaskError ValidationError WeftError WorkflowFailed",
    "fronts.python.combinators": "Conditional ParallelTasks Retrying Sequence Timeout TryCatch",
    "fronts.python.task": "Task",
    "policy": "Limit Retry",
    "pool": "iter_concurrently run_with_concurrency",
    "results": "Compensated NodeResult RollbackReport RunResult TaskResult TaskResultMetrics",
    "runtimes.registry": "register_runtime",
    "workflow": "Workflow check events load resume resume_sync run_document run_document_sync task",
}
_MODULES = ("testing", "undo")
_WHERE = {name: module for module, names in _PLACES.items() for name in names.split()}
__all__ = sorted(["__version__", *_MODULES, *_WHERE])


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"weft.{name}")
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'weft' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"weft.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
