"""The decoder's core module in wasmtime, called by the canonical ABI of `wit/decoding.wit`.

Bytes cross in one copy each way. A component's `list<u8>` would cross element by element, a
thousand times slower: hence the core module, and the ABI by hand. The module imports nothing but
the bookkeeping of its resource, of which there is one an instance: a handle is what it stands for.
"""

import ctypes
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple, get_args

import wasmtime

from .catalog import Attribute, ColumnFacts, Facts, RelationFacts, TypeFacts, TypeKind, UniqueIndex
from .errors import DecodingError, EngineError, FactsError, FailureKind, OptionError, RestoreError

CORE_VARIABLE: Final = "PGOUTPUT_DECODER_CORE_WASM"
"""The environment variable that names the file of the core module."""

MEMORY_MAX_BYTES: Final = 2 << 30
"""Linear memory an instance may have. Addresses stay positive as wasmtime's signed 32 bits."""


class Question(NamedTuple):
    """Nothing is known of a relation, or of types of its columns: `learn` the answer."""

    relation: int
    """OID of the relation whose facts are wanted; and where they are of one with another name,
    those of the relation that has the name now."""
    namespace: str
    name: str
    types: list[int]
    """OIDs of types that are wanted."""


class Replay(NamedTuple):
    """A frame commits a transaction whose frames are to be passed before it."""

    xid: int


class EngineDecoded(NamedTuple):
    """What a call to `Engine.decode` came to."""

    records: bytes
    consumed: int
    stop: Question | DecodingError | Replay | None


class Engine:
    """One instance of the module with a decoder in it. Not to be shared between threads."""

    def __init__(self, options: Mapping[str, str], core: Path | None = None) -> None:
        program = _program((core or core_path()).resolve())
        self._store = wasmtime.Store(program.engine)
        self._store.set_limits(memory_size=MEMORY_MAX_BYTES)
        self._exports = _guarded(program.linker.instantiate, self._store, program.module).exports(
            self._store
        )
        self._interface = program.interface
        memory = self._exports["memory"]
        if not isinstance(memory, wasmtime.Memory):
            raise EngineError("the module's memory is none")
        self._memory = memory
        self._realloc = self._function("cabi_realloc")
        self._decode = self._function(f"{self._interface}#[method]decoder.decode")
        self._decoded = self._function(f"cabi_post_{self._interface}#[method]decoder.decode")
        self._decoder = self._open(options)

    def _open(self, options: Mapping[str, str]) -> int:
        try:
            spans = [self._text(name) + self._text(value) for name, value in options.items()]
        except UnicodeEncodeError as error:
            raise OptionError(ascii(error.object), "not a text that UTF-8 has") from error
        pairs = self._list(_PAIR, spans)
        name = f"{self._interface}#[static]decoder.open"
        result = self._call(self._function(name), *pairs)
        failed, *fields = _OPENED.unpack(self._read(result, _OPENED.size))
        texts = [self._string(*fields[:2]), self._string(*fields[2:])] if failed else []
        self._call(self._function(f"cabi_post_{name}"), result)
        if failed:
            raise OptionError(*texts)
        handle: int = fields[0]
        return handle

    def ignored_options(self) -> list[str]:
        """Options that were given, are Debezium's, and have no meaning to a decoder."""
        result = self._method("ignored-options")
        start, count = _SPAN.unpack(self._read(result, _SPAN.size))
        spans = _SPAN.iter_unpack(self._read(start, count * _SPAN.size))
        names = [self._string(*span) for span in spans]
        self._post("ignored-options", result)
        return names

    def learn(self, facts: Facts) -> None:
        """Takes facts from the server's catalogs."""
        try:
            types = self._list(_TYPE, map(self._type, facts["types"]))
            relations = self._list(_RELATION, map(self._relation, facts["relations"]))
        except (AttributeError, KeyError, struct.error, TypeError, ValueError) as error:
            raise FactsError(f"facts of another form: {type(error).__name__}") from error
        self._method("learn", *types, *relations)

    def decode(self, frames: bytes, now_us: int) -> EngineDecoded:
        """Decodes whole frames. `now_us` is the time given to the events, µs since 1970-01-01."""
        span = self._bytes(frames, 1)
        result = self._call(self._decode, self._decoder, *span, now_us)
        fields = _DECODED.unpack(self._read(result, _DECODED.size))
        records_at, records_bytes, consumed, has_stop, case, payload = fields
        decoded = EngineDecoded(
            self._read(records_at, records_bytes),
            consumed,
            self._stop(case, payload) if has_stop else None,
        )
        self._call(self._decoded, result)
        return decoded

    def _stop(self, case: int, payload: bytes) -> Question | DecodingError | Replay:
        match case:
            case 0:
                relation, *spans, types_at, types = _QUESTION.unpack_from(payload)
                oids = Struct(f"<{types}I").unpack(self._read(types_at, 4 * types))
                names = self._string(*spans[:2]), self._string(*spans[2:])
                return Question(relation, *names, list(oids))
            case 1:
                kind, has_type, message_type, offset, lsn, *detail = _FAILURE.unpack_from(payload)
                return DecodingError(
                    _FAILURE_KINDS[kind],
                    message_type if has_type else None,
                    offset,
                    lsn,
                    self._string(*detail),
                )
            case _:
                return Replay(*_NUMBER.unpack_from(payload))

    def skip(self) -> None:
        """Gives up the frame of the last failure."""
        self._method("skip")

    def save(self) -> bytes:
        """What a successor needs to go on where this one stands, between transactions."""
        result = self._method("save")
        saved = self._read(*_SPAN.unpack(self._read(result, _SPAN.size)))
        self._post("save", result)
        return saved

    def restore(self, saved: bytes) -> None:
        """The inverse of `save`, on a new decoder with the same options."""
        result = self._method("restore", *self._bytes(saved, 1))
        failed, reason = self._read(result, 2)
        if failed:
            raise RestoreError("version" if reason else "corrupt")

    # Calls.

    def _function(self, name: str) -> wasmtime.Func:
        function = self._exports[name]
        if not isinstance(function, wasmtime.Func):
            raise EngineError(f"the module's {name} is no function")
        return function

    def _call(self, function: wasmtime.Func, *arguments: int) -> Any:
        return _guarded(function, self._store, *arguments)

    def _method(self, name: str, *arguments: int) -> Any:
        function = self._function(f"{self._interface}#[method]decoder.{name}")
        return self._call(function, self._decoder, *arguments)

    def _post(self, name: str, result: int) -> None:
        self._call(self._function(f"cabi_post_{self._interface}#[method]decoder.{name}"), result)

    # Memory. It may move whenever the module runs: its address is taken anew for every copy.

    def _base(self, start: int, count: int) -> int:
        """The address of bytes of the module's memory, which are all within it."""
        if start + count > self._memory.data_len(self._store):
            raise EngineError("the module points outside its memory")
        return ctypes.addressof(self._memory.data_ptr(self._store).contents) + start

    def _read(self, start: int, count: int) -> bytes:
        return ctypes.string_at(self._base(start, count), count)

    def _string(self, start: int, count: int) -> str:
        return self._read(start, count).decode()

    def _bytes(self, data: bytes, align: int) -> tuple[int, int]:
        """A copy that belongs to the module, which frees it."""
        start = self._call(self._realloc, 0, 0, align, len(data))
        ctypes.memmove(self._base(start, len(data)), bytes(data), len(data))
        return start, len(data)

    def _text(self, text: str) -> tuple[int, int]:
        return self._bytes(text.encode(), 1)

    def _list(self, layout: Struct, items: Iterable[tuple[Any, ...]]) -> tuple[int, int]:
        packed = b"".join([layout.pack(*item) for item in items])
        start, size = self._bytes(packed, 4)
        return start, size // layout.size

    def _texts(self, texts: list[str]) -> tuple[int, int]:
        return self._list(_SPAN, map(self._text, texts))

    # Records of `wit/catalog.wit`, as fields of their layouts.

    def _type(self, facts: TypeFacts) -> tuple[Any, ...]:
        return (
            facts["oid"],
            *self._text(facts["namespace"]),
            *self._text(facts["name"]),
            _TYPE_KINDS.index(facts["kind"]),
            facts["element"],
            *_NUMBER.unpack(facts["delimiter"].encode("utf-32-le")),
            facts["base"],
            facts["base_typmod"],
            facts["subtype"],
            *self._texts(facts["labels"]),
            *self._list(_ATTRIBUTE, map(self._attribute, facts["attributes"])),
        )

    def _attribute(self, attribute: Attribute) -> tuple[Any, ...]:
        return (*self._text(attribute["name"]), attribute["type"], attribute["typmod"])

    def _relation(self, facts: RelationFacts) -> tuple[Any, ...]:
        return (
            facts["oid"],
            *self._text(facts["namespace"]),
            *self._text(facts["name"]),
            *self._list(_COLUMN, map(self._column, facts["columns"])),
            *self._texts(facts["primary_key"]),
            *self._list(_INDEX, map(self._index, facts["unique_indexes"])),
        )

    def _column(self, facts: ColumnFacts) -> tuple[Any, ...]:
        default = facts["default"]
        return (
            *self._text(facts["name"]),
            facts["type"],
            facts["typmod"],
            facts["not_null"],
            default is not None,
            *((0, 0) if default is None else self._text(default)),
        )

    def _index(self, index: UniqueIndex) -> tuple[Any, ...]:
        return (*self._text(index["name"]), *self._texts(index["columns"]), index["expression"])


class _Program(NamedTuple):
    engine: wasmtime.Engine
    module: wasmtime.Module
    linker: wasmtime.Linker
    interface: str
    """The name of the interface `decoding`, with its version."""


def core_path() -> Path:
    """The core module's file: `PGOUTPUT_DECODER_CORE_WASM`, or where the project builds it."""
    beside = Path(__file__).parents[3] / "target/wasm/decoder.core.wasm"
    return Path(os.environ.get(CORE_VARIABLE, beside))


@cache
def _program(path: Path) -> _Program:
    """Compiled once a process: it takes most of a second."""
    engine = wasmtime.Engine()
    try:
        module = wasmtime.Module(engine, path.read_bytes())
    except OSError as error:
        raise EngineError(f"no core module, which {CORE_VARIABLE} names: {error}") from error
    except wasmtime.WasmtimeError as error:
        raise EngineError(f"{path}: {error}") from error
    names = [export.name for export in module.exports]
    opens = [name for name in names if name.startswith(_INTERFACE) and name.endswith(_OPEN)]
    if len(opens) != 1:
        raise EngineError(f"{path} is not the decoder's core module")
    linker = wasmtime.Linker(engine)
    for item in module.imports:
        # `[resource-new]decoder`, and those of resources of other interfaces, which nobody uses.
        intrinsic = _INTRINSICS.get((item.name or "").partition("]")[0])
        if intrinsic is None or not isinstance(item.type, wasmtime.FuncType):
            raise EngineError(f"{path} imports {item.module} {item.name}")
        linker.define_func(item.module, item.name or "", item.type, intrinsic)
    return _Program(engine, module, linker, opens[0].removesuffix(_OPEN))


def _guarded(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
        # The first lines are a backtrace: addresses, which differ from build to build.
        raise EngineError(str(error).strip().rpartition("\n")[2].strip()) from error


_INTERFACE: Final = "pgoutput:decoder/decoding@"
_OPEN: Final = "#[static]decoder.open"

_INTRINSICS: Final[dict[str, Callable[[int], int | None]]] = {
    "[resource-new": lambda representation: representation,
    "[resource-rep": lambda handle: handle,
    "[resource-drop": lambda _: None,
}

_TYPE_KINDS: Final = get_args(TypeKind)
_FAILURE_KINDS: Final[tuple[FailureKind, ...]] = get_args(FailureKind)

# Layouts of the canonical ABI. A list or string is its address and length: II.
_NUMBER: Final = Struct("<I")
_SPAN: Final = Struct("<II")
_PAIR: Final = Struct("<IIII")
_OPENED: Final = Struct("<B3xIIII")
_DECODED: Final = Struct("<III4xB7xB7x32s")
_QUESTION: Final = Struct("<IIIIIII")
_FAILURE: Final = Struct("<BBBxIQII")
_TYPE: Final = Struct("<IIIIIB3xIIIiIIIII")
_ATTRIBUTE: Final = Struct("<IIIi")
_RELATION: Final = Struct("<IIIIIIIIIII")
_COLUMN: Final = Struct("<IIIi?3xB3xII")
_INDEX: Final = Struct("<IIII?3x")
