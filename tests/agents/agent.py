"""A coding agent that does what a script says: one invocation of it, with one behaviour or misbehaviour.

    python agent.py PHASE [PROMPT | --prompt-file FILE]     (else the prompt is read from standard input)

`AGENT_SCRIPT` names a JSON file: {"execute:2": [["write", "a.txt", "text"], ["hold", 0.2]], "plan": [...], "*": [...]}.
The steps of `PHASE:TASK` are done, else those of `PHASE`, else those of `*`. The task is the first `Task N` of the prompt,
or `AGENT_TASK`. In texts, {task} and {phase} stand for these. `AGENT_LOG` names a file that each invocation appends a line
to when it starts and when it ends: JSON with event, phase, task, at (monotonic seconds), pid, cwd, bytes of the prompt.

A standalone program: the standard library only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


class Agent:
    def __init__(self) -> None:
        self.phase = sys.argv[1] if len(sys.argv) > 1 else ""
        self.prompt = self.read_prompt(sys.argv[2:])
        found = re.search(r"\bTask ([0-9]+)", self.prompt)
        self.task = os.environ.get("AGENT_TASK") or (found[1] if found else "?")

    def read_prompt(self, words: list[str]) -> str:
        if words[:1] == ["--prompt-file"]:
            return Path(words[1]).read_text()
        return words[-1] if words else sys.stdin.read()

    def steps(self) -> list[list[object]]:
        script = json.loads(Path(os.environ["AGENT_SCRIPT"]).read_text())
        for key in (f"{self.phase}:{self.task}", self.phase, "*"):
            if key in script:
                return script[key]
        return []

    def stamp(self, event: str) -> None:
        name = os.environ.get("AGENT_LOG")
        if not name:
            return
        line = {
            "event": event, "phase": self.phase, "task": self.task, "at": time.monotonic(), "pid": os.getpid(),
            "cwd": str(Path.cwd()), "prompt": len(self.prompt.encode()),
        }  # fmt: skip
        fd = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, json.dumps(line).encode() + b"\n")
        os.close(fd)

    def filled(self, text: str) -> str:
        return text.replace("{task}", self.task).replace("{phase}", self.phase).replace("{prompt}", self.prompt)

    def run(self) -> None:
        self.stamp("start")
        for name, *given in self.steps():
            words = [self.filled(word) if isinstance(word, str) else word for word in given]
            getattr(self, f"do_{name}")(*words)
        self.stamp("end")

    # -- what agents do ------------------------------------------------------------------------------------------------

    def do_write(self, path: str, text: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)

    def do_append(self, path: str, text: str) -> None:
        with Path(path).open("a") as file:
            file.write(text)

    def do_replace(self, path: str, old: str, new: str) -> None:
        Path(path).write_text(Path(path).read_text().replace(old, new))

    def do_delete(self, path: str) -> None:
        Path(path).unlink()

    def do_print(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def do_print_raw(self, text: str) -> None:
        """No newline; `\\x1b` and the like are meant as they stand in JSON."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def do_error(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def do_hold(self, seconds: float) -> None:
        time.sleep(seconds)

    def do_wait_for(self, path: str) -> None:
        """Until somebody makes the file."""
        while not Path(path).exists():
            time.sleep(0.005)

    def do_commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def do_git(self, *words: str) -> None:
        self.git(*words)

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], check=True, stdout=sys.stderr)

    # -- and what they must not ----------------------------------------------------------------------------------------

    def do_exit(self, code: int) -> None:
        self.stamp("end")
        sys.stdout.flush()
        os._exit(code)

    def do_ignore_term(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def do_grandchild(self, mark: str) -> None:
        """Leaves a process behind that holds our pipes, in a session of its own."""
        subprocess.Popen(["sleep", mark], start_new_session=True)

    def do_bytes(self, count: int) -> None:
        """So many bytes of output in lines."""
        line = b"x" * 99 + b"\n"
        chunk = line * 1000
        for _ in range(count // len(chunk)):
            os.write(1, chunk)

    def do_binary(self, count: int) -> None:
        os.write(1, bytes(range(256)) * (count // 256))

    def do_leave_locks(self) -> None:
        """As a git that was killed does."""
        branch = subprocess.run(
            ["git", "symbolic-ref", "HEAD"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for lock in (self.gitdir() / "index", self.gitdir() / "HEAD", self.common() / branch):
            lock.with_name(lock.name + ".lock").write_bytes(b"")

    def do_damage_index(self) -> None:
        (self.gitdir() / "index").write_bytes(b"rubbish")

    def gitdir(self) -> Path:
        out = subprocess.run(["git", "rev-parse", "--absolute-git-dir"], check=True, capture_output=True, text=True)
        return Path(out.stdout.strip())

    def common(self) -> Path:
        out = subprocess.run(["git", "rev-parse", "--git-common-dir"], check=True, capture_output=True, text=True)
        return Path(out.stdout.strip()).resolve()

    def do_delete_git(self) -> None:
        link = Path(".git")
        shutil.rmtree(link) if link.is_dir() else link.unlink()

    def do_delete_repository(self) -> None:
        shutil.rmtree(self.common())

    def do_plant_hook(self, name: str, text: str) -> None:
        hook = self.common() / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(text)
        hook.chmod(0o755)

    def do_plant(self, key: str, value: str) -> None:
        """A setting in the shared configuration."""
        self.git("config", "--file", str(self.common() / "config"), key, value)

    def do_nested(self, path: str) -> None:
        """A repository in the work tree."""
        subprocess.run(["git", "init", "-q", path], check=True, stdout=sys.stderr)
        Path(path, "inner.txt").write_text("inner\n")

    def do_report(self, text: str) -> None:
        """A final JSON object, as agents print it that are asked for JSON."""
        usage = {"input_tokens": 100, "output_tokens": 20}
        self.do_print(json.dumps({"type": "result", "result": text, "usage": usage, "total_cost_usd": 0.25}))


if __name__ == "__main__":
    Agent().run()
