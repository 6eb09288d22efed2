"""Rules between a form's fields, such as "total == a + b": checked when a form is saved, evaluated when it is read."""

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from simpleeval import DEFAULT_OPERATORS, InvalidExpression, SimpleEval

Number = float | int
Tables = Mapping[str, tuple[int, int]]

LONGEST = 500  # characters of a rule
# What a rule is made of; powers, strings and what else simpleeval knows could take long.
ALLOWED = (
    *(ast.Expression, ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Load, ast.Constant),
    *(ast.cmpop, ast.boolop, ast.unaryop, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.keyword),
)


def _same(a: Number, b: Number) -> bool:
    """Say whether two values are the same: 0.1 + 0.2 is 0.3, which floats are not."""
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-9)


OPERATORS = DEFAULT_OPERATORS | {
    ast.Eq: _same,
    ast.NotEq: lambda a, b: not _same(a, b),
    ast.LtE: lambda a, b: a <= b or _same(a, b),
    ast.GtE: lambda a, b: a >= b or _same(a, b),
    ast.Lt: lambda a, b: a < b and not _same(a, b),
    ast.Gt: lambda a, b: a > b and not _same(a, b),
}


def check(rule: str, tables: Tables, names: Iterable[str]) -> None:
    """Check a rule against the fields that there are.

    Args:
        rule: an expression.
        tables: name -> rows and columns.
        names: of all fields, the cells of tables included.

    Raises:
        ValueError: no expression, an unknown name, no such row or column of a table, or not a comparison.
    """
    if len(rule) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    try:
        tree = ast.parse(rule.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{rule!r} is no expression, such as total == a + b") from None
    if not isinstance(tree.body, (ast.Compare, ast.BoolOp)):
        raise ValueError(f"{rule!r} does not compare anything, as total == a + b does")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, (int, float)):
                raise ValueError(f"{rule!r}: {node.value!r} is no number")
        elif not isinstance(node, ALLOWED):
            raise ValueError(f"{rule!r}: {type(node).__name__} is not allowed in a rule")
    known = set(names)
    for name in names_in(rule, tables):
        if name not in known:
            raise ValueError(f"{rule!r}: there is no field {name}")


def is_equation(rule: str) -> bool:
    """Say whether a rule is one equation, such as total == a + b."""
    body = ast.parse(rule.strip(), mode="eval").body
    return isinstance(body, ast.Compare) and all(isinstance(each, ast.Eq) for each in body.ops)


def gap(rule: str, tables: Tables, values: Mapping[str, Number | None]) -> float | None:
    """Return how much greater the left side of an equation is than the right one.

    None where the rule is not one equation of two sides, or a value that it speaks of is missing.

    Args:
        rule, tables, values: as for `holds`.
    """
    body = ast.parse(rule.strip(), mode="eval").body
    if not (isinstance(body, ast.Compare) and is_equation(rule) and len(body.ops) == 1):
        return None
    found = _evaluated(f"({ast.unparse(body.left)}) - ({ast.unparse(body.comparators[0])})", tables, values)
    return None if found is None else float(found)


def names_in(rule: str, tables: Tables) -> set[str]:
    """Return the fields that a rule speaks of, cells of tables one by one.

    Raises:
        ValueError: a table's row or column that there is not.
    """
    tree = ast.parse(rule.strip(), mode="eval")
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names: set[str] = set()
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            table, cells = _cells_of(node, rule, tables)
            if table is not None:
                names |= cells
                inside.add(id(node.args[0]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in called | inside:
            names.add(node.id)
    return names


def _cells_of(node: ast.Call, rule: str, tables: Tables) -> tuple[str | None, set[str]]:
    """Return the table that a call sums over and the names of its cells; None for abs, min, max."""
    function = node.func.id if isinstance(node.func, ast.Name) else ""
    if function in ("abs", "min", "max"):
        return None, set()
    if function not in ("sum", "row", "column") or node.keywords:
        raise ValueError(f"{rule!r}: the functions of rules are sum, row, column, abs, min, max")
    table = node.args[0].id if node.args and isinstance(node.args[0], ast.Name) else ""
    if table not in tables or len(node.args) != (1 if function == "sum" else 2):
        raise ValueError(
            f"{rule!r}: {function} takes the name of a table{'' if function == 'sum' else ' and a number'}"
        )
    rows, columns = tables[table]
    numbers = {"row": range(1, rows + 1), "column": range(1, columns + 1)}
    if function == "sum":
        return table, {f"{table}_{i}_{j}" for i in numbers["row"] for j in numbers["column"]}
    which = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
    if which not in numbers[function]:
        raise ValueError(f"{rule!r}: {table} has {len(numbers[function])} {function}s")
    return table, {
        f"{table}_{i}_{j}"
        for i in numbers["row"]
        for j in numbers["column"]
        if which == (i if function == "row" else j)
    }


def holds(rule: str, tables: Tables, values: Mapping[str, Number | None]) -> bool | None:
    """Say whether a rule holds; None where a value that it speaks of is missing.

    Empty cells of a table count as nothing in sums.

    Args:
        rule: one that `check` let pass.
        tables: name -> rows and columns.
        values: name -> value, None for a field that is empty or unreadable.
    """
    found = _evaluated(rule, tables, values)
    return None if found is None else bool(found)


def _evaluated(expression: str, tables: Tables, values: Mapping[str, Number | None]) -> Any:
    """Return what an expression is worth; None where a value that it speaks of is missing."""

    def total(cells: Callable[[int, int], bool], table: str) -> Number:
        rows, columns = tables[table]
        found = (
            values.get(f"{table}_{i}_{j}") for i in range(1, rows + 1) for j in range(1, columns + 1) if cells(i, j)
        )
        return sum(value for value in found if value is not None)

    functions: dict[str, Any] = {
        "sum": lambda table: total(lambda i, j: True, table),
        "row": lambda table, number: total(lambda i, j: i == number, table),
        "column": lambda table, number: total(lambda i, j: j == number, table),
        "abs": abs,
        "min": min,
        "max": max,
    }
    single = {name: value for name, value in values.items() if value is not None}
    names = single | {name: name for name in tables}
    try:
        return SimpleEval(operators=OPERATORS, functions=functions, names=names).eval(expression)
    except (InvalidExpression, ArithmeticError, TypeError, ValueError):
        return None
