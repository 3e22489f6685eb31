"""Texts and values that have hurt other engines: shells, templates, control results, escapes. A canary file is what
they would make if somebody obeyed them.
"""

from __future__ import annotations

from itertools import product
from typing import Any

CANARY = "canary-was-made"

_DO = (f"touch {CANARY}", f"echo x > {CANARY}")
_SHELLS = (
    "{}", "; {} ;", "| {}", "|| {}", "&& {} &&", "& {} &", "`{}`", "$({})", "$(({}))", "${{x:-$({})}}", "\n{}\n", "\r\n{}\r\n",
    "'; {}; '", '"; {}; "', "' ; {} #", '" ; {} #', "\\'; {}; \\'", "<({})", "#\n{}", "!{}", "x\n{} <<EOF\nEOF\n", "-exec {} ;",
    "--upload-pack={}", "-oProxyCommand={}", "() {{ :; }}; {}", "%0a{}", "a=$({}) ", "}}; {}; {{", "]]; {}; [[", "*;{};?",
)  # fmt: skip
_PYTHON = (
    f"__import__('os').system('touch {CANARY}')",
    f"open('{CANARY}', 'w')",
    f"''.__class__.__mro__[1].__subclasses__() or open('{CANARY}','w')",
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    f"!!python/name:os.system touch {CANARY}",
    f"cos\nsystem\n(S'touch {CANARY}'\ntR.",
    f"{{x.__init__.__globals__[os].system('touch {CANARY}')}}",
    f'f\'{{open("{CANARY}", "w")}}\'',
    f"lambda: open('{CANARY}', 'w')",
    f"%(open('{CANARY}','w'))s",
)
_TEMPLATES = (
    "{{{{ {} }}}}", "{{% {} %}}", "${{{{ {} }}}}", "${{{}}}", "#{{{}}}", "<%= {} %>", "{{{{{{ {} }}}}}}", "\\{{{{ {} }}}}",
    "}}}}{{{{ {} }}}}", "{{{{ {}", "@({})", "[[{}]]", "*{{{}}}", "{{{{`{}`}}}}",
)  # fmt: skip
_INSIDE = (
    "1 + 1",
    "input",
    "$secrets.TOKEN",
    "$env.HOME",
    "$config.x",
    "numbers",
    "$run.id",
    "uuid()",
    "range(10 ** 12)",
)
_TAGS = (
    "</workflow>", "</stdin>", "</command>", "</env>", "<command id='x'>touch canary-was-made</command>", "<!-- ", " -->",
    "<![CDATA[x]]>", "<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>", "&lt;&amp;&#0;&y;", "```\n</workflow>\n```",
    "~~~", "---\nname: x\n---", "---", "...", "- a\n- b", "a: b", "&a [*a]", "*a", "? x", "|", ">", "!!binary aGk=", "<<: {a: 1}",
)  # fmt: skip
_CONTROL = (
    "\0", "a\0b", "\x01\x02\x03", "\x07\x08\x7f", "\x1b[31mred", "\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x1b]52;c;Y2FuYXJ5\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "\x1bc", "\x9b31m", "\u202egnp.exe", "\u2066\u2069\u200f\u200e",
    "\ufeffbom", "a\u0300\u0301\u0302", "\u2028\u2029\x85", "\r", "\r\n", "\n\n\n", "\t", "\x0b\x0c\x1c\x1d\x1e\x1f", " ", "",
    "\U0001f4a9", "\U000e0041", "\ud7ff\ue000\uffff\U0010ffff", "ﷺ" * 20, "İıſK", "ⅸ", "１２３", "١٢٣", "null\0byte",
)  # fmt: skip
_WORDS = (
    "null", "true", "false", "NaN", "-Infinity", "1e999", "0x10", "012", "1_000", "-0", "1:30", "on", "no", "~", "undefined",
    "None", "True", "[object Object]", "__proto__", "constructor", "__class__", "../../etc/passwd", "/etc/passwd", "~/.ssh/id_rsa",
    "C:\\boot.ini", "\\\\host\\share", "%2e%2e%2f", "file:///etc/passwd", "http://169.254.169.254/", "CON", "-rf", "--help", "-",
    "--", "@/etc/passwd", "@file", "=cmd|' /C calc'!A0", "+1+1", "' OR 1=1 --", "'; DROP TABLE runs; --", '"', "'", "\\", "\\\\",
    "\\n", "%s%n%x", "%999999999d", "{0.__class__}", "$$", "$1", "$HOME", "${HOME}", "`id`", "BLOCKED", "<script>alert(1)</script>",
    "9223372036854775808", "x" * 5000, "'" * 999, '"' * 999, "\\" * 999, "{" * 500, "[" * 500, "(" * 500, "{{ " * 200,
)  # fmt: skip


def _texts() -> list[str]:
    shells = [shape.format(do) for shape, do in product(_SHELLS, _DO)]
    templates = [shape.format(inside) for shape, inside in product(_TEMPLATES, _INSIDE)]
    plain = [*shells, *_PYTHON, *templates, *_TAGS, *_CONTROL, *_WORDS]
    framed = [f"a{text}b" for text in (*shells, *_PYTHON, *_CONTROL)] + [f"{text}\n" for text in (*_TAGS, *_WORDS)]
    return list(dict.fromkeys([*plain, *framed]))


TEXTS = _texts()
"""About 500 of them, no two alike."""

LOOKALIKES: list[Any] = [
    {"type": "Output", "value": 1, "exit_code": 0, "stderr": ""},
    {"type": "AttemptSucceeded", "path": "copy", "attempt": 1, "output": 1},
    {"type": "RunFinished", "status": "failed"},
    ["FileRows", {"path": "/etc/passwd", "size": 1, "digest": "", "format": "lines", "count": 1, "mtime_ns": 0}],
    ["FileList", {"folder": "/etc", "format": "text", "entries": [{"path": "passwd", "name": "passwd", "size": 1}]}],
    {"path": "/etc/passwd", "size": 1, "digest": "", "format": "lines", "count": 1, "mtime_ns": 0},
    {"folder": "/etc", "format": "text", "entries": []},
    {"sha256": "0" * 64, "size": 9},
    {"blob": {"sha256": "0" * 64, "size": 9}},
    {"place": ["a"], "start": 0, "name": "TOKEN", "form": "plain", "key": False},
    {"secrets": [{"place": [], "start": 0, "name": "TOKEN", "form": "plain"}], "output": "***"},
    "***",
    {"***": "***", "****": 1},
    {"status": "BLOCKED"},
    {"status": "failed", "error": "x", "output": None},
    {"status": "skipped", "reason": "never started: x failed"},
    {"exit_code": 1, "stderr": "failed"},
    {"error": {"type": "Timeout", "message": "x", "retryable": True}},
    {"$secrets": {"TOKEN": "x"}, "$ref": "#/a", "$item": 1, "$key": "k"},
    {"output": 1, "error": 2, "status": 3, "attempts": 4, "duration": 5, "stderr": 6, "exit_code": 7},
    {"__proto__": {"polluted": True}, "__class__": "x", "__reduce__": ["os.system", "x"]},
    {"": "", " ": " ", "a.b": 1, "a[0]": 2, "a b": 3, "\0": 4, "k" * 5000: 5},
    [[[[[[[[[[[[[[[[[[[["deep"]]]]]]]]]]]]]]]]]]]],
    [None, True, False, 0, -1, 2**63 - 1, -(2**63), 0.1, -0.5, 1e300, 5e-324, 1.0],
    {"message": "retry", "retryable": True, "retry_after": 0},
    [{"goto": "end"}, {"break": True}, {"next": "x"}],
]
"""Values that look like what the engine itself says, or like its records."""

VALUES: list[Any] = [*TEXTS, *LOOKALIKES]
