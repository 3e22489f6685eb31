"""Random expressions, well-formed and not: nothing but ExpressionError comes out, soon, and nothing is touched."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

from timing import within
from weft.errors import ExpressionError
from weft.text.data import measure, to_json
from weft.text.durations import parse_duration
from weft.text.expressions import CODES, Fuel, MappingScope, parse
from weft.text.functions import FUNCTIONS
from weft.text.templates import parse_template

SCALE = float(os.environ.get("WEFT_FUZZ_SCALE", "1"))
SECONDS = 3.0
"""What one expression may take. Alone on a machine none takes one; the tests share theirs."""

NODES = ("scores", "fetch-all", "fetch")
NAMES = ("row", "xs", "t", "n", "none", "o", "big")
SCOPE = MappingScope(
    nodes={"scores": [{"score": 1, "name": "a"}, {"score": 2.5, "name": None}], "fetch-all": {"x": [1]}, "fetch": 3},
    names={
        "row": {"score": 60, "tags": ["a", "b"]},
        "xs": [3, 1, 2, 2**63 - 1, -0.0, 1e308],
        "t": "Text with ünïcödé 2024-05-01T00:00:00Z {{ x }} \x1b[31m",
        "n": 42,
        "none": None,
        "o": {"a": 1, "__class__": {"k": []}},
        "big": list(range(5_000)),
        "input": {"title": "x"},
    },
    specials={name: {"k": 1, "id": "r"} for name in ("item", "config", "secrets", "run", "env", "context", "error")},
)

_ATOMS = (
    "1", "0", "-1", "2.5", "1e308", "9223372036854775807", "9223372036854775808", "true", "false", "null", "'a'",
    "''", '"b\\n"', "'ü'", "'2024-05-01'", "'1h30m'", "'(a+)+$'", "'[1,", '{"a":', "2}]'", "scores", "fetch-all",
    "fetch", "row", "xs", "t", "n", "none", "o", "big", "input", "unknown", "$item", "$config.k", "$secrets.k",
    "$run.id", "$env", "$index", "fetch-all.output", "scores.status", "'%Y-%m'", "'desc'", "1000000000", "x", "y",
)  # fmt: skip
_OPERATORS = (
    "+", "-", "*", "/", "%", "==", "!=", "===", "<", "<=", ">", ">=", "in", "not in", "and", "or", "&&", "||", "??",
)  # fmt: skip
_ILL = ("=", "&", "**", "//", "=>", ".", "?.", ",", ":", "|", "?", "if", "else", "", "AND")
_NOISE = (
    "(", ")", "[", "]", "{", "}", "'", '"', "\\", "-", ".", "$", "|", "=>", "\0", "\n", "💥", "\u202e", "\u0663", " ",
)  # fmt: skip


class Maker:
    """Random expressions by the grammar."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def expression(self, depth: int = 0) -> str:
        if depth > 4 or self.chance.random() < 0.2:
            return self.chance.choice(_ATOMS)
        kinds: list[Callable[[int], str]] = [
            self.operation, self.operation, self.unary, self.member, self.index, self.call, self.call,
            self.call, self.pipe,
            self.list_of, self.object_of, self.conditional, self.group,
        ]  # fmt: skip
        return self.chance.choice(kinds)(depth + 1)

    def operation(self, depth: int) -> str:
        operator = self.chance.choice(_OPERATORS if self.chance.random() < 0.97 else _ILL)
        return f"{self.expression(depth)} {operator} {self.expression(depth)}"

    def unary(self, depth: int) -> str:
        return self.chance.choice(["-", "not ", "!"]) + self.expression(depth)

    def member(self, depth: int) -> str:
        dot, key = self.chance.choice((".", "?.")), self.chance.choice(("score", "a", "k", "__class__"))
        return f"{self.expression(depth)}{dot}{key}"

    def index(self, depth: int) -> str:
        inside = self.expression(depth)
        if self.chance.random() < 0.3:
            inside = f"{inside}:{self.expression(depth)}"
        return f"{self.expression(depth)}[{inside}]"

    def call(self, depth: int, first: str | None = None) -> str:
        function = self.chance.choice(list(FUNCTIONS.values()))
        count = self.chance.randint(function.low, function.high if function.high is not None else function.low + 2)
        arguments = [] if first is None else [first]
        while len(arguments) < count:
            lambda_ = len(arguments) == function.lambda_at
            arguments.append(self.lambda_(function.lambda_takes, depth) if lambda_ else self.expression(depth))
        if first is not None:
            return f"{first} | {function.name}({', '.join(arguments[1:])})"
        return f"{function.name}({', '.join(arguments)})"

    def lambda_(self, takes: int, depth: int) -> str:
        names = ["x", "y", "z"][: self.chance.randint(1, takes)]
        return f"({', '.join(names)}) => {self.expression(depth)}"

    def pipe(self, depth: int) -> str:
        return self.call(depth, self.expression(depth))

    def list_of(self, depth: int) -> str:
        parts = [self.chance.choice(["", "", "..."]) + self.expression(depth) for _ in range(self.chance.randrange(4))]
        return f"[{', '.join(parts)}]"

    def object_of(self, depth: int) -> str:
        parts = [f"{key}: {self.expression(depth)}" for key in ("a", "'b c'", "if")[: self.chance.randrange(4)]]
        if self.chance.random() < 0.3:
            parts.append("..." + self.expression(depth))
        return f"{{{', '.join(parts)}}}"

    def conditional(self, depth: int) -> str:
        a, b, c = (self.expression(depth) for _ in range(3))
        return f"{a} ? {b} : {c}" if self.chance.random() < 0.5 else f"{a} if {b} else {c}"

    def group(self, depth: int) -> str:
        return f"({self.expression(depth)})"


def mutated(chance: random.Random, text: str) -> str:
    """The text with some characters put in, taken out, doubled or exchanged."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        noise = chance.choice((*_NOISE, chr(chance.randrange(0xD800))))
        text = chance.choice(
            (
                text[:at] + noise + text[at:],
                text[:at] + text[at + 1 :],
                text[:at] + text[at:] * 2,
                text[at:] + text[:at],
            )
        )
        text = text[:5_000]
    return text


def attempt(text: str, use: Callable[[str], object]) -> bool:
    """Whether it went well. Anything but an ExpressionError with a place in the text fails the test."""
    begin = time.perf_counter()
    problem: ExpressionError | None = None
    missing = ""
    try:
        use(text)
    except ExpressionError as caught:
        problem = caught
    except KeyError as caught:
        missing = caught.args[0]
    within(SECONDS, begin, text)
    assert missing not in (*NODES, *NAMES), text
    if problem is not None:
        assert problem.code in CODES, text
        assert 0 <= problem.start < problem.end <= len(text) + 1, (text, problem.start, problem.end)
        assert problem.message.isprintable(), (text, problem.message)
        assert len(problem.message) < 400, text
    return problem is None and not missing


def evaluate(text: str) -> None:
    value = parse(text, nodes=NODES, names=NAMES).evaluate(SCOPE)
    measure(value, Fuel())
    to_json(value, Fuel())


def test_random_expressions_give_data_or_an_error_with_a_place() -> None:
    chance = random.Random(7)
    maker = Maker(chance)
    went_well = sum(attempt(maker.expression(), evaluate) for _ in range(int(3_000 * SCALE)))
    assert went_well > 300 * SCALE


def test_damaged_expressions_give_data_or_an_error_with_a_place() -> None:
    chance = random.Random(11)
    maker = Maker(chance)
    for _ in range(int(3_000 * SCALE)):
        attempt(mutated(chance, maker.expression()), evaluate)


def test_damaged_templates_give_text_or_an_error_with_a_place() -> None:
    chance = random.Random(13)
    maker = Maker(chance)

    def fill(text: str) -> None:
        parse_template(text, nodes=NODES, names=NAMES).evaluate(SCOPE, keep_type=False)

    for _ in range(int(1_000 * SCALE)):
        text = f"a {{{{ {maker.expression(2)} }}}} \\{{{{ b {{{{ {maker.expression(3)} }}}}"
        attempt(text, fill)
        attempt(mutated(chance, text), fill)


def test_random_bytes_are_no_expression_or_one() -> None:
    chance = random.Random(17)
    alphabet = "abx19.$'\"()[]{}|?:,=!<>+-*/% \n\\_\0é"
    for _ in range(int(3_000 * SCALE)):
        attempt("".join(chance.choice(alphabet) for _ in range(chance.randrange(40))), evaluate)


def test_random_durations_are_seconds_or_an_error() -> None:
    chance = random.Random(19)
    for _ in range(int(3_000 * SCALE)):
        text = "".join(chance.choice("0123456789.dhmsPT e-") for _ in range(chance.randrange(9)))
        attempt(text, parse_duration)


_UNDER_WATCH = """
import sys
from weft.text.expressions import MappingScope, parse
import base64, datetime, difflib, decimal, hashlib, json, random, unicodedata, urllib.parse, uuid  # lazy ones

lines = [line for line in sys.stdin.read().split("\\0") if line]
scope = MappingScope(names={"t": "text", "xs": [1, 2]})
parse("[now(), uuid(), random(), hash('a'), round(1.5, 1), slug('a'), to_text([t])]").evaluate(scope)
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if armed else None)
armed = True
for line in lines:
    try:
        parse(line).evaluate(scope)
    except Exception as error:
        assert type(error).__name__ in ("ExpressionError", "KeyError"), (line, error)
armed = False
harmless = ("builtins.id", "object.__", "sys._getframe")
print(sorted({event for event in seen if not event.startswith(harmless)}))
"""


def test_evaluating_opens_imports_and_starts_nothing() -> None:
    """Python's own audit events, of a few hundred expressions and of what is known to break out elsewhere."""
    maker = Maker(random.Random(23))
    expressions = [maker.expression() for _ in range(400)] + [
        "''.__class__.__mro__[1].__subclasses__()", "__import__('os').system('id')", "open('/etc/passwd')",
        "eval('1')", "t.constructor.constructor('return process')()", "'{0.__class__}'.format(t)",
        "t|attr('__class__')",
        "test(t, '(a+)+$')", "sort(xs) | map(x => parse_time(x))", "base64_decode('gASVBQ==')",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_WATCH], input="\0".join(expressions), capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
