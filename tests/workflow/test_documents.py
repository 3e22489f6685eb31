"""Documents from Python: loaded, looked at, run, resumed; with node kinds of one's own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import weft
from weft.event_types import AttemptSucceeded, Event
from weft.runtimes import registry

HEAD = """---
input:
  who: {type: string, default: nobody}
config:
  times: {type: integer, default: 2}
---
"""
BODY = """# A test

<workflow>
<transform:value id="greeting">"hello " + who</transform:value>
<foreach id="each" collection="range($config.times)" needs="greeting">
  <transform:template id="line">{{ greeting.output }} {{ $index }}</transform:template>
</foreach>
<transform:value id="all" needs="each">each.output</transform:value>
</workflow>
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project; the working directory is elsewhere."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "weft.toml").write_text("")
    return folder


def write(project: Path, text: str) -> Path:
    path = project / "doc.flow.md"
    path.write_text(text)
    return path


def test_a_document_is_a_workflow_with_the_same_methods(project: Path) -> None:
    flow = weft.load(write(project, HEAD + BODY))
    assert flow.execution_layers() == [["greeting"], ["each"], ["all"]]
    assert flow.execution_order() == ["greeting", "each", "all"]
    assert list(flow.tasks) == ["greeting", "each", "all"]
    assert flow.critical_path() == ["greeting", "each", "all"]
    assert flow.compensation_coverage() == {"greeting": False, "each": False, "all": False}
    assert "greeting" in flow.to_mermaid()
    result = flow.run(arguments={"who": "you"})
    assert result["all"].output == ["hello you 0", "hello you 1"]
    with pytest.raises(weft.InputError, match="states its own tasks"):
        flow.add_task(lambda: 1, id="more")
    with pytest.raises(weft.InputError, match="states its own order"):
        flow.add_dependency("all", "greeting")


def test_an_empty_document_has_no_layers(project: Path) -> None:
    assert weft.load(write(project, "# Nothing\n\n<workflow>\n</workflow>\n")).execution_layers() == []


def test_run_document_takes_config_and_input(project: Path) -> None:
    path = write(project, HEAD + BODY)
    result = weft.run_document_sync(path, config={"times": 1}, input={"who": "you"})
    assert (result.status, result["all"].output) == ("succeeded", ["hello you 0"])
    assert result.output == ["hello you 0"]
    assert not (project / ".weft").exists(), "nothing is written unless asked"


def test_run_document_is_awaited_in_a_loop_that_runs(project: Path) -> None:
    path = write(project, HEAD + BODY)

    async def main() -> tuple[Any, Any]:
        awaited = await weft.run_document(path)
        return awaited["all"].output, weft.run_document_sync(path)["all"].output

    expected = ["hello nobody 0", "hello nobody 1"]
    assert asyncio.run(main()) == (expected, expected)


def test_a_document_that_is_wrong_is_refused_with_all_its_errors(project: Path) -> None:
    path = write(project, '# A\n\n<workflow>\n<transform:value id="a">b.output</transform:value>\n</workflow>\n')
    (found,) = weft.check(path)
    assert (found.severity, "b" in found.message) == ("error", True)
    with pytest.raises(weft.DocumentError) as raised:
        weft.load(path)
    assert [d.message for d in raised.value.diagnostics] == [found.message]
    assert weft.check(write(project, HEAD + BODY)) == []
    with pytest.raises(weft.NotFoundError):
        weft.load(project / "none.flow.md")
    with pytest.raises(weft.NotFoundError):
        weft.check(project / "none.flow.md")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", [lambda: 7, lambda: None, lambda: weft.Workflow("test").execute()])
def test_what_is_no_path_is_no_document(make: Any) -> None:
    for take in (weft.load, weft.check, weft.run_document_sync):
        with pytest.raises(weft.InputError, match=" is no document") as raised:
            take(make())
        assert raised.value.hint == 'name its file: "etl.flow.md"'
    gc.collect()


def test_an_input_of_the_wrong_type_is_refused_before_anything_runs(project: Path) -> None:
    path = write(project, HEAD + BODY)
    with pytest.raises(weft.InputError, match="times"):
        weft.run_document_sync(path, config={"times": "many"}, journal=project / ".weft")
    with pytest.raises(weft.InputError, match="whom"):
        weft.run_document_sync(path, input={"whom": "you"})


def test_events_of_a_run_are_read_back(project: Path) -> None:
    heard: list[Event] = []
    path = write(project, HEAD + BODY)
    result = weft.run_document_sync(path, journal=project / ".weft", on_event=heard.append)
    found = weft.events(result.run_id, journal=project / ".weft")
    assert found == heard == result.events
    assert [type(event).__name__ for event in found][:: max(1, len(found) - 1)] == ["RunStarted", "RunFinished"]
    assert weft.events("last", journal=project / ".weft") == found
    succeeded = [event.path for event in found if isinstance(event, AttemptSucceeded)]
    assert succeeded[0] == "greeting"
    assert sorted(succeeded[1:3]) == ["each[0]/line", "each[1]/line"]


def test_events_without_a_journal_are_those_of_the_result() -> None:
    with pytest.raises(weft.InputError) as raised:
        weft.events("last", journal=None)
    assert raised.value.hint == "use result.events"


def test_a_failed_document_is_resumed(project: Path) -> None:
    text = '# A\n\n<workflow>\n<command id="a">echo a >> ran; echo a</command>\n' + (
        '<command id="b" needs="a">echo b >> ran; test -e there</command>\n</workflow>\n'
    )
    path = write(project, text)
    journal = project / ".weft"
    failed = weft.run_document_sync(path, journal=journal)
    assert (failed.status, [error.path for error in failed.errors]) == ("failed", ["b"])
    (project / "there").write_text("")
    ended = weft.resume_sync("last", weft.load(path), journal=journal)
    assert ended.status == "succeeded"
    assert (project / "ran").read_text().split() == ["a", "b", "b"]
    flow = weft.Workflow("other")
    flow.add_task(lambda: 1, id="a")
    write(project, text)
    weft.run_document_sync(path, journal=journal)
    with pytest.raises(weft.WeftError):
        weft.resume_sync("last", flow, journal=journal)


def test_readers_of_a_run_that_was_resumed_with_another_document_see_that_one(project: Path) -> None:
    path, journal = project / "edited.flow.md", project / ".weft"
    path.write_text("<workflow>\n<command id='a'>exit 3</command>\n</workflow>\n")
    failed = weft.run_document_sync(path, journal=journal)
    path.write_text("<workflow>\n<command id='a'>echo done</command>\n</workflow>\n")
    ended = weft.resume_sync("last", weft.load(path), journal=journal, accept_changes=True)
    assert (failed.status, ended.status) == ("failed", "succeeded")
    assert (journal / "runs" / ended.run_id / "document.flow.md").read_text() == path.read_text()


def test_what_was_done_in_a_foreach_is_undone_with_its_output(project: Path) -> None:
    path = write(
        project,
        """# A

<workflow>
<foreach id="each" collection="[1, 2]" concurrency="1">
  <command id="book" env='{N: "{{ $item }}"}'>echo "booked $N"
    <compensate><command id="unbook" env='{WHAT: "{{ input }}"}'>echo "un$WHAT" >> log</command></compensate>
  </command>
</foreach>
<command id="bad" needs="each">exit 1</command>
</workflow>
""",
    )
    result = weft.run_document_sync(path, journal=project / ".weft")
    assert result.status == "failed"
    assert (project / "log").read_text().splitlines() == ["unbooked 2", "unbooked 1"]


# -- kinds of one's own -----------------------------------------------------------------------------------------------


class ShoutSettings(msgspec.Struct):
    text: str
    times: int = 1


@pytest.fixture
def shout() -> Iterator[list[Any]]:
    """A kind `acme:shout`, and what its attempts were told."""
    told: list[Any] = []

    @weft.register_runtime
    class Shout:
        kind = "acme:shout"
        settings_type = ShoutSettings

        async def run(self, ctx: Any, settings: ShoutSettings, input: Any) -> str:  # noqa: A002 - the contract's name
            told.append((ctx.path, ctx.attempt, type(settings).__name__))
            if settings.times < 0:
                raise OSError("cannot shout")
            return settings.text.upper() * settings.times

    yield told
    registry._registered.pop("acme:shout", None)


def test_a_document_may_use_a_kind_of_ones_own(project: Path, shout: list[Any]) -> None:
    path = write(project, '# A\n\n<workflow>\n<acme:shout id="it" text="hey" times="2"/>\n</workflow>\n')
    assert weft.check(path) == []
    result = weft.run_document_sync(path)
    assert result["it"].output == "HEYHEY"
    assert shout == [("it", 1, "ShoutSettings")]


def test_a_kind_of_ones_own_fails_like_any_other(project: Path, shout: list[Any]) -> None:
    path = write(project, '# A\n\n<workflow>\n<acme:shout id="it" text="hey" times="-1"/>\n</workflow>\n')
    result = weft.run_document_sync(path)
    assert result.status == "failed"
    (error,) = result.errors
    assert (error.path, error.error.type, error.error.message) == ("it", "OSError", "cannot shout")
    assert isinstance(error.__cause__, OSError)


def test_a_kind_that_nobody_registered_is_an_error_of_the_document(project: Path) -> None:
    path = write(project, '# A\n\n<workflow>\n<acme:whisper id="it" text="hey"/>\n</workflow>\n')
    assert ["acme:whisper" in found.message for found in weft.check(path)] == [True]
