"""What the nodes of a plan share while agents run side by side."""

from __future__ import annotations

import pytest

from runtimes.repositories import Sandbox
from weft.runtimes.agent import Ran
from weft.runtimes.planted import Watch, guard, planted, restore

pytestmark = pytest.mark.anyio


async def test_whoever_begins_when_something_was_planted_does_not_put_it_back(sandbox: Sandbox) -> None:
    repository, watch = sandbox.repository, Watch()
    hook = sandbox.top / ".git/hooks/post-checkout"
    with watch.begin(repository) as first:
        before = await first
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\n")
        own = guard(repository.place)  # what the second would take, did it look for itself
        with watch.begin(repository) as second:
            assert await second is before
            restore(before, await planted(repository, before))
        assert not hook.exists()
        assert await planted(repository, await second) == ()
        assert [str(plant) for plant in await planted(repository, own)] == [".git/hooks/post-checkout was removed"]
    hook.write_text("#!/bin/sh\n")  # by the user, when no agent is at work
    with watch.begin(repository) as third:
        assert await planted(repository, await third) == ()


def test_what_an_agent_answers_has_no_character_that_no_prompt_can_have() -> None:
    assert Ran(0, None, False, "a\0b", "", 0.1).text == "a\ufffdb"
    assert Ran(0, None, False, "{}", "", 0.1, answer="a\0b").text == "a\ufffdb"
