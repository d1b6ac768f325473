"""Every small change of a module that a tired programmer might make: a comparison, a sign, a bound, a guard."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil"}


@dataclass(frozen=True)
class Mutant:
    """One change of one function.

    Attributes:
        module: As in ``kcloud_autoscale.decide.guard``.
        function: Its qualified name, of the outermost function where it is nested.
        line: Where.
        change: What, as in ``a < b  ->  a <= b``.
        code: Of the function with the change in it.
        id: The same as long as the module's text is.
    """

    module: str
    function: str
    line: int
    change: str
    code: CodeType
    id: str


def mutants_of(path: Path, module: str) -> Iterator[Mutant]:
    """All changes of the functions of a module."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    for number, (function, node, new) in enumerate(_changes(tree)):
        mutated = copy.deepcopy(tree)
        _replace(mutated, node, new)
        code = compile(ast.fix_missing_locations(mutated), str(path), "exec")
        found = code_of(code, function)
        if found is not None:
            line = getattr(node, "lineno", 0)
            change = f"{ast.unparse(node)}  ->  {ast.unparse(new)}"
            named = hashlib.blake2b(f"{module}:{number}:{text}".encode(), digest_size=8).hexdigest()
            yield Mutant(module, function, line, change, found, named)


def code_of(code: CodeType, qualified: str) -> CodeType | None:
    """The code of a function or method within that of its module."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_qualname == qualified:
                return constant
            if (inner := code_of(constant, qualified)) is not None:
                return inner
    return None


def _changes(tree: ast.Module) -> Iterator[tuple[str, ast.expr, ast.expr]]:
    for scope, body in (("", tree.body), *((f"{c.name}.", c.body) for c in tree.body if isinstance(c, ast.ClassDef))):
        for function in body:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in _expressions(function):
                    for new in _mutations(node):
                        yield f"{scope}{function.name}", node, new


def _expressions(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    """What is computed in it; neither annotations nor what an error says."""
    waiting: list[ast.AST] = [*reversed(function.body)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
            continue
        if isinstance(node, ast.AnnAssign):
            waiting += [node.value] if node.value is not None else []
            continue
        if isinstance(node, ast.expr):
            yield node
        if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
            yield _Guard(node.test)
        waiting += [*reversed(list(ast.iter_child_nodes(node)))]


class _Guard(ast.expr):
    """The condition of a branch, to be inverted."""

    def __init__(self, test: ast.expr) -> None:
        self.test = test
        self.lineno, self.col_offset = test.lineno, test.col_offset
        self.end_lineno, self.end_col_offset = test.end_lineno, test.end_col_offset


def _mutations(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case _Guard():
            yield ast.UnaryOp(ast.Not(), copy.deepcopy(node.test))
        case ast.Compare(ops=[op, *_]) if type(op) in _COMPARE:
            new = copy.deepcopy(node)
            new.ops[0] = _COMPARE[type(op)]()
            yield new
        case ast.BoolOp():
            new_bool = copy.deepcopy(node)
            new_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield new_bool
        case ast.UnaryOp(op=ast.Not()):
            yield copy.deepcopy(node.operand)
        case ast.UnaryOp(op=ast.USub()):
            yield copy.deepcopy(node.operand)
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC and not _is_text(node):
            new_arithmetic = copy.deepcopy(node)
            new_arithmetic.op = _ARITHMETIC[type(op)]()
            yield new_arithmetic
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            new_call = copy.deepcopy(node)
            new_call.func = ast.Name(_CALLS[name], ast.Load())
            yield new_call
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr=name)) if name in _CALLS:
            new_call = copy.deepcopy(node)
            new_call.func = ast.Attribute(ast.Name("math", ast.Load()), _CALLS[name], ast.Load())
            yield new_call


def _is_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(
        isinstance(s, ast.JoinedStr) or (isinstance(s, ast.Constant) and isinstance(s.value, str)) for s in sides
    )


def _replace(tree: ast.AST, old: ast.expr, new: ast.expr) -> None:
    """Put ``new`` where the like of ``old`` is: a copy of the tree has other objects at the same places."""
    target = old.test if isinstance(old, _Guard) else old
    place = (type(target), target.lineno, target.col_offset, target.end_lineno, target.end_col_offset)

    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            if isinstance(node, ast.expr):
                here = (type(node), node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
                if here == place:
                    return ast.copy_location(new, node)
            return self.generic_visit(node)

    Put().visit(tree)
