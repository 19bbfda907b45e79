"""The mutants of a module: copies that differ from it in one operator, comparison, constant, condition or return.

A mutant is a place in the module and what is there instead. Nothing is mutated that tests cannot notice or need not:
docstrings, annotations, sentences for people, code for type checkers.
"""

import ast
import dataclasses
import re
from collections.abc import Callable, Iterator
from copy import deepcopy

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_WORD = re.compile(r"[A-Za-z0-9_./:=-]*")  # a name, a path or a format: not a sentence
_FOR_PEOPLE = {"at", "refused", "problem"}  # calls whose strings are messages
_ERRORS = re.compile(r"[A-Z]\w*Error")

Path = tuple[tuple[str, int | None], ...]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One difference: ``line`` of the module, the code there ``before`` and ``after``; ``path`` leads to the node."""

    line: int
    before: str
    after: str
    path: Path
    replacement: ast.AST

    def tree(self, source: str) -> ast.Module:
        """The module with the difference."""
        tree = ast.parse(source)
        node: ast.AST = tree
        for name, index in self.path[:-1]:
            node = getattr(node, name) if index is None else getattr(node, name)[index]
        name, index = self.path[-1]
        new = ast.copy_location(deepcopy(self.replacement), node)
        if index is None:
            setattr(node, name, new)
        else:
            getattr(node, name)[index] = new
        return ast.fix_missing_locations(tree)


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    found: list[Mutant] = []
    _visit(ast.parse(source), (), found)
    return sorted(found, key=lambda mutant: mutant.line)


def _visit(node: ast.AST, path: Path, found: list[Mutant]) -> None:
    if isinstance(node, ast.expr | ast.stmt):
        found += (Mutant(node.lineno, _text(node), _text(new), path, new) for new in _replacements(node))
    for name, value in ast.iter_fields(node):
        if _is_skipped(node, name):
            continue
        if isinstance(value, ast.AST):
            _visit(value, (*path, (name, None)), found)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                if isinstance(each, ast.AST) and not _is_for_readers(each):
                    _visit(each, (*path, (name, index)), found)


def _is_skipped(node: ast.AST, field: str) -> bool:
    """Annotations, decorators, and the arguments of messages."""
    if field in {"annotation", "returns", "decorator_list", "bases", "keywords"} and not isinstance(node, ast.Call):
        return True
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert | ast.alias):
        return True
    return isinstance(node, ast.Call) and field in {"args", "keywords"} and _is_message(node.func)


def _is_message(called: ast.expr) -> bool:
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in _FOR_PEOPLE or bool(_ERRORS.fullmatch(name)) or name in {"Rule", "Meta", "field"}


def _is_for_readers(node: ast.AST) -> bool:
    """Docstrings, imports, and what only a type checker runs."""
    if isinstance(node, ast.Expr):
        if isinstance(node.value, ast.Constant):
            return True
        called = node.value.func if isinstance(node.value, ast.Call) else None
        return isinstance(called, ast.Name) and called.id == "assert_never"
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return True
    return isinstance(node, ast.Import | ast.ImportFrom)


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    for kind, replace in _MUTATORS:
        if isinstance(node, kind):
            yield from replace(node)


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for number, operator in enumerate(node.ops):
        changed = deepcopy(node)
        changed.ops[number] = _SWAPS[type(operator)]()  # type: ignore[call-overload]
        yield changed


def _operation(node: ast.BinOp | ast.BoolOp | ast.AugAssign) -> Iterator[ast.AST]:
    if type(node.op) in _SWAPS and not (isinstance(node, ast.BinOp) and _is_type(node)):
        changed = deepcopy(node)
        changed.op = _SWAPS[type(node.op)]()  # type: ignore[assignment]
        yield changed


def _is_type(node: ast.BinOp) -> bool:
    """``int | None``, in isinstance or as an alias."""
    sides = (node.left, node.right)
    return isinstance(node.op, ast.BitOr) and any(
        (isinstance(side, ast.Constant) and side.value is None)
        or (isinstance(side, ast.Name) and side.id[:1].isupper() and not side.id.isupper())
        or (isinstance(side, ast.Name) and side.id in {"int", "str", "bytes"})
        or (isinstance(side, ast.BinOp) and _is_type(side))
        for side in sides
    )


def _unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


def _condition(node: ast.If | ast.While | ast.IfExp) -> Iterator[ast.AST]:
    """A test that is neither a comparison nor a logical operation, which have separate mutants."""
    if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.NamedExpr):
        changed = deepcopy(node)
        changed.test = ast.UnaryOp(ast.Not(), changed.test)
        yield changed


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and value and _WORD.fullmatch(value):
        yield ast.Constant(f"{value}?")


def _return(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield ast.Return(ast.Constant(None))


def _statement(node: ast.Expr | ast.Continue | ast.Break | ast.Raise) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call):
        return
    yield ast.Pass()


_MUTATORS: tuple[tuple[type | tuple[type, ...], Callable[..., Iterator[ast.AST]]], ...] = (
    (ast.Compare, _compare),
    ((ast.BinOp, ast.BoolOp, ast.AugAssign), _operation),
    (ast.UnaryOp, _unary),
    ((ast.If, ast.While, ast.IfExp), _condition),
    (ast.Constant, _constant),
    (ast.Return, _return),
    ((ast.Expr, ast.Continue, ast.Break, ast.Raise), _statement),
)


def _text(node: ast.AST) -> str:
    """The code of a node, its first line."""
    return ast.unparse(ast.fix_missing_locations(deepcopy(node))).split("\n")[0][:100]
