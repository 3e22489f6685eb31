"""What a document is given: where each value comes from, and everything that is wrong with it at once."""

from __future__ import annotations

from typing import Any

import pytest

from weft.app.arguments import resolve
from weft.errors import InputError, UsageError
from weft.fronts.flow.ast import Front
from weft.fronts.flow.frontmatter import parse_front
from weft.text.source import Source


def front(text: str) -> Front:
    made, _, problems = parse_front(Source("x.flow.md", f"---\n{text}\n---\n"))
    assert problems == []
    return made


def given(
    text: str,
    *sets: str,
    input: object = None,  # noqa: A002 - as in resolve
    env: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    return resolve(front(text), sets=sets, input=input, env=env or {}, secrets_from=secrets or {})


def refused(text: str, *sets: str, **more: Any) -> list[str]:
    with pytest.raises(InputError) as raised:
        given(text, *sets, **more)
    hint = f" ({raised.value.hint})" if raised.value.hint else ""
    return (str(raised.value) + hint).splitlines()


# -- config --------------------------------------------------------------------------------------------


def test_a_config_value_is_that_of_set_then_of_the_environment_then_its_default() -> None:
    text = "config: { a: 1, b: 1, c: 1, d: { type: number } }"
    config, _, _ = given(text, "a=2", env={"WEFT_CONFIG_A": "3", "WEFT_CONFIG_B": "3", "WEFT_CONFIG_C": ""})
    assert config == {"a": 2, "b": 3, "c": 1, "d": None}


def test_the_last_set_of_a_name_counts_and_its_value_may_have_any_character() -> None:
    config, _, _ = given("config: { a: x }", "a=1", 'a=b=c "d" ')
    assert config == {"a": 'b=c "d" '}


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("string", "text", "text"),
        ("string", "5", "5"),
        ("string", "true", "true"),
        ("string", "null", "null"),
        ("string", '"quoted"', "quoted"),
        ("string", "[1", "[1"),
        ("string", "", ""),
        ("number", "5", 5),
        ("number", "2.5", 2.5),
        ("integer", "-5", -5),
        ("boolean", "true", True),
        ("array", "[1, 2]", [1, 2]),
        ("object", '{"a": null}', {"a": None}),
    ],
)
def test_a_text_from_outside_is_json_where_that_is_what_is_declared(kind: str, written: str, value: object) -> None:
    config, _, _ = given(f"config: {{ a: {{ type: {kind} }} }}", f"a={written}")
    assert config == {"a": value}
    assert type(config["a"]) is type(value)


@pytest.mark.parametrize(
    ("kind", "written", "said"),
    [
        ("number", "fifty", "--set a must be a number, not text 'fifty'"),
        ("number", "NaN", "--set a must be a number, not text 'NaN'"),
        ("number", "true", "--set a must be a number, not boolean true"),
        ("integer", "1.5", "--set a must be a whole number, not number 1.5"),
        ("boolean", "yes", "--set a must be true or false, not text 'yes' (write true or false)"),
        ("boolean", "1", "--set a must be true or false, not number 1"),
        ("array", "{}", "--set a must be a list, not object {}"),
        ("object", "[]", "--set a must be an object, not list []"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_origin(kind: str, written: str, said: str) -> None:
    assert refused(f"config: {{ a: {{ type: {kind} }} }}", f"a={written}") == [said]
    assert refused(f"config: {{ a: {{ type: {kind} }} }}", env={"WEFT_CONFIG_A": written}) == [
        said.replace("--set a", "WEFT_CONFIG_A")
    ]


def test_a_value_must_be_one_of_those_that_are_listed() -> None:
    text = "config: { mode: { enum: [fast, slow, 1] } }"
    assert given(text, "mode=1")[0] == {"mode": 1}
    assert refused(text, "mode=fats") == [
        "--set mode must be one of 'fast', 'slow', 1, not 'fats' (did you mean 'fast'?)"
    ]
    assert refused(text, "mode=true") == ["--set mode must be one of 'fast', 'slow', 1, not true"]


def test_what_is_required_must_be_there() -> None:
    text = "config: { region: { type: string, required: true } }"
    assert refused(text) == ["the config value `region` is required (give it by --set region=… or WEFT_CONFIG_REGION)"]
    assert refused("config: { a: { required: true } }", "a=null") == ["--set a is null, and a value is required"]


def test_an_unknown_name_is_refused_with_what_was_perhaps_meant() -> None:
    assert refused("config: { threshold: 5 }", "treshold=6") == [
        "--set treshold: the document has no config value 'treshold' (did you mean `threshold`?)"
    ]
    assert refused("name: x", "zzz=6") == [
        "--set zzz: the document has no config value 'zzz' (the document declares no config values)"
    ]
    assert given("config: { a: 1 }", env={"WEFT_CONFIG_OTHER": "5"})[0] == {"a": 1}


@pytest.mark.parametrize("text", ["a", "", "=5"])
def test_a_set_without_a_name_and_a_value_is_a_wrong_command_line(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        given("config: { a: 1 }", text)
    assert str(raised.value) == f"--set {text!r} is not name=value"
    assert raised.value.exit_code == 64


# -- input ---------------------------------------------------------------------------------------------

INPUT = "input: { title: string, rows: { type: array, default: [] }, note: { type: string, required: false } }"


def test_arguments_are_given_by_name_and_have_defaults() -> None:
    assert given(INPUT, input={"title": "t"})[1] == {"title": "t", "rows": [], "note": None}
    assert given(INPUT, input={"title": "t", "rows": [1], "note": "n"})[1] == {"title": "t", "rows": [1], "note": "n"}
    assert given("name: x")[1] == {}
    assert given("name: x", input={})[1] == {}


def test_missing_and_undeclared_arguments_are_refused() -> None:
    sample = """give it by --input '{"title": …, "note": …}'"""
    assert refused(INPUT) == [f"the argument `title` is missing ({sample})"]
    assert refused(INPUT, input={"titel": "t", "rows": 5}) == [
        "3 things are wrong with what the document is given:",
        "  --input: titel: the document has no argument 'titel' (did you mean `title`?)",
        f"  the argument `title` is missing ({sample})",
        "  --input: rows must be a list, not number 5",
    ]
    assert refused("name: x", input=[1]) == [
        "--input must be a JSON object, not list [1] (the document takes no input)"
    ]


# -- secrets -------------------------------------------------------------------------------------------


def test_secrets_must_be_there_and_long_enough_and_are_never_shown() -> None:
    text = "secrets: [A, B, C, D]"
    assert refused(text, secrets={"A": "long-enough", "B": "short", "C": ""}) == [
        "3 things are wrong with what the document is given:",
        "  the secret B has fewer than 6 characters (hiding so short a text would hide ordinary text, too)",
        "  the secret C is empty (set it in the environment, or in a file named by --env-file)",
        "  the secret D is not there (set it in the environment, or in a file named by --env-file)",
    ]
    assert given("secrets: [A]", secrets={"A": "sesame", "OTHER": "x"})[2] == {"A": "sesame"}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = "config: { a: { type: number } }\ninput: { b: string }\nsecrets: [C]"
    said = refused(text, "a=x", "zz=1")
    assert [line.strip().split(" (")[0] for line in said] == [
        "4 things are wrong with what the document is given:",
        "--set zz: the document has no config value 'zz'",
        "--set a must be a number, not text 'x'",
        "the argument `b` is missing",
        "the secret C is not there",
    ]


def test_long_and_strange_values_are_shown_short_and_harmless() -> None:
    text = "config: { a: { type: number } }"
    (said,) = refused(text, "a=" + "x" * 500)
    assert len(said) < 120
    (said,) = refused(text, "a=\x1b]8;;evil\x07")
    assert said.isprintable()
