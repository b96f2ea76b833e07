"""Change data capture for PostgreSQL: a publication's changes as an asynchronous iterator.

`LogicalReplicationReader` is where to begin, or `SyncReader` without asyncio; messages are
`ReplicationMessage`s.
"""

from __future__ import annotations

from ._native import (
    Decoder,
    LogicalReplicationReader,
    ReplicationMessage,
    arrow_batches,
    message_to_debezium_json,
)
from .exceptions import (
    ChangesLostError,
    ConfigurationError,
    ConnectionError,
    DecodingError,
    PluginError,
    PublicationNotFoundError,
    ReplicationError,
    SlotNotFoundError,
    UnrepresentableError,
)
from .messages import Column, format_operation, get_table_name, message_to_dict
from .plugins import Plugin, PluginStatus
from .status import Status
from .sync import SyncReader
from .transactions import Transaction
from .unchanged import UNCHANGED, Unchanged

__version__ = "0.2.0"
__all__ = [
    "UNCHANGED",
    "ChangesLostError",
    "Column",
    "ConfigurationError",
    "ConnectionError",
    "Decoder",
    "DecodingError",
    "LogicalReplicationReader",
    "Plugin",
    "PluginError",
    "PluginStatus",
    "PublicationNotFoundError",
    "ReplicationError",
    "ReplicationMessage",
    "SlotNotFoundError",
    "Status",
    "SyncReader",
    "Transaction",
    "Unchanged",
    "UnrepresentableError",
    "arrow_batches",
    "format_operation",
    "get_table_name",
    "message_to_debezium_json",
    "message_to_dict",
]
