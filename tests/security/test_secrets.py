"""P10: a secret is in nothing that a run writes, says or shows, and those it is meant for get it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hostile.project import WEFT, Project, Said, clean_environment
from hostile.server import Echo
from security.canaries import ALL, FRONT, LONG, ODD, PLAIN, SECRETS, found_in, leaks

EVERYWHERE = """
<source:value id="config">{plain: "{{ $config.given }}", given: "{{ input.argument }}"}</source:value>
<set var="kept" value="{{ $secrets.ODD }}"/>
<context id="more"><set key="a" value="{{ $secrets.LONG }}"/></context>
<transform:template id="text">Bearer {{ $secrets.PLAIN }} and {{ $context.kept }}</transform:template>
<transform:value id="forms">[$secrets.ODD, json_encode($secrets.ODD), url_encode($secrets.ODD),
  base64_encode($secrets.ODD), base64_encode('x' + $secrets.ODD + 'yz'), base64_encode('xy' + $secrets.ODD),
  {deep: [$secrets.LONG], hyphens: split($secrets.LONG, '-')}]</transform:value>
<transform:value id="as_key">from_entries([[$secrets.PLAIN, 1], ['x' + $secrets.PLAIN, $secrets.ODD]])</transform:value>
<transform:value id="large">map(range(3000), i => to_text(i) + ' ' + $secrets.PLAIN)</transform:value>
<transform:map id="mapped" input="large">upper('') + $item</transform:map>
<transform:reduce id="reduced" input="forms" initial="''">$acc + to_text($item)</transform:reduce>
<foreach id="each" collection="[$secrets.PLAIN, $secrets.ODD, $secrets.LONG]" concurrency="2">
  <command id="inner"><env>K: "{{ $item }}"</env>printf '%s' "$K"</command>
</foreach>
<parallel id="both" merge="concat">
  <branch><transform:value id="left">[$secrets.PLAIN]</transform:value></branch>
  <branch><transform:value id="right">{k: $secrets.ODD}</transform:value></branch>
</parallel> <if id="choose" condition="length($secrets.LONG) > 3"><then><transform:value
id="then">$secrets.LONG</transform:value></then></if> <loop id="round" max="2"><set var="grown" value="{{
$secrets.PLAIN }}{{ $iteration }}"/></loop> <command id="prints">
  <env>
    A: "{{ $secrets.PLAIN }}"
    B: "{{ $secrets.ODD }}"
  </env>
  printf '%s' "${A%%7f3*}"; sleep 0.05; printf '%s\\n' "7f3${A#*7f3}"
  printf '%s\\n' "$B" >&2; printf '%s' "$B" | base64 -w0; printf ' x%s' "$B" | base64 -w0
</command>
<command id="stdin"><stdin>{{ $secrets.LONG }}</stdin>cat</command>
<python id="gives"><args>{k: "{{ $secrets.ODD }}", l: "{{ $secrets.LONG }}"}</args>
```python
import sys
def main(k, l, ctx):
    print(k); print(repr(l), file=sys.stderr); ctx.log("log", k)
    return {"k": k, "nested": [[l]], "bytes": list(k.encode())}
```
</python>
<python id="raises"><args>{k: "{{ $secrets.ODD }}", l: "{{ $secrets.LONG }}"}</args>
```python
def main(k, l):
    try:
        raise KeyError(k)
    except KeyError as error:
        raise RuntimeError(f"could not: {l!r}") from error
```
<on-error><fallback><transform:value id="instead">$error.message</transform:value></fallback></on-error></python>
<source:http id="asks" url="URL/echo" method="POST"><headers>X-Key: "{{ $secrets.PLAIN }}"</headers>
  <json>{k: "{{ $secrets.ODD }}"}</json><params>{q: "{{ $secrets.PLAIN }}"}</params></source:http>
<source:http id="refused" url="URL/status/403?k={{ $secrets.PLAIN }}" on-failure="continue">
  <headers>Authorization: "Bearer {{ $secrets.PLAIN }}"</headers></source:http>
<sink:http id="sends" url="URL/echo" input="forms"/>
<command id="fails" on-failure="continue"><env>K: "{{ $secrets.ODD }}"</env>echo "no: $K" >&2; exit 3</command>
<transform:value id="wrong" on-failure="continue">$secrets.LONG * 2</transform:value>
<source:file id="missing" path="../{{ $secrets.LONG }}" on-failure="continue"/>
<sink:file id="saved" input="forms" path="out/forms.json"/>
<command id="gate" needs="NEEDS">
  <env>K: "{{ $secrets.ODD }}"</env>
  printf '%s' "$K" > out/before; while ! test -e open; do sleep 0.02; done; printf '%s' "$K" > out/after
</command>
<transform:value id="all" needs="gate">[config, text, forms, as_key, large, mapped, reduced, each, both, then,
  $context.grown, prints, stdin, gives, raises, asks, sends]</transform:value>
<sink:file id="everything" input="all" path="out/all.json"/>
"""
NEEDS = "mapped reduced each both choose round prints stdin gives raises asks refused sends fails wrong missing saved"
EVERYWHERE = EVERYWHERE.replace("NEEDS", NEEDS)
GIVEN = "config: {given: x}\ninput: {argument: string}\n"
ARGUMENTS = ("--set", f"given={ODD}", "--input", json.dumps({"argument": LONG}))


class Watcher(threading.Thread):
    """Reads the titles of all processes until told to stop; remembers those with a canary in them."""

    def __init__(self, spared: set[int]) -> None:
        super().__init__(daemon=True)
        self.found: dict[str, str] = {}
        self.seen = 0
        self._spared = spared
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.005):
            for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - called 200 times a second
                try:
                    title = Path(f"/proc/{name}/cmdline").read_bytes()
                except OSError:
                    continue
                self.seen += 1
                if int(name) not in self._spared and (found := found_in(title)):
                    self.found[name] = f"{title[:200]!r}: {found}"

    def __enter__(self) -> Watcher:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.join()


def wait_for(path: Path, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "it ended before it came there"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(project: Project, *args: str, scratch: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*WEFT, *args],
        cwd=project.folder,
        env=clean_environment({**SECRETS, "TMPDIR": str(scratch), **(env or {})}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def looked_at(project: Project) -> list[Said]:
    """Everything there is to see of the last run."""
    views = [
        ("show", "last"),
        ("show", "last", "--json"),
        ("show", "last", "--events"),
        ("show", "last", "--events", "--json"),
        ("logs", "last"),
        ("logs", "last", "prints"),
        ("why", "last", "prints"),
        ("why", "last", "wrong"),
        ("runs",),
        ("runs", "--json"),
    ]
    said = [project.cli(*view, env=dict(SECRETS)) for view in views]
    said += [project.cli(*view) for view in views[:4]]
    assert all(one.code == 0 for one in said), [(one.code, one.text) for one in said if one.code]
    return said


def test_the_search_finds_every_form_it_is_meant_to_find(tmp_path: Path) -> None:
    for form in ALL:
        assert found_in(b"x" + form + b"y")
    (tmp_path / "blob").write_bytes(b"..." + ODD.encode().hex().encode())
    assert list(leaks(tmp_path)) == [str(tmp_path / "blob")]
    assert not leaks(tmp_path, spare=[tmp_path / "blob"])


def test_no_byte_of_a_run_that_was_killed_and_resumed_has_a_secret(
    project: Project, server: Echo, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (project.folder / "out").mkdir()
    document = project.write(EVERYWHERE.replace("URL", server.url), FRONT + GIVEN)
    meant = [project.folder / "out" / name for name in ("before", "after", "forms.json", "all.json")]
    first = start(project, "run", str(document), "--json", *ARGUMENTS, scratch=scratch)
    with Watcher({first.pid}) as watcher:  # whose own arguments have the values of --set and --input
        try:
            wait_for(project.folder / "out" / "before", first)
            assert not leaks(project.folder, scratch, spare=meant)
        finally:
            first.send_signal(signal.SIGKILL)
            said = b"".join(first.communicate())
        (project.folder / "open").touch()
        again = start(project, "resume", "last", "--json", scratch=scratch)
        out, err = again.communicate(timeout=60)
    assert again.returncode == 2, (out[-500:], err)
    assert watcher.seen
    assert watcher.found == {}
    assert found_in(said + out + err) == set()
    assert leaks(project.folder, scratch, spare=meant) == {}
    for one in looked_at(project):
        assert found_in(one.out + one.err) == set()

    nodes = json.loads(out)["nodes"]
    assert {path for path, node in nodes.items() if node["status"] == "failed"} == {
        "refused",
        "fails",
        "wrong",
        "missing",
    }
    assert (project.folder / "out" / "after").read_text() == ODD
    whole = json.loads((project.folder / "out" / "all.json").read_text())
    whole[-1] = whole[-1]["body"]
    assert whole == expected()


def expected() -> list[Any]:
    """What `all` is, secrets and all."""
    from base64 import b64encode
    from urllib.parse import quote

    def base64(text: str) -> str:
        return b64encode(text.encode()).decode()

    encoded = json.dumps(ODD, ensure_ascii=False)
    forms = [ODD, encoded, quote(ODD, safe=""), base64(ODD), base64(f"x{ODD}yz"), base64(f"xy{ODD}")]
    forms.append({"deep": [LONG], "hyphens": LONG.split("-")})
    last = json.dumps(forms[-1], ensure_ascii=False, separators=(",", ":"))
    large = [f"{number} {PLAIN}" for number in range(3000)]
    return [
        {"plain": ODD, "given": LONG},
        f"Bearer {PLAIN} and {ODD}",
        forms,
        {PLAIN: 1, f"x{PLAIN}": ODD},
        large,
        large,
        "".join(forms[:-1]) + last,
        [PLAIN, ODD, LONG],
        [PLAIN, {"k": ODD}],
        LONG,
        f"{PLAIN}1",
        f"{PLAIN}\n{base64(ODD)}{base64(f' x{ODD}')}",
        LONG,
        {"k": ODD, "nested": [[LONG]], "bytes": list(ODD.encode())},
        "could not: '***'",
        {"k": ODD},
        forms,
    ]


ERRORS = {
    "arithmetic": "<transform:value id='n'>$secrets.LONG * 2</transform:value>",
    "odd": "<transform:value id='n'>$secrets.ODD * 2</transform:value>",
    "in a list": "<transform:value id='n'>[1, {a: $secrets.LONG}] - 2</transform:value>",
    "as an index": "<transform:value id='n'>[1][$secrets.LONG]</transform:value>",
    "in a lambda": "<transform:value id='n'>sort_by([$secrets.LONG], x => x * 2)</transform:value>",
    "not JSON": "<transform:value id='n'>json_decode($secrets.LONG)</transform:value>",
    "not a time": "<transform:value id='n'>parse_time($secrets.ODD)</transform:value>",
    "not a number": "<transform:value id='n'>to_number($secrets.LONG)</transform:value>",
    "not a pattern": "<transform:value id='n'>test('x', '(' + $secrets.LONG)</transform:value>",
    "a path": "<source:file id='n' path='{{ $secrets.ODD }}'/>",
    "a path outside": "<source:file id='n' path='../{{ $secrets.LONG }}/x'/>",
    "a pattern": "<source:files id='n' pattern='../{{ $secrets.LONG }}/*'/>",
    "a URL": "<source:http id='n' url='http://127.0.0.1:1/{{ $secrets.LONG }}'/>",
    "no URL": "<source:http id='n' url='{{ $secrets.ODD }}'/>",
    "a host": "<source:http id='n' url='http://169.254.1.1/{{ $secrets.PLAIN }}'/>",
    "a header": "<source:http id='n' url='http://127.0.0.1:1/'><headers>X: \"{{ $secrets.LONG }}\\n\"</headers></source:http>",
    "an argument": '<command id=\'n\'><argv>["echo", "{{ $secrets.LONG }}"]</argv></command>',
    "a program": "<command id='n'><argv>[\"{{ $secrets.ODD }}\"]</argv></command>",
    "a folder": "<command id='n' cwd='{{ $secrets.ODD }}'>true</command>",
    "an exit code": "<command id='n' expect='{{ $secrets.LONG }}'>true</command>",
    "a variable": '<command id=\'n\'><env>{"A=": "{{ $secrets.ODD }}"}</env>true</command>',
    "a duration": "<delay id='n' duration='{{ $secrets.LONG }}'/>",
    "no JSON": "<transform:template id='n' format='json'>{{ $secrets.LONG }}</transform:template>",
    "no YAML": "<transform:template id='n' format='yaml'>[{{ $secrets.LONG }}</transform:template>",
    "an exception": (
        "<python id='n'><args>{k: \"{{ $secrets.ODD }}\"}</args>\n```python\ndef main(k):\n    raise KeyError(k)\n```\n</python>"
    ),
    "standard error": '<command id=\'n\'><env>K: "{{ $secrets.LONG }}"</env>printf %s "$K" >&amp;2; exit 3</command>',
}


@pytest.mark.parametrize("name", ERRORS)
def test_no_error_shows_a_secret_or_the_beginning_of_one(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for secret, value in SECRETS.items():
        monkeypatch.setenv(secret, value)
    outcome = project.run(ERRORS[name], FRONT)
    assert outcome.exit_code == 1
    [error] = outcome.result.errors
    assert error.error.message
    assert found_in(repr(outcome.result).encode()) == set()
    assert leaks(project.folder) == {}


def test_a_secret_as_an_argument_of_a_command_is_refused_before_anybody_can_see_it(project: Project) -> None:
    said = project.cli_run(
        '<command id=\'n\'><argv>["touch", "{{ $secrets.PLAIN }}"]</argv></command>', FRONT, env=dict(SECRETS)
    )
    assert said.code == 1
    assert said.json["errors"][0]["message"] == (
        "setting 'argv': argument 1 has a secret in it, which every user of this machine could read (give it through env or stdin)"
    )
    assert leaks(project.folder) == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            None,
            "weft: the secret PLAIN is not there\nhint: set it in the environment, or in a file named by --env-file\n",
        ),
        ("", "weft: the secret PLAIN is empty\nhint: set it in the environment, or in a file named by --env-file\n"),
        (
            "abcde",
            "weft: the secret PLAIN has fewer than 6 characters\nhint: hiding so short a text would hide ordinary text, too\n",
        ),
    ],
)
def test_a_missing_or_short_secret_is_refused_before_anything_runs(
    project: Project, value: str | None, message: str
) -> None:
    said = project.cli_run("<command id='n'>touch ran</command>", "secrets: [PLAIN]", env={"PLAIN": value})
    assert (said.code, said.out, said.text) == (65, b"", message)
    assert not (project.folder / "ran").exists()
    assert not (project.folder / ".weft").exists()


def test_values_that_mask_alike_still_reach_those_they_are_meant_for(
    project: Project, server: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret, value in SECRETS.items():
        monkeypatch.setenv(secret, value)
    outcome = project.run(
        f"""
        <transform:value id="stars">['***', $secrets.PLAIN, '***' + $secrets.PLAIN + '***']</transform:value>
        <sink:http id="sent" url="{server.url}/echo" input="stars"><headers>X-Key: "{{{{ $secrets.PLAIN
        }}}}"</headers></sink:http> <sink:file id="file" input="stars" path="stars.json"/> """,
        FRONT,
    )
    assert outcome.exit_code == 0
    real = ["***", PLAIN, f"***{PLAIN}***"]
    assert json.loads((project.folder / "stars.json").read_text()) == real
    assert json.loads(server.asked[0].body) == real
    assert server.asked[0].headers["x-key"] == PLAIN
    assert outcome.result.nodes["stars"].output == ["***", "***", "*********"]
