"""From a tree to closures: what an expression does when it is evaluated.

Every node becomes a function of one `Frame`. That is a few times faster than walking the tree (a simple
expression takes well under a microsecond), and the common cases (a member of a dict, two numbers) are decided
by one or two `type(x) is` tests before anything general is tried. Nothing here recurses over data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weft.errors import ExpressionError
from weft.text import syntax
from weft.text.data import equal, is_list, is_number, is_object, show, type_name
from weft.text.functions import FUNCTIONS
from weft.text.operators import ARITHMETIC, described, fit, located, number_hint, take, unfit
from weft.text.scope import Fault, Frame, exhausted

Run = Callable[[Frame], object]


def compile_node(node: syntax.Node) -> Run:
    """The function that evaluates `node`. Recursion is bounded by the node's height."""
    return _COMPILERS[type(node)](node)


# ---- values and names


def _literal(node: syntax.Literal) -> Run:
    value = node.value
    return lambda _: value


def _node_name(node: syntax.NodeName) -> Run:
    id_, field = node.id, node.field
    return lambda frame: frame.scope.node(id_, field)


def _name(node: syntax.Name) -> Run:
    name = node.name
    return lambda frame: frame.scope.name(name)


def _special(node: syntax.Special) -> Run:
    name = node.name

    def run(frame: Frame) -> object:
        bound = frame.locals
        if bound is not None and name in bound:
            return bound[name]
        return frame.scope.special(name)

    return run


def _parameter(node: syntax.Parameter) -> Run:
    slot = node.slot
    return lambda frame: frame.slots[slot]


# ---- members


def _member(node: syntax.Member) -> Run:
    target = compile_node(node.target)
    keys = node.keys
    if len(keys) > 1:

        def run_path(frame: Frame) -> object:
            value = target(frame)
            for key in keys:
                value = value.get(key) if type(value) is dict else _slow_member(value, key, node)
            return value

        return run_path
    (only,) = keys

    def run(frame: Frame) -> object:
        value = target(frame)
        if type(value) is dict:
            return value.get(only)
        return _slow_member(value, only, node)

    return run


_LIKE_METHODS = {
    "length": "length(x)",
    "size": "length(x)",
    "count": "count(x)",
    "first": "first(x)",
    "last": "last(x)",
}


def _slow_member(value: Any, key: str, node: syntax.Node) -> object:
    if value is None:
        return None
    if is_object(value):
        return value.get(key)
    kind = type_name(value)
    hint = f"write {_LIKE_METHODS[key]}" if key in _LIKE_METHODS else None
    if hint is None and kind == "list":
        hint = f"map(xs, x => x[{show(key)}]) reads it from every element, xs[0] is one of them"
    raise ExpressionError(
        f"{kind} {show(value)} has no member {show(key)}", node.start, node.end, code="WEFT423", hint=hint
    )


def _index(node: syntax.Index) -> Run:
    target, index = compile_node(node.target), compile_node(node.index)

    def run(frame: Frame) -> object:
        value: Any = target(frame)
        at: Any = index(frame)
        if type(at) is int and (type(value) is list or type(value) is str or is_list(value)):
            return value[at] if -len(value) <= at < len(value) else None
        if value is None:
            return None
        if type(at) is str and is_object(value):
            return value.get(at)
        raise _bad_index(value, at, node)

    return run


def _bad_index(value: object, at: object, node: syntax.Node) -> ExpressionError:
    kind, shown = type_name(value), show(at)
    if kind not in ("list", "text", "object"):
        message, hint = f"{kind} {show(value)} has no members", None
    elif kind == "object":
        message, hint = f"an object has texts as keys, not {type_name(at)} {shown}", "x[to_text(key)]"
    else:
        message, hint = f"the index of a {kind} is a whole number, not {type_name(at)} {shown}", None
        if type(at) is float:
            hint = "floor(x) or round(x) make a whole number"
        elif type(at) is str and kind == "list":
            hint = f"map(xs, x => x[{shown}]) reads it from every element"
    return ExpressionError(message, node.start, node.end, code="WEFT423", hint=hint)


def _slice(node: syntax.Slice) -> Run:
    target = compile_node(node.target)
    low = compile_node(node.low) if node.low is not None else None
    high = compile_node(node.high) if node.high is not None else None

    def run(frame: Frame) -> object:
        value: Any = target(frame)
        a: Any = low(frame) if low is not None else None
        b: Any = high(frame) if high is not None else None
        for bound in (a, b):
            if bound is not None and type(bound) is not int:
                raise _bad_index([], bound, node)
        if value is None:
            return None
        if not isinstance(value, str) and not is_list(value):
            message = f"only lists and texts can be cut, not {type_name(value)} {show(value)}"
            raise ExpressionError(message, node.start, node.end, code="WEFT423")
        take(frame, len(range(*slice(a, b).indices(len(value)))) // 2, node)
        return value[a:b] if isinstance(value, str) else list(value[a:b])

    return run


# ---- operators


def _not(node: syntax.Not) -> Run:
    operand = compile_node(node.operand)
    return lambda frame: not operand(frame)


def _negative(node: syntax.Negative) -> Run:
    operand = compile_node(node.operand)

    def run(frame: Frame) -> object:
        value: Any = operand(frame)
        if not is_number(value):
            raise unfit("-", value, node)
        return fit(-value, node)

    return run


def _chain(node: syntax.Chain) -> Run:
    first = compile_node(node.first)
    if node.steps[0].operator in ARITHMETIC:
        return _arithmetic(first, node)
    steps = [(step.operator, compile_node(step.operand)) for step in node.steps]

    def run(frame: Frame) -> object:
        value = first(frame)
        for operator, operand in steps:
            if operator == "and":
                if value:
                    value = operand(frame)
            elif value is None or (operator == "or" and not value):
                value = operand(frame)
        return value

    return run


def _arithmetic(first: Run, node: syntax.Chain) -> Run:
    if len(node.steps) > 1:
        steps = [(ARITHMETIC[step.operator], compile_node(step.operand), step) for step in node.steps]

        def run_row(frame: Frame) -> object:
            value = first(frame)
            for apply, operand, step in steps:
                value = apply(value, operand(frame), frame, step)
            return value

        return run_row
    (only,) = node.steps
    apply, operand = ARITHMETIC[only.operator], compile_node(only.operand)
    return lambda frame: apply(first(frame), operand(frame), frame, only)


# ---- comparisons


def _comparison(node: syntax.Comparison) -> Run:
    left, right = compile_node(node.left), compile_node(node.right)
    operator = node.operator
    if operator in ("==", "!="):
        return _equality(left, right, operator == "==", node)
    if operator in ("in", "not in"):
        return _membership(left, right, operator == "in", node)
    return _order(left, right, node)


def _equality(left: Run, right: Run, wanted: bool, node: syntax.Node) -> Run:
    def run(frame: Frame) -> object:
        a, b = left(frame), right(frame)
        if type(a) is str and type(b) is str:
            return (a == b) is wanted
        try:
            return equal(a, b, frame) is wanted
        except Fault as fault:
            raise located(fault, node) from None

    return run


def _membership(left: Run, right: Run, wanted: bool, node: syntax.Node) -> Run:
    contains = FUNCTIONS["contains"].run

    def run(frame: Frame) -> object:
        a, b = left(frame), right(frame)
        try:
            return contains(frame, b, a) is wanted
        except Fault as fault:
            raise located(fault, node) from None

    return run


def _order(left: Run, right: Run, node: syntax.Comparison) -> Run:
    compare = _ORDERS[node.operator]

    def run(frame: Frame) -> object:
        a, b = left(frame), right(frame)
        if type(a) is int and type(b) is int:
            return compare(a, b)
        if (is_number(a) and is_number(b)) or (isinstance(a, str) and isinstance(b, str)):
            return compare(a, b)
        raise ExpressionError(
            f"cannot compare {described(a)} with {described(b)}",
            node.start,
            node.end,
            code="WEFT420",
            hint=number_hint(a, b),
        )

    return run


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _conditional(node: syntax.Conditional) -> Run:
    condition, then, otherwise = map(compile_node, (node.condition, node.then, node.otherwise))
    return lambda frame: then(frame) if condition(frame) else otherwise(frame)


# ---- lists and objects


def _list_of(node: syntax.ListOf) -> Run:
    if not any(isinstance(each, syntax.Spread) for each in node.items):
        items = [compile_node(each) for each in node.items]
        return lambda frame: [item(frame) for item in items]
    parts = [
        (_spread(each), each) if isinstance(each, syntax.Spread) else (compile_node(each), None) for each in node.items
    ]

    def run(frame: Frame) -> object:
        made: list[object] = []
        for part, spread in parts:
            value: Any = part(frame)
            if spread is None:
                made.append(value)
            elif is_list(value):
                take(frame, len(value) // 2, spread)
                made.extend(value)
            elif value is not None:
                raise _bad_spread("a list", value, spread)
        return made

    return run


def _spread(node: syntax.Spread) -> Run:
    return compile_node(node.value)


def _bad_spread(wanted: str, value: object, node: syntax.Node) -> ExpressionError:
    return ExpressionError(f"`...` needs {wanted} here, not {described(value)}", node.start, node.end, code="WEFT420")


def _object_of(node: syntax.ObjectOf) -> Run:
    parts = [
        (key, compile_node(each.value if isinstance(each, syntax.Spread) else each), each) for key, each in node.entries
    ]

    def run(frame: Frame) -> object:
        made: dict[str, object] = {}
        for key, part, each in parts:
            value: Any = part(frame)
            if key is not None:
                made[key] = value
            elif is_object(value):
                take(frame, 2 * len(value), each)
                made.update(value)
            elif value is not None:
                raise _bad_spread("an object", value, each)
        return made

    return run


# ---- calls


def _call(node: syntax.Call) -> Run:
    function = FUNCTIONS[node.function]
    implementation = function.run
    arguments = [_lambda(each) if isinstance(each, syntax.Lambda) else compile_node(each) for each in node.arguments]
    if len(arguments) == 1:
        (only,) = arguments

        def run_one(frame: Frame) -> object:
            value = only(frame)
            try:
                return implementation(frame, value)
            except Fault as fault:
                raise _in_call(fault, node) from None

        return run_one

    def run(frame: Frame) -> object:
        values = [argument(frame) for argument in arguments]
        try:
            return implementation(frame, *values)
        except Fault as fault:
            raise _in_call(fault, node) from None

    return run


def _in_call(fault: Fault, node: syntax.Call) -> ExpressionError:
    message = f"{node.function}: {fault.message}" if fault.code == "WEFT424" else fault.message
    return ExpressionError(message, node.start, node.end, code=fault.code, hint=fault.hint)


def _lambda(node: syntax.Lambda) -> Run:
    """What makes the Python function of a lambda; it takes more arguments than it has parameters."""
    body, cost = compile_node(node.body), node.cost
    if len(node.slots) == 1:
        (slot,) = node.slots

        def bind_one(frame: Frame) -> object:
            slots = frame.slots

            def call(value: object, *_: object) -> object:
                frame.left -= cost
                if frame.left < 0:
                    raise exhausted()
                slots[slot] = value
                return body(frame)

            return call

        return bind_one
    places = node.slots

    def bind(frame: Frame) -> object:
        slots = frame.slots

        def call(*values: object) -> object:
            frame.left -= cost
            if frame.left < 0:
                raise exhausted()
            for place, value in zip(places, values, strict=False):
                slots[place] = value
            return body(frame)

        return call

    return bind


_COMPILERS: dict[type, Callable[[Any], Run]] = {
    syntax.Literal: _literal,
    syntax.NodeName: _node_name,
    syntax.Name: _name,
    syntax.Special: _special,
    syntax.Parameter: _parameter,
    syntax.Member: _member,
    syntax.Index: _index,
    syntax.Slice: _slice,
    syntax.Not: _not,
    syntax.Negative: _negative,
    syntax.Chain: _chain,
    syntax.Comparison: _comparison,
    syntax.Conditional: _conditional,
    syntax.ListOf: _list_of,
    syntax.ObjectOf: _object_of,
    syntax.Call: _call,
}
