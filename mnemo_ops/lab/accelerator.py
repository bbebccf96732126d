"""How this machine runs another: with KVM where it really does, else by emulation.

That /dev/kvm exists says little: on a machine that is virtual itself it may not run a stock kernel.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path

from mnemo_ops.lab.engine import Report, cache_dir, command, locked, working

KVM = ("-accel", "kvm", "-cpu", "host", "-smp", "2")
# The plainest processor: with `max`, libraries choose vector instructions whose emulation is a third of the time.
# And one: where processors are fewer than those emulated, each of them waits for others that do not run.
EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "qemu64,-svm", "-smp", "1")
_PROBE_SECONDS = 15.0


def accelerator(kernel: Path, report: Report) -> tuple[str, ...]:
    """QEMU's arguments; the answer of the first trial is kept for this machine, QEMU and `kernel`."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED
    version = command(["qemu-system-x86_64", "--version"])
    made_of = f"{version} {platform.version()} {platform.release()}".encode() + kernel.read_bytes()
    key = hashlib.sha256(made_of).hexdigest()
    answer = cache_dir() / f"kvm-{key[:12]}"
    with locked(answer.with_suffix(".lock")):
        if not answer.exists():
            with working(report, "trying whether KVM runs Debian's kernel here"):
                answer.write_text("yes" if _boots(kernel) else "no")
        return KVM if answer.read_text() == "yes" else EMULATED


def _boots(kernel: Path) -> bool:
    """Whether the kernel comes as far as looking for its disk, of which there is none."""
    argv = ["qemu-system-x86_64", *KVM, "-m", "512", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-serial", "stdio", "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]  # fmt: skip
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return b"Unable to mount root" in done.stdout
