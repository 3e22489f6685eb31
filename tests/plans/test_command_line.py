"""`weft plan` at the prompt: what it says, where a setting is from, and what is wrong with one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from plans.conftest import Make
from plans.ground import Ground, Said, usual_history
from weft.app.planning import PlanRequest, settings


def sub(ground: Ground, name: str, *words: str, env: dict[str, str] | None = None) -> Said:
    return ground.weft("plan", name, str(ground.plan), *ground.where(), *words, env=env)


def test_a_plan_is_checked_shown_run_and_forgotten(ground: Ground) -> None:
    ground.write("1 2p 3p 4")
    said = sub(ground, "check")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0] == "S1, P[2,3], S4"
    assert json.loads(sub(ground, "check", "--json").out)["segments"] == ["S1", "P[2,3]", "S4"]
    before = json.loads(sub(ground, "status", "--json").out)
    assert (before["run"], [t["status"] for t in before["tasks"]]) == (None, ["not started"] * 4)
    asked = sub(ground, "reset")
    assert (asked.code, asked.out) == (64, "")
    assert asked.err == ("weft: this forgets what is done, and nobody can be asked\nhint: --yes if you mean it\n")
    ran = ground.run("--task", "1", "--json")
    assert (ran.code, ran.err) == (0, "")
    summary = json.loads(ran.out)
    assert (summary["completed"], summary["exit_code"]) == ([1], 0)
    again = json.loads(ground.run("--task", "1", "--json").out)
    assert set(summary) <= set(again)
    assert {**again, "tasks": [summary["tasks"][0]]} | {"duration": 0} == {**summary, "duration": 0}
    after = json.loads(sub(ground, "status", "--json").out)
    assert [t["status"] for t in after["tasks"]] == ["done", "not started", "not started", "not started"]
    other = ground.folder / "other"
    other.symlink_to(ground.folder)  # a plan is known by its real path, and so is the repository
    linked = ("--repo", str(other / "repo"), "--config", str(ground.config))
    assert ground.weft("plan", "status", str(other / "plan.md"), *linked, "--json").out == json.dumps(
        after, separators=(",", ":")
    ) + "\n"  # fmt: skip
    plan = ground.plan.read_text()
    ground.plan.write_text("What it says now does not matter.\n")
    assert sub(ground, "reset", "--yes").out == "1 run forgotten\n"
    ground.plan.write_text(plan)
    assert json.loads(sub(ground, "status", "--json").out)["run"] is None
    said = ground.weft("plan", "prompt", "Translate the pages")
    assert said.code == 0
    assert "Translate the pages" in said.out
    assert "## Task 4: Translate the README (parallel)" in said.out


def test_what_is_shown_of_a_plan_steers_no_terminal_and_says_what_parallel_would_do(ground: Ground) -> None:
    ground.plan.write_text("## Task 1: red \x1b[31m \u202e (parallel)\nA.\n\n## Task 2 (parallel)\nB.\n")
    said = sub(ground, "check", "--no-parallel")
    assert (said.code, said.err) == (0, "")
    assert said.out == "S1, S2\n  task 1: red \\e[31m \\u202e\n  task 2\n  with --parallel: P[1,2]\n"
    assert "--parallel" not in sub(ground, "check", "--parallel").out


def test_looking_and_forgetting_ask_no_agent_and_make_nothing(ground: Ground) -> None:
    ground.plan.write_text("Please make a file.\n")
    said = sub(ground, "status", "--normalize")
    assert (said.code, said.out) == (65, "")
    assert said.err == (
        f"weft: {ground.plan} was not brought into the form of a plan yet\nhint: `weft plan run` does that\n"
    )
    assert sub(ground, "reset", "--normalize", "--yes").out == "0 runs forgotten\n"
    assert ground.calls() == []
    assert not (ground.repo / ".weft").exists()
    ground.plan.unlink()
    assert sub(ground, "reset", "--yes").code == 66


def test_an_agent_that_cannot_bring_a_document_into_form_is_named_with_the_next_step(ground: Ground) -> None:
    ground.plan.write_text("Please make a file.\n")
    said = ground.run("--normalize", "--agent-cmd", "false")
    assert (said.code, said.out) == (65, "")
    first, hint = said.err.splitlines()
    assert first == f"weft: {ground.plan}: the agent ended with exit code 1"
    assert Path(hint.removeprefix("hint: see ")).is_file()
    said = ground.run("--normalize", "--agent-cmd", "no-such-agent")
    assert said.err.splitlines()[0] == f"weft: {ground.plan}: there is no program 'no-such-agent'"
    assert said.err.splitlines()[1].endswith("install it, or set `agent_cmd`")


def test_a_summary_that_could_not_be_written_is_refused_before_an_agent_starts(ground: Ground) -> None:
    for name, reason in (
        (f"{ground.repo}", "is a folder\nhint: name a file in it"),
        (f"{ground.plan}/s.json", f"cannot be made: {ground.plan} is no folder that can be written"),
    ):
        said = ground.run("--run-summary-path", name)
        assert (said.code, said.out, said.err) == (65, "", f"weft: run_summary_path: {name} {reason}\n")
    assert ground.calls() == []


def test_a_broken_plan_is_refused_before_an_agent_starts(ground: Ground) -> None:
    ground.plan.write_text("## Task 1\n\n## Task 1\nTwice.\n")
    for said in (sub(ground, "check"), ground.run()):
        assert (said.code, said.out) == (65, "")
        assert f"{ground.plan}:1:" in said.err
        assert f"{ground.plan}:3:" in said.err
    assert ground.calls() == []


@pytest.mark.parametrize(
    ("words", "env", "file", "code", "message"),
    [
        (["--max-parallel", "many"], {}, "", 64, "--max-parallel: max_parallel is 'many'; it must be a whole number"),
        (["--isolation", "share"], {}, "", 64, "--isolation: isolation is 'share'; it must be worktree or shared"),
        ([], {"WEFT_PLAN_PARALLEL": "maybe"}, "", 65, "WEFT_PLAN_PARALLEL: parallel is 'maybe'; it must be true or false"),
        ([], {"WEFT_PLAN_PARALEL": "true"}, "", 65, "WEFT_PLAN_PARALEL"),
        ([], {}, "max_paralel = 2", 65, "plan.toml:9 [plan]: unknown setting 'max_paralel'"),
        ([], {}, 'on_review_fail = "ignore"', 65, "plan.toml:9 [plan]: on_review_fail is 'ignore'"),
        (["--agent", "cursr"], {}, "", 64, "--agent: there is no agent 'cursr'"),
    ],
)  # fmt: skip
def test_a_bad_setting_names_its_source(
    ground: Ground, words: list[str], env: dict[str, str], file: str, code: int, message: str
) -> None:
    lines = ground.config.read_text().splitlines()
    at = lines.index("[agents.scripted]")
    while at < 8:
        lines.insert(at, "")
        at += 1
    ground.config.write_text("\n".join([*lines[:at], file, *lines[at:]]) + "\n")
    said = sub(ground, "check", *words, env=env)
    assert (said.code, said.out) == (code, "")
    assert message in said.err
    assert ("did you mean" in said.err) == any(word in message for word in ("paralel", "PARALEL", "cursr"))


def test_settings_of_plans_are_listed_with_their_origins(ground: Ground) -> None:
    (ground.folder / "weft.toml").write_text(
        '[plan]\nmax_parallel = 3\npost_run_commands = ["make lint", ["git", "status"]]\nbudget = { tokens = 1000 }\n'
    )
    env = {"WEFT_PLAN_MODEL": "large"}
    said = ground.weft("config", "--show-origin", env=env)
    assert (said.code, said.err) == (0, "")
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in said.out.splitlines()}
    assert lines["plan.max_parallel"] == "3 (weft.toml:2 [plan])"
    assert lines["plan.parallel"] == "True (weft.toml:2 [plan])"
    assert lines["plan.model"] == "large (WEFT_PLAN_MODEL)"
    assert lines["plan.agent"] == "cursor (default)"
    assert lines["plan.post_run_commands"] == "make lint, git status (weft.toml:3 [plan])"
    assert lines["plan.budget"] == "tokens=1000 (weft.toml:4 [plan])"
    listed = json.loads(ground.weft("config", "--json", env=env).out)["plan"]
    assert listed["max_parallel"] == {"value": 3, "origin": "weft.toml:2 [plan]"}
    (ground.folder / "weft.toml").write_text("")
    assert "plan." not in ground.weft("config").out
    assert "plan.agent" in ground.weft("config", "--plan").out


def test_paths_of_a_file_are_meant_from_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    names = ("plan_path", "log_file", "run_summary_path", "normalize_prompt_path")
    (home / "weft.toml").write_text("[plan]\n" + "".join(f'{name} = "a/{name}"\n' for name in names))
    for folder, config in ((home / "deep", None), (tmp_path, "home/weft.toml")):
        monkeypatch.chdir(folder)
        found = settings(PlanRequest(flags={"model": "m"}, config=config), {"WEFT_PLAN_LOG_FILE": "mine.log"})
        assert [Path(found[name]).absolute() for name in names if name != "log_file"] == [
            home / "a" / name for name in names if name != "log_file"
        ]
        assert (found["log_file"], found["state_dir"], found["repo_path"]) == ("mine.log", ".weft", ".")


def test_flags_go_before_the_environment_before_the_file(ground: Ground) -> None:
    ground.settle(reviewer=None, max_parallel=2, run_summary_path=str(ground.folder / "file.json"))
    ground.write("1")
    env = {"WEFT_PLAN_RUN_SUMMARY_PATH": str(ground.folder / "environment.json")}
    assert ground.run("--task", "1", "--run-summary-path", str(ground.folder / "flag.json"), env=env).code == 0
    assert [name for name in ("file", "environment", "flag") if (ground.folder / f"{name}.json").exists()] == ["flag"]


def test_what_runs_after_the_end_sees_how_it_ended_and_counts_only_where_required(make: Make) -> None:
    ground = make({"execute:1": [["exit", 1]]})
    ground.write("1")
    told = str(ground.folder / "told")
    commands = [f'echo "$WEFT_PLAN_EXIT_CODE" >> {told}', ["false"], ["no-such-program"]]
    summary = ground.folder / "deep/summary.json"
    ground.settle(reviewer=None, post_run_commands=commands, run_summary_path=str(summary))
    said = ground.run()
    assert said.code == 1, said.all
    ground.agents.set({"plan": [["print", "a plan"]], "execute": [["write", "a.txt", "a\n"]]})
    said = ground.run("--post-run-required")
    assert said.code == 1, said.all
    assert Path(told).read_text() == "1\n0\n"
    found = json.loads(summary.read_text())
    assert (found["status"], found["completed"], found["exit_code"]) == ("succeeded", [1], 1)
    assert [done["exit_code"] for done in found["post_run"]] == [0, 1, None]
    assert "after the run: `false`: it ended with exit code 1" in said.out
    assert [path.name for path in summary.parent.iterdir()] == ["summary.json"]
    fields = ("schema", "run", "plan", "repository", "not_started", "conflicts", "remaining_findings", "duration")
    assert all(name in found for name in (*fields, "tokens", "cost_usd", "failed", "review_skipped"))


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(make: Make) -> None:
    ground = make({
        "plan": [["report", "a plan"]],
        "execute": [["write", "task-{task}.txt", "made\n"], ["report", "done"]],
    })  # fmt: skip
    ground.write("1 2")
    ground.settle(reviewer=None)
    said = ground.run("--budget", "tokens=200")
    assert said.code == 4, said.all
    assert "task 1  does not fit into the budget: 200 tokens allowed, 240 tokens spent" in said.out
    assert said.out.splitlines()[-1] == (
        "the budget is used up: run the same command with a larger --budget to go on from here"
    )
    assert ground.run("--budget", "tokens=2000").code == 0
    summary = ground.summary()
    assert (summary["completed"], summary["tokens"], summary["cost_usd"]) == ([1, 2], 480, 1.0)


def test_a_document_is_brought_into_form_by_the_agent_once(make: Make) -> None:
    ground = make()
    ground.plan.write_text("Please make the first file, and then the second.\n")
    plan = "## Task 1\nMake the file of Task 1.\n\n## Task 2\nMake the file of Task 2.\n"
    calls = str(ground.folder / "asked")
    answers = ground.folder / "agent.sh"
    answers.write_text(
        '#!/bin/sh\nif [ "$WEFT_PLAN_PHASE" = normalize ]; then\n'
        f"  echo x >> {calls}\n  if [ $(wc -l < {calls}) = 1 ]; then echo 'Sorry, I cannot.'; exit 0; fi\n"
        f"  cat <<'END'\n{plan}END\n  exit 0\nfi\n"
        'if [ "$WEFT_PLAN_PHASE" = execute ]; then echo made > "task-$WEFT_PLAN_TASK.txt"; fi\n'
        'echo "ended $WEFT_PLAN_PHASE"\n'
    )
    answers.chmod(0o755)
    ground.config.write_text(
        f'[plan]\nagent = "mine"\nreviewer = "none"\nnormalize = true\n[agents.mine]\nprogram = "{answers}"\n'
        'prompt = "stdin"\nplan = []\nexecute = []\n'
    )
    said = ground.run()
    assert said.code == 0, said.all
    assert Path(calls).read_text() == "x\nx\n"
    assert ground.history() == usual_history([1, 2], rounds=0)
    assert ground.run().out == "nothing to do: every task is done\n"
    assert Path(calls).read_text() == "x\nx\n"


def test_people_see_a_line_per_phase_and_machines_every_event(make: Make) -> None:
    ground = make()
    ground.write("1")
    log = ground.repo / "run [1].log"  # in the repository: no task's change, and no reason to refuse it
    own = ("--log-file", str(log), "--run-summary-path", str(ground.repo / "s.json"))
    said = ground.run(*own)
    lines = [re.sub(r"\s+\d+\.\d+( s)?\b|\b[0-9a-f]{12}\b", " N", line).strip() for line in said.out.splitlines()]
    assert [line.removeprefix("N  ") for line in lines] == [
        f"plan.md  run {ground.runs()[0].name} started",
        "task 1  plan started",
        "task 1  plan ended N",
        "task 1  execute started",
        "task 1  execute ended N",
        "task 1  committed  N",
        "task 1  review, round 1 started",
        "task 1  review, round 1 ended N",
        "task 1  1 finding",
        "task 1  address, round 1 started",
        "task 1  address, round 1 ended N",
        "task 1  committed  N",
        "task 1  review, round 2 started",
        "task 1  review, round 2 ended N",
        "task 1  the reviewer is content",
        "task 1  done",
        "plan.md  succeeded",
        "task 1  done",
        f"plan succeeded (run {ground.runs()[0].name})",
    ]
    kept = log.read_text().splitlines()
    assert len(kept) == 17
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z info    (plan.md|task 1): ", line) for line in kept)
    ground.write("1 2p 3p")
    quiet = ("--log-level", "warning")
    events: list[Any] = [json.loads(line) for line in ground.run("--json", "--events", *own, *quiet).out.splitlines()]
    assert {event.get("path") for event in events} >= {"task-2/plan", "review-2/phase[0]/rounds[0]/review", "gate-2"}
    assert ground.history() == usual_history([1, 2, 3])
    assert log.read_text().splitlines() == kept
    assert ground.git("status", "--porcelain", "-z") == "?? run [1].log\0?? s.json\0"
    assert not {"run [1].log", "s.json"} & set(ground.files())
