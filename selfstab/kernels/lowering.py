"""Generated sources as the intermediate representation of LLVM: a compiler of their small part of Python.

A generated source has functions of numbers (float64, int64, bool) and of arrays in row order; assignments, ``for`` over
``range``, ``while``, ``if``; the names of kernels.arithmetic, ``np.empty``, ``shape``, ``size`` and ``view``. A general
compiler of Python spends seconds to find that out. Here each line is translated once, as it stands: every operation of
the text is one of IEEE 754 in the result, in the same order, none fused and none reordered.

Types follow from the arguments of a call. A variable has one type in a function, the widest of what is assigned to it.
An index is never negative, as generated sources have none.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from selfstab.kernels.expressions import Expressions
from selfstab.kernels.representation import (
    INTEGER,
    NUMBER,
    WIDTH,
    NotInLanguage,
    Rows,
    Several,
    Type,
    Value,
    literal,
)

LARGE: Final = 200
"""A function of more lines than this is not copied to where it is called."""


class _Wider(Exception):
    """A variable has a wider type than it had so far."""

    def __init__(self, name: str, type_: Type) -> None:
        super().__init__(name)
        self.name, self.type = name, type_


class Source:
    """A generated source that is lowered: an entry and what it calls, once for each set of types.

    Parameters
    ----------
    text
        The source.
    """

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self.constants: dict[str, Any] = {"np": np}
        others: list[ast.stmt] = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
        exec(compile(ast.Module(others, []), "<constants of a kernel>", "exec"), self.constants)
        self._texts: list[str] = []
        self._declared: dict[str, str] = {}
        self._tables: dict[str, Value] = {}
        self._lowered: dict[tuple[str, tuple[Type, ...]], tuple[str, Type]] = {}

    @property
    def entries(self) -> list[str]:
        """Names of the functions that are called from outside."""
        return [name for name, node in self.functions.items() if _decorated(node, "entry")]

    def entry(self, name: str, types: Sequence[Type]) -> tuple[str, Type]:
        """Return the representation of an entry under its name, and the type of what it returns."""
        symbol, result = self.lowered(name, types)
        text = [*self._declared.values(), *self._texts]
        return "\n".join(text).replace(
            f"define internal {result} {symbol}(", f"define {result} @selfstab_{name}("
        ), result

    def lowered(self, name: str, types: Sequence[Type]) -> tuple[str, Type]:
        """Return the symbol of a function for arguments of these types, and the type of what it returns."""
        key = (name, tuple(types))
        if key not in self._lowered:
            symbol = f"@selfstab.{name}.{len(self._lowered)}"
            widened: dict[str, Type] = {}
            while True:
                body = _Function(self, self.functions[name], types, widened)
                try:
                    text = body.text(symbol)
                except _Wider as wider:
                    widened[wider.name] = wider.type
                else:
                    break
            self._texts.append(text)
            self._lowered[key] = symbol, body.result
        return self._lowered[key]

    def declare(self, symbol: str, text: str) -> str:
        """Return a symbol that is declared by a text, once."""
        self._declared.setdefault(symbol, text)
        return symbol

    def table(self, name: str, values: np.ndarray[Any, Any]) -> Value:
        """Return the array of a constant."""
        if name not in self._tables:
            element = INTEGER if values.dtype == np.int64 else NUMBER
            numbers = [str(v) if element == INTEGER else literal(v) for v in values.ravel().tolist()]
            listed = ", ".join(f"{element} {number}" for number in numbers)
            symbol = f"@selfstab.table.{name}"
            self.declare(
                symbol, f"{symbol} = internal constant [{len(numbers)} x {element}] [{listed}], align 64"
            )
            self._tables[name] = Value(Rows(element, values.ndim), (symbol, *map(str, values.shape)))
        return self._tables[name]


def _decorated(node: ast.FunctionDef, name: str) -> bool:
    return any(isinstance(one, ast.Name) and one.id == name for one in node.decorator_list)


def _parameters(types: Sequence[Type], names: Sequence[str]) -> tuple[list[str], list[Value]]:
    """Return the parameters of a function as text, and their values."""
    texts, values = [], []
    for type_, name in zip(types, names, strict=True):
        if isinstance(type_, Rows):
            words = (f"%{name}.p", *(f"%{name}.n{k}" for k in range(type_.dimension)))
            texts += [f"{'i64' if k else 'ptr'} {word}" for k, word in enumerate(words)]
        else:
            words = (f"%{name}.a",)
            texts.append(f"{type_} {words[0]}")
        values.append(Value(type_, words))
    return texts, values


class _Function(Expressions):
    """One function for one set of types."""

    def __init__(
        self, source: Source, node: ast.FunctionDef, types: Sequence[Type], widened: dict[str, Type]
    ) -> None:
        super().__init__(source)
        self._node, self._types, self._widened = node, types, widened
        self.result: Type = widened.get("return", "void")
        self._loops: list[tuple[str, str]] = []

    def text(self, symbol: str) -> str:
        """Return the function as text."""
        names = [argument.arg for argument in self._node.args.args]
        parameters, values = _parameters(self._types, names)
        for name, value in zip(names, values, strict=True):
            self._assign(name, value)
        self._run(self._node.body)
        if not self._ended:
            if self.result != "void":
                raise NotInLanguage(f"{self._node.name} may return nothing")
            self._free()
            self._end("ret void")
        inlined = _decorated(self._node, "inlined")
        own = "alwaysinline " if inlined else "noinline " if len(self._lines) > LARGE else ""
        own += self._attributes
        return (
            f"define internal {self.result} {symbol}({', '.join(parameters)}) {own}nounwind {{\nentry:\n"
            + "".join(f"  {line}\n" for line in self._places)
            + "".join(f"{line}\n" for line in self._lines)
            + "}\n"
        )

    # -- statements -----------------------------------------------------------------------------------------------

    def _run(self, body: Sequence[ast.stmt]) -> None:
        for node in body:
            if self._ended:
                return
            method: Callable[[Any], None] | None = getattr(self, f"_run_{type(node).__name__}", None)
            if method is None:
                raise NotInLanguage(f"line {node.lineno}: {ast.unparse(node)}")
            method(node)

    def _assign(self, name: str, value: Value) -> None:
        if isinstance(value.type, Rows):
            if self._arrays.setdefault(name, value) != value and self._block != "entry":
                raise NotInLanguage(f"{name} is two arrays")
            self._arrays[name] = value
            return
        if not isinstance(value.type, str) or value.type not in WIDTH:
            raise NotInLanguage(f"{name} is {value.type}")
        if name not in self._slots:
            slot, type_ = f"%{name}.s", str(self._widened.get(name, value.type))
            self._places.append(f"{slot} = alloca {type_}")
            self._slots[name] = slot, type_
        slot, type_ = self._slots[name]
        if WIDTH[value.type] > WIDTH[type_]:
            raise _Wider(name, value.type)
        self._current[name] = self._as(value, type_)
        self._write(f"store {type_} {self._current[name]}, ptr {slot}")

    def _run_Assign(self, node: ast.Assign) -> None:
        target, *others = node.targets
        if others:
            raise NotInLanguage(ast.unparse(node))
        if isinstance(target, ast.Tuple):
            if isinstance(node.value, ast.Tuple):
                values = [self._value(one) for one in node.value.elts]
            else:
                value = self._value(node.value)
                if not isinstance(value.type, Several):
                    raise NotInLanguage(ast.unparse(node))
                values = [Value(t, (w,)) for t, w in zip(value.type.parts, value.words, strict=True)]
            for one, value in zip(target.elts, values, strict=True):
                self._put(one, value)
        else:
            self._put(target, self._value(node.value))

    def _put(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self._assign(target.id, value)
        elif isinstance(target, ast.Subscript):
            place = self._place(target)
            if not isinstance(place.type, str):
                raise NotInLanguage(ast.unparse(target))
            self._write(f"store {place.type} {self._as(value, place.type)}, ptr {place.word}")
        else:
            raise NotInLanguage(ast.unparse(target))

    def _run_AugAssign(self, node: ast.AugAssign) -> None:
        target = node.target
        if not isinstance(target, ast.Name):
            raise NotInLanguage(ast.unparse(node))
        left = self._value_Name(ast.Name(target.id))
        self._assign(target.id, self._operated(type(node.op).__name__, left, self._value(node.value)))

    def _run_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self._value(node.value)

    def _run_Pass(self, _node: ast.Pass) -> None:
        return

    def _run_Break(self, _node: ast.Break) -> None:
        self._end(f"br label %{self._loops[-1][1]}")

    def _run_Continue(self, _node: ast.Continue) -> None:
        self._end(f"br label %{self._loops[-1][0]}")

    def _run_If(self, node: ast.If) -> None:
        yes, no, end = self._label(), self._label(), self._label()
        self._branch(self._value(node.test), yes, no)
        self._begin(yes)
        self._run(node.body)
        first = self._ended
        if not first:
            self._end(f"br label %{end}")
        self._begin(no)
        self._run(node.orelse)
        if first and self._ended:
            return
        self._begin(end)

    def _run_While(self, node: ast.While) -> None:
        if node.orelse:
            raise NotInLanguage("an else of a loop")
        test, body, end = self._label(), self._label(), self._label()
        self._begin(test)
        self._branch(self._value(node.test), body, end)
        self._begin(body)
        self._loops.append((test, end))
        self._run(node.body)
        self._loops.pop()
        if not self._ended:
            self._end(f"br label %{test}")
        self._begin(end)

    def _run_For(self, node: ast.For) -> None:
        call = node.iter
        if not (
            isinstance(call, ast.Call)
            and ast.unparse(call.func) == "range"
            and isinstance(node.target, ast.Name)
            and not (node.orelse or call.keywords)
        ):
            raise NotInLanguage(ast.unparse(node.iter))
        words = [self._as(self._value(one), INTEGER) for one in call.args]
        first, last = words[:2] if len(words) > 1 else ("0", words[0])
        by = words[2] if len(words) > 2 else "1"
        if not by.isdigit():
            raise NotInLanguage(ast.unparse(node.iter))
        test, body, more, end = (self._label() for _ in range(4))
        before = self._block
        self._begin(test)
        counter = f"%{test}.k"
        self._lines.append(f"  {counter} = phi i64 [ {first}, %{before} ], [ {counter}.n, %{more} ]")
        self._end(f"br i1 {self._emit(f'icmp slt i64 {counter}, {last}')}, label %{body}, label %{end}")
        self._begin(body)
        self._assign(node.target.id, Value(INTEGER, (counter,)))
        self._loops.append((more, end))
        self._run(node.body)
        self._loops.pop()
        self._begin(more)
        self._lines.append(f"  {counter}.n = add nsw i64 {counter}, {by}")
        self._end(f"br label %{test}")
        self._begin(end)

    def _run_Return(self, node: ast.Return) -> None:
        if node.value is None:
            raise NotInLanguage("a return of nothing")
        value = self._value(node.value)
        if self.result == "void":
            self.result = value.type
        if self.result != value.type:
            both = (self.result, value.type)
            if not all(isinstance(type_, str) for type_ in both):
                raise NotInLanguage("two types of results")
            wider = max(map(str, both), key=WIDTH.__getitem__)
            if wider != self.result:
                raise _Wider("return", wider)
        self._free()
        if isinstance(self.result, Several):
            whole = "undef"
            for k, (type_, word) in enumerate(zip(self.result.parts, value.words, strict=True)):
                whole = self._emit(f"insertvalue {self.result} {whole}, {type_} {word}, {k}")
            self._end(f"ret {self.result} {whole}")
        else:
            self._end(f"ret {self.result} {self._as(value, str(self.result))}")
