"""Expressions of generated sources as lines of LLVM's representation."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from selfstab.kernels.arithmetic import FUNCTIONS
from selfstab.kernels.representation import (
    INTEGER,
    NUMBER,
    TRUTH,
    WIDTH,
    Lines,
    NotInLanguage,
    Rows,
    Several,
    Type,
    Value,
    literal,
)

_FEW: Final = 64
"""Arrays of a literal size up to this many elements are on the stack."""


class Surroundings(Protocol):
    """What a function sees of the source that it stands in."""

    functions: dict[str, ast.FunctionDef]
    constants: dict[str, Any]

    def lowered(self, name: str, types: Sequence[Type]) -> tuple[str, Type]:
        """Return the symbol of a function for arguments of these types, and the type of what it returns."""

    def declare(self, symbol: str, text: str) -> str:
        """Return a symbol that is declared by a text, once."""

    def table(self, name: str, values: np.ndarray[Any, Any]) -> Value:
        """Return the array of a constant."""


class Expressions(Lines):
    """The expressions of one function."""

    def __init__(self, source: Surroundings) -> None:
        super().__init__()
        self._source = source
        self._allocated: list[str] = []
        self._attributes = ""

    # -- expressions ----------------------------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> Value:
        method: Callable[[Any], Value] | None = getattr(self, f"_value_{type(node).__name__}", None)
        if method is None:
            raise NotInLanguage(f"line {node.lineno}: {ast.unparse(node)}")
        return method(node)

    def _value_Constant(self, node: ast.Constant) -> Value:
        return self._constant(node.value)

    def _constant(self, value: Any) -> Value:
        if isinstance(value, bool):
            return Value(TRUTH, ("true" if value else "false",))
        if isinstance(value, int):
            return Value(INTEGER, (str(value),))
        if isinstance(value, float):
            return Value(NUMBER, (literal(value),))
        raise NotInLanguage(f"the constant {value!r}")

    def _value_Name(self, node: ast.Name) -> Value:
        name = node.id
        if name in self._arrays:
            return self._arrays[name]
        if name in self._slots:
            slot, type_ = self._slots[name]
            if name not in self._current:
                self._current[name] = self._emit(f"load {type_}, ptr {slot}")
            return Value(type_, (self._current[name],))
        constant = self._source.constants.get(name)
        if isinstance(constant, np.ndarray):
            return self._source.table(name, constant)
        return self._constant(constant)

    def _value_Tuple(self, node: ast.Tuple) -> Value:
        values = [self._value(one) for one in node.elts]
        types = tuple(str(value.type) for value in values)
        return Value(Several(types), tuple(value.word for value in values))

    def _value_Attribute(self, node: ast.Attribute) -> Value:
        if isinstance(node.value, ast.Name) and node.value.id == "np":
            return self._constant(getattr(np, node.attr))
        array = self._value(node.value)
        if node.attr != "size" or not isinstance(array.type, Rows):
            raise NotInLanguage(ast.unparse(node))
        return Value(INTEGER, (self._product(array.words[1:]),))

    def _product(self, words: Sequence[str]) -> str:
        size = words[0]
        for word in words[1:]:
            size = self._emit(f"mul nsw i64 {size}, {word}")
        return size

    def _value_UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self._value(node.operand)
        if isinstance(node.op, ast.Not):
            return Value(TRUTH, (self._emit(f"xor i1 {self._truth(value)}, true"),))
        if not isinstance(node.op, ast.USub):
            raise NotInLanguage(ast.unparse(node))
        type_, (word,) = self._same(value, least=INTEGER)
        return Value(type_, (self._emit(f"fneg double {word}" if type_ == NUMBER else f"sub i64 0, {word}"),))

    def _value_BinOp(self, node: ast.BinOp) -> Value:
        # A sum of a thousand terms is a thousand deep on its left side.
        left: ast.expr = node
        operations: list[ast.BinOp] = []
        while isinstance(left, ast.BinOp):
            operations.append(left)
            left = left.left
        value = self._value(left)
        for operation in reversed(operations):
            value = self._operated(type(operation.op).__name__, value, self._value(operation.right))
        return value

    def _operated(self, name: str, left: Value, right: Value) -> Value:
        if name in ("BitAnd", "BitOr", "BitXor"):
            type_, (a, b) = self._same(left, right)
            if type_ == NUMBER:
                raise NotInLanguage("bits of a number")
            return Value(type_, (self._emit(f"{name.removeprefix('Bit').lower()} {type_} {a}, {b}"),))
        type_, (a, b) = self._same(left, right, least=NUMBER if name == "Div" else INTEGER)
        if left.type == right.type == TRUTH:
            # Python's True + True is 2, NumPy's is True: a comparison gives either.
            raise NotInLanguage(f"{name} of two truths")
        if type_ == NUMBER:
            names = {"Add": "fadd", "Sub": "fsub", "Mult": "fmul", "Div": "fdiv"}
        else:
            names = {"Add": "add", "Sub": "sub", "Mult": "mul", "LShift": "shl", "RShift": "ashr"}
            if name in ("FloorDiv", "Mod"):
                return Value(INTEGER, (self._floored(name, a, b),))
        if name not in names:
            raise NotInLanguage(f"{name} of {type_}")
        return Value(type_, (self._emit(f"{names[name]} {type_} {a}, {b}"),))

    def _floored(self, name: str, a: str, b: str) -> str:
        """Return a // b or a % b as Python rounds them; LLVM rounds towards 0."""
        rest = self._emit(f"srem i64 {a}, {b}")
        signs = self._emit(f"xor i64 {rest}, {b}")
        other = self._emit(f"icmp slt i64 {signs}, 0")
        some = self._emit(f"icmp ne i64 {rest}, 0")
        below = self._emit(f"and i1 {other}, {some}")
        if name == "Mod":
            return self._emit(f"add i64 {rest}, {self._emit(f'select i1 {below}, i64 {b}, i64 0')}")
        return self._emit(
            f"sub i64 {self._emit(f'sdiv i64 {a}, {b}')}, {self._emit(f'zext i1 {below} to i64')}"
        )

    def _value_Compare(self, node: ast.Compare) -> Value:
        left, out = self._value(node.left), ""
        for operator, other in zip(node.ops, node.comparators, strict=True):
            right = self._value(other)
            type_, (a, b) = self._same(left, right, least=INTEGER)
            integers = {"Lt": "slt", "LtE": "sle", "Gt": "sgt", "GtE": "sge", "Eq": "eq", "NotEq": "ne"}
            name = type(operator).__name__
            if name not in integers:
                raise NotInLanguage(ast.unparse(node))
            condition = integers[name]
            if type_ == NUMBER:
                condition = "une" if name == "NotEq" else f"o{condition.removeprefix('s')}"
            test = self._emit(f"{'fcmp' if type_ == NUMBER else 'icmp'} {condition} {type_} {a}, {b}")
            out = self._emit(f"and i1 {out}, {test}") if out else test
            left = right
        return Value(TRUTH, (out,))

    def _value_BoolOp(self, node: ast.BoolOp) -> Value:
        conjunction = isinstance(node.op, ast.And)
        end, ways = self._label(), []
        for k, one in enumerate(node.values):
            value = self._value(one)
            if value.type != TRUTH:
                raise NotInLanguage(ast.unparse(node))
            ways.append(f"[ {value.word}, %{self._block} ]")
            if k + 1 < len(node.values):
                more = self._label()
                self._branch(value, *((more, end) if conjunction else (end, more)))
                self._begin(more)
        self._begin(end)
        return Value(TRUTH, (self._emit(f"phi i1 {', '.join(ways)}"),))

    def _value_IfExp(self, node: ast.IfExp) -> Value:
        # The words of both are converted where they are computed, so their common type is to be known before.
        lines, count, current = len(self._lines), self._count, {**self._current}
        state = self._block, self._ended
        types = [self._value(one).type for one in (node.body, node.orelse)]
        del self._lines[lines:]
        self._count, self._current, (self._block, self._ended) = count, current, state
        if not all(isinstance(type_, str) for type_ in types):
            raise NotInLanguage(ast.unparse(node))
        type_ = max(map(str, types), key=WIDTH.__getitem__)
        yes, no, end = self._label(), self._label(), self._label()
        self._branch(self._value(node.test), yes, no)
        ways = []
        for label, one in ((yes, node.body), (no, node.orelse)):
            self._begin(label)
            word = self._as(self._value(one), type_)
            ways.append(f"[ {word}, %{self._block} ]")
            if label == yes:
                self._end(f"br label %{end}")
        self._begin(end)
        return Value(type_, (self._emit(f"phi {type_} {', '.join(ways)}"),))

    def _value_Subscript(self, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            if not (isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int)):
                raise NotInLanguage(ast.unparse(node))
            return Value(INTEGER, (self._value(node.value.value).words[1 + node.slice.value],))
        place = self._place(node)
        if isinstance(place.type, Rows):
            return place
        return Value(place.type, (self._emit(f"load {place.type}, ptr {place.word}"),))

    def _place(self, node: ast.Subscript) -> Value:
        """Return the place of an element, or the row of an array."""
        array = self._value(node.value)
        if not isinstance(array.type, Rows):
            raise NotInLanguage(ast.unparse(node))
        nodes = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        pointer, *lengths = array.words
        if len(nodes) > len(lengths) or any(isinstance(one, ast.UnaryOp) for one in nodes):
            raise NotInLanguage(ast.unparse(node))
        place = ""
        for one, length in zip(nodes, lengths, strict=False):
            word = self._as(self._value(one), INTEGER)
            place = (
                self._emit(f"add i64 {self._emit(f'mul i64 {place}, {length}')}, {word}") if place else word
            )
        rest = lengths[len(nodes) :]
        if rest:
            place = self._product([place, *rest])
        word = self._emit(f"getelementptr inbounds {array.type.element}, ptr {pointer}, i64 {place}")
        return (
            Value(Rows(array.type.element, len(rest)), (word, *rest))
            if rest
            else Value(array.type.element, (word,))
        )

    def _value_Call(self, node: ast.Call) -> Value:
        if node.keywords:
            raise NotInLanguage(ast.unparse(node))
        if isinstance(node.func, ast.Attribute):
            if ast.unparse(node.func) == "np.empty":
                return self._empty(node)
            array = self._value(node.func.value)
            if (
                node.func.attr == "view"
                and isinstance(array.type, Rows)
                and ast.unparse(node.args[0]) == "np.int64"
            ):
                return Value(Rows(INTEGER, array.type.dimension), array.words)
            if node.func.attr == "reshape" and isinstance(array.type, Rows):
                return self._reshaped(node, array)
            raise NotInLanguage(ast.unparse(node))
        if not isinstance(node.func, ast.Name):
            raise NotInLanguage(ast.unparse(node))
        name, arguments = node.func.id, [self._value(one) for one in node.args]
        if name in self._source.functions:
            return self._called(name, arguments)
        return self._computed(name, arguments)

    def _called(self, name: str, arguments: Sequence[Value]) -> Value:
        symbol, result = self._source.lowered(name, [value.type for value in arguments])
        words = []
        for value in arguments:
            if isinstance(value.type, Rows):
                words += [f"{'i64' if k else 'ptr'} {word}" for k, word in enumerate(value.words)]
            else:
                words.append(f"{value.type} {value.word}")
        call = f"call {result} {symbol}({', '.join(words)})"
        if result == "void":
            self._write(call)
            return Value("void", ("",))
        word = self._emit(call)
        if isinstance(result, Several):
            parts = range(len(result.parts))
            return Value(result, tuple(self._emit(f"extractvalue {result} {word}, {k}") for k in parts))
        return Value(result, (word,))

    def _computed(self, name: str, arguments: Sequence[Value]) -> Value:
        """Return what a function of kernels.arithmetic gives."""
        if name == "wide_vectors":
            # LLVM stays at 256 bits on many processors that have 512.
            self._attributes = '"prefer-vector-width"="512" '
            return Value("void", ("",))
        if name == "choose":
            condition, yes, no = arguments
            a, b = (self._as(value, NUMBER) for value in (yes, no))
            return Value(NUMBER, (self._emit(f"select i1 {self._truth(condition)}, double {a}, double {b}"),))
        if name == "abs" and arguments[0].type != NUMBER:
            raise NotInLanguage("abs of an integer")
        if name == "number":
            return Value(NUMBER, (self._emit(f"bitcast i64 {self._as(arguments[0], INTEGER)} to double"),))
        words = [self._as(value, NUMBER) for value in arguments]
        if name == "bits":
            return Value(INTEGER, (self._emit(f"bitcast double {words[0]} to i64"),))
        own = {"abs": "fabs", "fma": "fma", "copysign": "copysign", "sqrt": "sqrt"}
        if name not in own and name not in FUNCTIONS:
            raise NotInLanguage(f"the function {name}")
        symbol = f"@llvm.{own[name]}.f64" if name in own else f"@{name}"
        self._source.declare(symbol, f"declare double {symbol}({', '.join(['double'] * len(words))})")
        return Value(
            NUMBER, (self._emit(f"call double {symbol}({', '.join(f'double {word}' for word in words)})"),)
        )

    def _reshaped(self, node: ast.Call, array: Value) -> Value:
        """Return the same numbers in rows of another length: reshape(-1), reshape(-1, length)."""
        first, *others = node.args
        if not isinstance(array.type, Rows) or ast.unparse(first) != "-1":
            raise NotInLanguage(ast.unparse(node))
        pointer, *before = array.words
        lengths = [self._as(self._value(one), INTEGER) for one in others]
        rows = self._product(before)
        if lengths:
            rows = self._emit(f"sdiv i64 {rows}, {self._product(lengths)}")
        return Value(Rows(array.type.element, 1 + len(lengths)), (pointer, rows, *lengths))

    def _empty(self, node: ast.Call) -> Value:
        sizes = node.args[0].elts if isinstance(node.args[0], ast.Tuple) else [node.args[0]]
        lengths = [self._as(self._value(one), INTEGER) for one in sizes]
        types = [ast.unparse(one) for one in node.args[1:]]
        if types not in ([], ["np.int64"]):
            raise NotInLanguage(ast.unparse(node))
        element = INTEGER if types else NUMBER
        if all(word.isdigit() for word in lengths) and (count := int(np.prod([*map(int, lengths)]))) <= _FEW:
            self._count += 1
            pointer = f"%v{self._count}"
            self._places.append(f"{pointer} = alloca [{count} x {element}], align 64")
            return Value(Rows(element, len(lengths)), (pointer, *lengths))
        if self._block != "entry":
            raise NotInLanguage("an array that is allocated in a branch")
        self._source.declare("@malloc", "declare noalias ptr @malloc(i64)")
        size = self._emit(f"add i64 {self._emit(f'mul i64 {self._product(lengths)}, 8')}, 64")
        raw = self._emit(f"call ptr @malloc(i64 {size})")
        self._allocated.append(raw)
        # At a multiple of 64 bytes no vector lies across two lines of the cache.
        behind = self._emit(f"sub i64 0, {self._emit(f'ptrtoint ptr {raw} to i64')}")
        pointer = self._emit(
            f"getelementptr inbounds i8, ptr {raw}, i64 {self._emit(f'and i64 {behind}, 63')}"
        )
        return Value(Rows(element, len(lengths)), (pointer, *lengths))

    def _free(self) -> None:
        for word in self._allocated:
            self._source.declare("@free", "declare void @free(ptr)")
            self._write(f"call void @free(ptr {word})")
