"""Your own code in the stream: WebAssembly components that keep, drop and change messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike

__all__ = ["Plugin", "PluginStatus"]


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin, and how a reader uses it. Made from `wit/plugin/plugin.wit`, in any language.

    file: the path of a .wasm, or its bytes. A component, or a core module with its world in it.
    config: what the plugin is told before all else: a str as it is, anything else as JSON.
    on_error: what is done with a change that it fails at. "stop": PluginError, and nothing behind
        it is confirmed. "skip": it is passed over, counted in `status().plugins` and logged.
        "park:FILE": it is passed over as well, and is on the disk before it can be confirmed, for
        `pgoutput-decoder decode --capture FILE`; "park": into `pgoutput-parked.jsonl`.
    sha256: what the file must have, in hexadecimal digits. None: any.
    memory_max_bytes: what it may take; None: 32 MiB.
    cpu_max: CPU time that a call may take, in seconds; None: 0.01. A call is about many messages.
    wall_max: time that passes meanwhile, in seconds; None: 1.
    fuel: instructions a call may take instead of time, so that a run can be repeated exactly.
    output_max_bytes: what a call may answer; None: 64 MiB.
    log_lines_max: lines a second that are shown of its log; None: 100.

    What it logs goes to the logger `pgoutput_decoder.plugin`. A plugin has no files, no network, no
    environment, no clock and no randomness.
    """

    file: str | PathLike[str] | bytes
    config: str | Mapping[str, object] | Sequence[object] = field(
        default="", kw_only=True, repr=False
    )
    on_error: str = field(default="stop", kw_only=True)
    sha256: str | None = field(default=None, kw_only=True)
    memory_max_bytes: int | None = field(default=None, kw_only=True)
    cpu_max: float | None = field(default=None, kw_only=True)
    wall_max: float | None = field(default=None, kw_only=True)
    fuel: int | None = field(default=None, kw_only=True)
    output_max_bytes: int | None = field(default=None, kw_only=True)
    log_lines_max: int | None = field(default=None, kw_only=True)

    def config_text(self) -> str:
        """The configuration as the plugin gets it."""
        if isinstance(self.config, str):
            return self.config
        return json.dumps(self.config, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginStatus:
    """What a plugin has done so far: one of `Status.plugins`."""

    name: str
    """As it says."""

    version: str
    """Its own version, as it says."""

    sha256: str
    """Of its file, in hexadecimal digits."""

    events: int
    """Messages it was asked about."""

    dropped: int
    """Those it dropped."""

    changed: int
    """Those it changed, or gave another payload."""

    emitted: int
    """Messages it made."""

    skipped: int
    """Changes it failed at that were skipped, as its `on_error` said."""

    parked: int
    """Changes it failed at that were written to a file, as its `on_error` said."""

    out_of_time: int
    """Calls that ran out of CPU time, of time, or of fuel."""

    out_of_memory: int
    """Calls that wanted more memory than there may be."""

    out_of_output: int
    """Calls that answered more than they may."""

    traps: int
    """Calls that trapped."""

    wrong_answers: int
    """Answers that cannot be."""

    memory_bytes: int
    """Linear memory that its instance has."""

    lines_unshown: int
    """Lines of its log that were too many."""
    reloads: int
    """Times that its file had changed and the new one was used from then on."""
    refused: int
    """Times that its file had changed and the new one could not be used."""
