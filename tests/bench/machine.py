"""What it was measured on, and of what."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from bench.peers import REPOSITORY


def machine() -> dict[str, str]:
    """What it was measured on."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "CPU": cpu,
        "cores": str(os.cpu_count()),
        "memory": f"{memory_gib:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def commit() -> str:
    """Of what was measured."""
    git = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    return subprocess.run(git, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
