"""PostgreSQL's logical replication stream as Debezium change events, by a WebAssembly decoder."""

from .catalog import (
    Attribute,
    ColumnFacts,
    Facts,
    RelationFacts,
    TypeFacts,
    TypeKind,
    UniqueIndex,
    no_facts,
)
from .decoder import Decoded, Decoder
from .engine import Question
from .errors import (
    DamagedError,
    DecodingError,
    EngineError,
    Error,
    FactsError,
    NotARecordingError,
    NotStashedError,
    OptionError,
    RecordError,
    RecordingError,
    RestoreError,
    StalledError,
    VersionError,
)
from .json_lines import JsonLines
from .recording import Recording
from .records import Begin, Column, Commit, Discard, Event, Prepared, Record, Stash, Topic

__all__ = [
    "Attribute",
    "Begin",
    "Column",
    "ColumnFacts",
    "Commit",
    "DamagedError",
    "Decoded",
    "Decoder",
    "DecodingError",
    "Discard",
    "EngineError",
    "Error",
    "Event",
    "Facts",
    "FactsError",
    "JsonLines",
    "NotARecordingError",
    "NotStashedError",
    "OptionError",
    "Prepared",
    "Question",
    "Record",
    "RecordError",
    "Recording",
    "RecordingError",
    "RelationFacts",
    "RestoreError",
    "StalledError",
    "Stash",
    "Topic",
    "TypeFacts",
    "TypeKind",
    "UniqueIndex",
    "VersionError",
    "no_facts",
]
