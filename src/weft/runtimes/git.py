"""Git, called so that nothing an agent left behind is run by us.

An agent works in a work tree, and all work trees of a repository share one `.git`. There it may plant what git runs
on its own: hooks, `core.fsmonitor`, filters, merge and diff drivers, an editor, a signing program, an `include` of
more of it. The names of drivers are free, so no list of `-c name=` options is ever complete; and looking at the
configuration before each call is a race against the agents that run beside us.

So git is not given that configuration at all. `GIT_COMMON_DIR` points to a *view*: a private folder with a
configuration of our own, no hooks, and links to what holds the data: objects, refs, packed-refs, logs, worktrees,
shallow, info. `GIT_DIR` and `GIT_WORK_TREE` are given explicitly: so neither `core.worktree` nor a forged or deleted
`.git` file in a work tree changes what we speak of. The view is checked before each call, and the single-valued
settings are switched off on the command line as well.

Our configuration takes from the user's what is data (names, line ends, `excludesFile`), and filters (git-lfs and its
like, without which a commit would be wrong) only from the system's and the user's own configuration, which no clone
and no agent of a sandbox writes. A filter that only the repository's own configuration has is refused: it cannot be
told from a plant after a crash.

Rejected: `git config` overrides (above); `--attr-source` (git 2.41); a clone per task (twice the disk, and commits
have to be carried over).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from weft.errors import AttemptError, CannotCreateError, DeniedError
from weft.runtimes.failures import GitError

if TYPE_CHECKING:
    import asyncio

    from weft.backends.children import Children

MINIMUM = (2, 39)
CALL_TIMEOUT = 600.0
"""Seconds that one call of git may take."""
ANSWER_LIMIT = 256 * 1024 * 1024
"""Bytes of an answer of git that are held."""
NO_COMMIT = "0" * 40

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_BRANCH = re.compile(r"(?!-)[^\x00-\x20\x7f~^:?*\[\\]+\Z")
_BLANKED = re.compile(r"[\\*?\[ ]")
_ESCAPED = r"\\\g<0>"
"""What has a meaning in a line of `info/exclude`."""
_STATE = {"runs", "plans", "owner.lock", "history.db", "blobs"}
"""What is in a state folder whose .gitignore somebody has deleted."""
_LINKED = ("objects", "refs", "packed-refs", "logs", "worktrees", "shallow")
_SWITCHED_OFF = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.untrackedCache=false", "core.sparseCheckout=false",
    "core.pager=cat", "core.editor=false", "sequence.editor=false", "core.askPass=", "credential.helper=",
    "core.sshCommand=false", "commit.gpgSign=false", "tag.gpgSign=false", "log.showSignature=false",
    "diff.external=", "diff.ignoreSubmodules=dirty", "submodule.recurse=false", "gc.auto=0", "maintenance.auto=false",
    "core.quotePath=false", "advice.detachedHead=false", "protocol.allow=never",
)  # fmt: skip
_DATA = re.compile(
    r"core\.(filemode|symlinks|ignorecase|precomposeunicode|autocrlf|eol|safecrlf|excludesfile|sharedrepository"
    r"|compression|bigfilethreshold|trustctime|checkstat|longpaths)"
    r"|(user|author|committer)\.(name|email)\Z"
)
_FILTER = re.compile(r"filter\..+\.(clean|smudge|process|required)\Z", re.DOTALL)
_OWN = ("system", "global", "command")
_REPOSITORY_ONLY = "GIT_"
"""How the variables begin that bind a process to one repository or make git run programs; none is inherited."""


class Place(msgspec.Struct, frozen=True):
    """A work tree and where git keeps it: `gitdir` is its own, `common` what all work trees of it share."""

    top: str
    gitdir: str
    common: str

    @property
    def main(self) -> bool:
        return self.gitdir == self.common


class Tree(msgspec.Struct, frozen=True):
    """A work tree that calls are about. `branch` is None for one that is nobody's task."""

    path: str
    gitdir: str
    branch: str | None = None


def discover(folder: Path) -> Place:
    """The work tree that `folder` lies in. Runs no program. Raises GitError (`NotARepository`, `Unsupported`)."""
    start = Path(os.path.realpath(folder))
    if not start.is_dir():
        raise GitError(f"there is no folder {os.fspath(folder)!r}", type="NotARepository", hint="check `repo_path`")
    for top in (start, *start.parents):
        if (top / ".git").exists():
            return _place(top)
        if all((top / name).exists() for name in ("HEAD", "objects", "refs")):
            what = "a bare repository, which has no files to work on"
            raise GitError(f"{top} is {what}", type="Unsupported", hint="clone it, and give the clone")
    raise GitError(
        f"{start} is not a git repository", type="NotARepository", hint="run `git init` there and commit what is in it"
    )


def make_state(folder: Path, place: Place) -> None:
    """Make the folder of the runs' own state, which ignores itself. Raises GitError when that leads elsewhere, or is
    somebody else's: all that is in it is invisible to git from then on. Raises CannotCreateError or DeniedError.
    """
    if folder.is_symlink():
        raise GitError(
            f"{folder} is a symbolic link", type="Unsupported", hint="give the folder it leads to as `state_dir`"
        )
    hint = "give a folder of its own as `state_dir`, like .weft"
    real = Path(os.path.realpath(folder))
    if Path(place.top).is_relative_to(real):
        raise GitError(f"the repository is in {folder}, which cannot be its state folder", hint=hint)
    if any(real.is_relative_to(own) for own in (place.common, place.gitdir, str(Path(place.top) / ".git"))):
        raise GitError(f"{folder} is git's own, and cannot be the state folder", hint=hint)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / ".gitignore").exists():
            if not {each.name for each in folder.iterdir()} <= _STATE:
                raise GitError(f"{folder} has other files in it, and cannot be the state folder", hint=hint)
            (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        hint = "let it be written, or give another folder as `state_dir`"
        kind = DeniedError if isinstance(error, PermissionError) else CannotCreateError
        raise kind(f"cannot make {folder}: {(error.strerror or str(error)).lower()}", hint=hint) from None


def _place(top: Path) -> Place:
    gitdir = Path(os.path.realpath(top / ".git"))
    if gitdir.is_file():
        word, _, target = gitdir.read_text("utf-8", "surrogateescape").strip().partition(": ")
        gitdir = Path(os.path.realpath(top / target))
        if word != "gitdir" or not gitdir.is_dir():
            raise GitError(
                f"{top / '.git'} does not lead to a repository", type="NotARepository", hint="`git worktree repair`"
            )
    common = gitdir
    if (gitdir / "commondir").is_file():
        common = Path(os.path.realpath(gitdir / (gitdir / "commondir").read_text("utf-8").strip()))
    missing = [name for name in ("objects", "refs") if not (common / name).is_dir()]
    missing += [] if (gitdir / "HEAD").exists() else ["HEAD"]
    if missing:
        raise GitError(
            f"{common} is not a whole git repository: there is no {missing[0]}",
            type="NotARepository",
            hint="clone it anew, or run `git init` to make one",
        )
    return Place(str(top), str(gitdir), str(common))


class Repository:
    """A git repository with its work trees. Make it with `open_repository`, `close` it at the end.

    All paths in results are relative to the top of their tree, with `/`. Every method that asks git raises GitError.
    """

    def __init__(self, place: Place, children: Children, view: Path, env: Mapping[str, str], state: str | None) -> None:
        import asyncio

        self.place = place
        self.tree = Tree(place.top, place.gitdir)
        """The work tree that the repository was opened by: the user's own."""
        self.state = state
        """Where runs keep their state, relative to the top; None when that lies elsewhere. Never looked into."""
        self.lock: asyncio.Lock = asyncio.Lock()
        """Held while work trees and branches are made and folded: git's own locks fail instead of waiting."""
        self.identity: tuple[str, str] | None = None
        self.children = children
        self._view = view
        self._env = dict(env)
        self._config = b""
        self._scratch = 0

    def close(self) -> None:
        """Remove the view. Calls after it fail."""
        shutil.rmtree(self._view, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[str]:
        """A path of our own, where no agent looks, that nothing has yet; deleted afterwards."""
        self._scratch += 1
        path = self._view / f"scratch-{self._scratch}"
        try:
            yield str(path)
        finally:
            path.unlink(missing_ok=True)
            Path(f"{path}.lock").unlink(missing_ok=True)

    async def ask(self, *arguments: str, **options: object) -> str:
        """As `call`, for one line of text."""
        return (await self.call(*arguments, **options)).decode("utf-8", "surrogateescape").strip()  # type: ignore[arg-type]

    async def call(
        self,
        *arguments: str,
        tree: Tree | None = None,
        index: str | None = None,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        fine: Sequence[int] = (0,),
    ) -> bytes:
        """Standard output of `git arguments...` about `tree` (the user's own when not given).

        `index` is used instead of the tree's own. Raises GitError for an exit code that is not `fine`; lines of
        what git said are in its message.
        """
        code, out, said = await self.result(*arguments, tree=tree, index=index, stdin=stdin, env=env)
        if code not in fine:
            raise _refusal(arguments, code, said)
        return out

    async def result(
        self,
        *arguments: str,
        tree: Tree | None = None,
        index: str | None = None,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, str]:
        """Exit code, standard output and error of a call, whatever they are. A signal is 128 and its number."""
        tree = tree or self.tree
        self.check(tree)
        more = dict(env or {})
        more |= {"GIT_DIR": tree.gitdir, "GIT_WORK_TREE": tree.path, "GIT_COMMON_DIR": str(self._view)}
        if index is not None:
            more["GIT_INDEX_FILE"] = index
        argv = ["git", "--no-pager", *(word for each in _SWITCHED_OFF for word in ("-c", each)), *arguments]
        return await _run(self.children, argv, tree.path, {**self._env, **more}, stdin)

    def check(self, tree: Tree) -> None:
        """Raise GitError (`Missing`) when the repository or the tree is gone, or our view is not what we made."""
        if not all(os.path.isdir(os.path.join(self.place.common, name)) for name in ("objects", "refs")):  # noqa: PTH112, PTH118 - before every call
            raise GitError(
                f"{self.place.common} is gone: something has deleted the repository",
                type="Missing",
                hint="restore it from a clone or a backup; the files of the work tree are untouched by us",
            )
        if not os.path.isdir(tree.path):  # noqa: PTH112 - as above
            raise GitError(f"the work tree {tree.path} is gone", type="Missing", hint="something has deleted it")
        if not os.path.isfile(os.path.join(tree.gitdir, "HEAD")):  # noqa: PTH113, PTH118 - as above
            raise GitError(
                f"git no longer knows the work tree {tree.path}", type="Missing", hint="its files are still there"
            )
        if set(os.listdir(self._view)) & {"hooks", "config.worktree", "commondir"}:  # noqa: PTH208 - as above
            raise GitError("somebody has written into the private view of the repository", type="Missing")
        if (self._view / "config").read_bytes() != self._config:
            raise GitError("somebody has changed the private view of the repository", type="Missing")

    def make_view(self, settings: Sequence[tuple[str, str]], env: Mapping[str, str], files: Sequence[str]) -> None:
        """Fill the view: our configuration, and links to the data. `env` may say who commits; `files` are ignored as
        those of `info/exclude` are.
        """
        common = Path(self.place.common)
        for name in ("worktrees", "logs"):
            (common / name).mkdir(exist_ok=True)
        (common / "info").mkdir(exist_ok=True)
        for name in _LINKED:
            (self._view / name).symlink_to(common / name)
        (self._view / "info").mkdir()
        (self._view / "info/attributes").symlink_to(common / "info/attributes")
        excluded = common / "info/exclude"
        known = excluded.read_bytes() if excluded.is_file() else b""
        lines = "".join(f"/{_BLANKED.sub(_ESCAPED, path)}\n" for path in files)
        (self._view / "info/exclude").write_bytes(known + b"\n" + lines.encode("utf-8", "surrogateescape"))
        found = dict(settings)
        who = found.get("user.name") or env.get("GIT_COMMITTER_NAME") or env.get("GIT_AUTHOR_NAME")
        email = found.get("user.email") or env.get("GIT_COMMITTER_EMAIL") or env.get("GIT_AUTHOR_EMAIL")
        self.identity = (who, email) if who and email else None
        own = [("core.repositoryformatversion", "0"), ("core.bare", "false"), ("core.logallrefupdates", "true")]
        self._config = "".join(_written(key, value) for key, value in (*settings, *own)).encode(
            "utf-8", "surrogateescape"
        )
        (self._view / "config").write_bytes(self._config)


async def open_repository(
    children: Children, folder: Path, *, env: Mapping[str, str], state: Path | None = None, own: Sequence[str] = ()
) -> Repository:
    """The repository that `folder` lies in. `env` is what git inherits (its `GIT_*` are left out).

    `state` is the folder of the runs' own state, `own` are files that they write elsewhere.
    Raises GitError: `NotARepository`, `Unsupported` (bare, SHA-256
    objects, a partial clone, a sparse checkout, a filter of the repository's own), `GitError` (git is missing or old).
    """
    from tempfile import mkdtemp

    place = discover(folder)
    if not os.access(Path(place.common) / "objects", os.W_OK):
        raise GitError(f"{place.common} cannot be written", type="Unsupported", hint="its owner or mount is read-only")
    clean = _environment(env)
    await _check_version(children, clean)
    said = await _settings(children, place, env, clean)
    _refuse_settings(place, said)
    top = Path(place.top)
    inside = None if state is None else _inside(top, str(state))
    files = [path for each in own if (path := _inside(top, each)) and "\n" not in path]
    view = Path(mkdtemp(prefix="weft-git-"))
    repository = Repository(place, children, view, clean, inside)
    try:
        repository.make_view([(key, value) for scope, key, value in said if _ours(scope, key)], env, files)
    except OSError as error:
        repository.close()
        raise GitError(f"{place.common} cannot be written: {error.strerror}", type="Unsupported") from None
    return repository


def _inside(top: Path, path: str) -> str | None:
    """A path relative to the top of a work tree; None when it is not in it."""
    real = Path(os.path.realpath(path))
    return real.relative_to(top).as_posix() if real.is_relative_to(top) and real != top else None


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in env.items() if not key.startswith(_REPOSITORY_ONLY)}
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
    }


async def _check_version(children: Children, env: Mapping[str, str]) -> None:
    hint = f"install git {MINIMUM[0]}.{MINIMUM[1]} or later"
    try:
        _, out, _ = await _run(children, ["git", "version"], "/", env, None)
    except AttemptError as error:
        if error.type not in ("CommandNotFound", "NotExecutable"):
            raise
        raise GitError("there is no program `git`", hint=hint) from None
    found = re.search(rb"(\d+)\.(\d+)", out)
    if found is None or (int(found[1]), int(found[2])) < MINIMUM:
        raise GitError(f"{out.decode('utf-8', 'replace').strip()} is too old", hint=hint)


async def _settings(
    children: Children, place: Place, env: Mapping[str, str], clean: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Everything that git's configuration says here, as (scope, key, value). Reading it runs nothing."""
    own = {key: env[key] for key in ("GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM") if key in env}
    kept = {key: value for key, value in clean.items() if not key.startswith("GIT_CONFIG_")}
    kept |= {**own, "GIT_DIR": place.gitdir, "GIT_WORK_TREE": place.top}
    argv = ["git", "--no-pager", "config", "--list", "--null", "--show-scope", "--includes"]
    code, out, said = await _run(children, argv, place.top, kept, None)
    if code:
        raise _refusal(("config", "--list"), code, said)
    words = out.decode("utf-8", "surrogateescape").split("\0")
    found = []
    for scope, entry in zip(words[::2], words[1::2], strict=False):
        key, _, value = entry.partition("\n")
        found.append((scope, key, value if "\n" in entry else "true"))
    return found


def _refuse_settings(place: Place, settings: Sequence[tuple[str, str, str]]) -> None:
    last = {key: value for scope, key, value in settings}
    trusted = {(key, value) for scope, key, value in settings if scope in _OWN}
    reason, hint = "", "use a full, ordinary clone"
    if place.main and last.get("core.bare") == "true":
        reason, hint = "is a bare repository, which has no files to work on", "clone it, and give the clone"
    elif last.get("extensions.objectformat", "sha1") != "sha1":
        reason = f"names its objects by {last['extensions.objectformat']}, which is not supported"
    elif last.get("extensions.refstorage", "files") != "files":
        reason = f"keeps its refs as {last['extensions.refstorage']}, which is not supported"
    elif "extensions.partialclone" in last:
        reason = "is a partial clone, whose missing objects would have to be fetched"
    elif last.get("core.sparsecheckout") == "true":
        reason, hint = "has a sparse checkout, which is not supported", "run `git sparse-checkout disable`"
    for scope, key, value in settings:
        if scope not in _OWN and _FILTER.match(key) and (key, value) not in trusted:
            reason = f"configures a program for itself: {key}"
            hint = f"if it is yours, set it with `git config --global`; else `git config --unset-all {key}`"
    if reason:
        raise GitError(f"{place.top} {reason}", type="Unsupported", hint=hint)


def _ours(scope: str, key: str) -> bool:
    """Whether a setting is taken over: what is data from anywhere, what names programs or files from the user's own."""
    own = scope in _OWN
    return _DATA.match(key) is not None or (own and (_FILTER.match(key) is not None or key == "core.attributesfile"))


def _written(key: str, value: str) -> str:
    """A setting as git's configuration file has it."""
    section, _, rest = key.partition(".")
    middle, _, name = rest.rpartition(".")
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    title = section + (' "' + middle.replace("\\", "\\\\").replace('"', '\\"') + '"' if middle else "")
    return f'[{title}]\n\t{name} = "{quoted}"\n'


async def _run(
    children: Children, argv: Sequence[str], cwd: str, env: Mapping[str, str], stdin: bytes | None
) -> tuple[int, bytes, str]:
    import asyncio

    from weft.backends.command import run_command

    words = [os.fsencode(word) for word in argv]
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            done = await run_command(children, words, cwd=cwd, env=env, stdin=stdin, output_limit=ANSWER_LIMIT)
    except TimeoutError:
        raise GitError(f"`git {argv[-1]}` did not end within {CALL_TIMEOUT:.0f} s", retryable=True) from None
    if done.stdout.dropped:
        raise GitError(f"the answer of git has {done.stdout.total:,} bytes, more than are held")
    code = 128 + (done.signal or 0) if done.exit_code is None else done.exit_code
    return code, done.stdout.data, done.stderr.data.decode("utf-8", "replace")


def _refusal(arguments: Sequence[str], code: int, said: str) -> GitError:
    from weft.text.source import harmless

    lines = [harmless(line.strip()) for line in said.splitlines() if line.strip()]
    locked = next((line for line in lines if ".lock'" in line and "File exists" in line), None)
    if locked is not None:
        return GitError(
            f"git {arguments[0]}: {locked.removeprefix('fatal: ').removeprefix('error: ')}",
            type="Locked",
            retryable=True,
            hint="another git is at work there, or one was killed and left its lock: then delete that file",
        )
    words = "; ".join(lines[-3:]).removeprefix("fatal: ").removeprefix("error: ")[-600:]
    return GitError(f"git {arguments[0]} failed: {words or f'exit code {code}'}")


def checked_commit(commit: str) -> str:
    """`commit`, when it is a full name of one. Raises GitError."""
    if not _COMMIT.match(commit):
        raise GitError(f"{commit[:60]!r} is not the full name of a commit", hint="40 hexadecimal digits")
    return commit


def checked_branch(name: str) -> str:
    """`name`, when git takes it for a branch. Raises GitError."""
    parts = name.split("/")
    bad = any(not part or part.startswith(".") or part.endswith((".lock", ".")) for part in parts)
    if bad or not _BRANCH.match(name) or ".." in name or "@{" in name or name in ("@", "HEAD") or len(name) > 200:
        raise GitError(f"{name[:60]!r} cannot be the name of a branch")
    return name
