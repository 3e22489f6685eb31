"""`async` functions on the engine's own loop: no hop, and no protection from code that blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.backends.base import interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Inline:
    """The place of `async` functions. A cancellation is raised inside the function, at its next `await`."""

    async def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Await the function's result. Raises what it raises."""
        try:
            return await function(**arguments)
        except (SystemExit, KeyboardInterrupt) as error:  # asyncio would end the whole loop
            raise interrupted(error) from error
