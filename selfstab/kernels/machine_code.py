"""Machine code of generated sources: compiled by LLVM, kept on disk, called with NumPy's arrays.

The passes are those of ``clang -O3`` without the vectoriser of straight lines. None of them may reorder or fuse what
IEEE 754 rounds, as no operation allows it.
"""

from __future__ import annotations

import ctypes
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from selfstab.kernels import expressions, lowering, representation
from selfstab.kernels.arithmetic import FUNCTIONS
from selfstab.kernels.cache_files import CheckedFiles
from selfstab.kernels.lowering import Source
from selfstab.kernels.representation import INTEGER, NUMBER, TRUTH, Rows, Type
from selfstab.kernels.subnormals import with_subnormals

_C_TYPES: Final[dict[str, Any]] = {NUMBER: ctypes.c_double, INTEGER: ctypes.c_int64, TRUTH: ctypes.c_bool}


class Compilation:
    """What is heard of compilations in one context: whether one has begun, and who is told so."""

    def __init__(self, say: Callable[[], None] | None) -> None:
        self._say, self.begun = say, False

    def begin(self) -> None:
        """Note that a compilation begins; the first is told."""
        if not self.begun:
            self.begun = True
            if self._say is not None:
                self._say()


_HEARD: Final[ContextVar[Compilation | None]] = ContextVar("heard", default=None)


@contextmanager
def heard(say: Callable[[], None] | None) -> Iterator[Compilation]:
    """Listen to the compilations of this context; `say` is called when the first begins."""
    compilation = Compilation(say)
    token = _HEARD.set(compilation)
    try:
        yield compilation
    finally:
        _HEARD.reset(token)


class Entry:
    """A function of a generated source that is called from outside: machine code for each set of types.

    Parameters
    ----------
    name
        Its name in the source.
    source
        The text.
    files
        Where machine code is kept; None where it is not.
    lock
        Held while code is compiled or loaded.
    """

    def __init__(self, name: str, source: str, files: CheckedFiles | None, lock: threading.RLock) -> None:
        self.__name__, self.source = name, source
        self.compiled, self.loaded = 0, 0
        self._files, self._lock = files, lock
        self._codes: dict[tuple[Any, ...], _Code] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Call the machine code.

        Arrays are of float64. One that is not in row order is copied, there and back.
        """
        words: list[Any] = []
        kinds: list[Any] = []
        copies: list[tuple[Any, Any]] = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                rows = argument
                if argument.dtype != np.float64 or not argument.flags.c_contiguous:
                    rows = np.ascontiguousarray(argument, dtype=np.float64).reshape(argument.shape)
                    copies.append((argument, rows))
                words += (rows.__array_interface__["data"][0], *rows.shape)
                kinds.append(rows.ndim)
            elif isinstance(argument, (float, np.floating)):
                words.append(argument)
                kinds.append(NUMBER)
            elif isinstance(argument, (bool, np.bool_)):
                words.append(argument)
                kinds.append(TRUTH)
            else:
                words.append(int(argument))
                kinds.append(INTEGER)
        key = tuple(kinds)
        # A first call compiles, and whoever hears of it may start a thread: neither is to be in the kernel's mode.
        result = (self._codes.get(key) or with_subnormals(self._code)(key)).function(*words)
        for argument, rows in copies:
            if argument.flags.writeable:
                argument[...] = rows
        return result

    def _code(self, key: tuple[Any, ...]) -> _Code:
        with self._lock:
            if key not in self._codes:
                types = [kind if isinstance(kind, str) else Rows(NUMBER, kind) for kind in key]
                content = None if self._files is None else self._files.load((key, _decisive()))
                self.loaded += content is not None
                if content is None:
                    if (compilation := _HEARD.get()) is not None:
                        compilation.begin()
                    content = compile_entry(self.source, self.__name__, types)
                    self.compiled += 1
                    if self._files is not None:
                        self._files.save((key, _decisive()), content)
                result, _, machine_code = content.partition(b"\n")
                self._codes[key] = _Code(self.__name__, types, result.decode(), machine_code)
            return self._codes[key]


class _Code:
    """Machine code in this process's memory."""

    def __init__(self, name: str, types: Sequence[Type], result: str, content: bytes) -> None:
        import llvmlite.binding as llvm

        # The engine owns the memory, and the machine that it is given.
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(content))
        self._engine.finalize_object()
        parameters: list[Any] = []
        for type_ in types:
            if isinstance(type_, Rows):
                parameters += [ctypes.c_void_p, *[ctypes.c_int64] * type_.dimension]
            else:
                parameters.append(_C_TYPES[str(type_)])
        address = self._engine.get_function_address(f"selfstab_{name}")
        # Calls release the interpreter's lock.
        self.function = ctypes.CFUNCTYPE(_C_TYPES.get(result), *parameters)(address)


def compile_entry(source: str, name: str, types: Sequence[Type]) -> bytes:
    """Return what an entry returns, as a line, and its machine code for arguments of these types."""
    import llvmlite.binding as llvm

    text, result = Source(source).entry(name, types)
    machine = _machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = llvm.get_process_triple(), str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization, options.slp_vectorization = True, False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return f"{result}\n".encode() + code


@cache
def _begin_llvm() -> None:
    """Begin with LLVM, once a process."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    for name in (*FUNCTIONS, "fma"):
        # Code may be linked where the C library's mathematics is not among the program's own symbols.
        llvm.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)


def _machine() -> Any:
    """Return this processor as LLVM knows it, a new object each time."""
    import llvmlite.binding as llvm

    _begin_llvm()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, reloc="default",
        codemodel="jitdefault", jit=True,
    )  # fmt: skip


@cache
def _decisive() -> tuple[str, ...]:
    """Return what decides machine code beside the source and the types: the compiler and the processor."""
    import llvmlite.binding as llvm

    try:
        texts = [inspect.getsource(module) for module in (representation, expressions, lowering)]
    except OSError:  # a program without its sources
        texts = [version("selfstab")]
    return (
        *texts, inspect.getsource(sys.modules[__name__]) if len(texts) > 1 else "", llvm.get_process_triple(),
        llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(),
    )  # fmt: skip
