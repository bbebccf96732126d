"""The demo of a stranger's project: started by hand with `docker compose up`, adopted, and moved to a bare host.

Every step is what somebody would type who has never heard of mnemo_ops. Usage: ``python -m mnemo_ops.lab.demo_notes``.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mnemo_ops.errors import MnemoError, StepFailed, VerificationFailed
from mnemo_ops.lab import server
from mnemo_ops.lab.demo import Demo
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.engine import docker
from mnemo_ops.lab.notes import ARCHIVE, ensure_notes, prepare_notes
from mnemo_ops.lab.notes_client import ask, lost, write

HOME, DIRECTORY = Path("build/demo-notes"), "/home/ops/notes"
NOTES = [f"note {number}: Grüße" for number in range(50)]
WAIVED = 'waived: {"cache:/data": a queue; what is in it is asked again}\n'


def demo(root: Path) -> None:
    """Run it. :raises StepFailed: a command failed (6). :raises VerificationFailed: notes are lost (7)."""
    home = root / HOME
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    show = Demo(root, home)
    show.say("two bare Debian servers")
    show.run("lab.down", where=root)
    show.run("lab.up", where=root)
    (home / "inventory.yml").write_text(f"all:\n  hosts:\n{line(root, 'old')}")
    show.say("a compose project on old, as its owner starts it: images, files, `docker compose up`")
    show.run("docker-install", "--limit", "old")
    start(root)
    url = f"http://{address(root, 'old')}:8080"
    eventually(lambda: ask(f"{url}/health")[0] == 200)
    kept = write(url, NOTES)
    show.say(f"{len(kept)} notes were taken; now mnemo_ops: adopt it")
    show.run("adopt", "--limit", "old")
    show.say("one volume has no name, so that no backup holds it: say that it need not survive")
    with (home / "stacks/notes/mnemo.yml").open("a") as file:
        file.write(WAIVED)
    show.run("stack.show", "--limit", "old")
    show.run("bootstrap", "--limit", "old")
    show.run("backup", "--limit", "old")
    show.say("a second host: a line in the inventory, and the same stack")
    with (home / "inventory.yml").open("a") as file:
        file.write(line(root, "new"))
    shutil.copytree(home / "host_vars/old", home / "host_vars/new")
    show.run("bootstrap", "--limit", "new")
    root_shell(root, "new", f"docker volume create {ARCHIVE}")  # external: its owner makes it
    show.run("migrate", "--from", "old", "--to", "new", "--yes")
    url = f"http://{address(root, 'new')}:8080"
    eventually(lambda: ask(f"{url}/health")[0] == 200)
    if gone := lost(url, kept):
        raise VerificationFailed(f"{len(gone)} of {len(kept)} notes are not whole on new: {gone[0]}")
    show.say(f"done: {len(kept)} notes taken on old, {len(kept)} whole on new, at {url}")
    print("  old is stopped and intact. `make demo-down` removes both.")


def line(root: Path, name: str) -> str:
    """A host of an inventory."""
    lab = LabDirectory(root)
    keys = f"ansible_ssh_private_key_file: {lab.key}, mnemo_known_hosts_file: {lab.known_hosts}"
    return f"    {name}: {{ansible_host: {address(root, name)}, ansible_user: ops, {keys}}}\n"


def address(root: Path, name: str) -> str:
    return next(each.address for each in server.status(root) if each.name == name)


def root_shell(root: Path, name: str, script: str) -> None:
    docker("exec", server.container(root, name), "sh", "-ec", script)


def start(root: Path) -> None:
    """What the owner of the project did some day, without mnemo_ops."""
    prepare_notes(root / HOME / "of-its-owner")
    container = server.container(root, "old")
    docker("cp", str(root / HOME / "of-its-owner"), f"{container}:{DIRECTORY}")
    for name in ("old", "new"):
        docker("cp", str(ensure_notes(print)), f"{server.container(root, name)}:/images.tar")
    load = f"docker load --quiet --input /images.tar && docker volume create {ARCHIVE}"
    root_shell(root, "old", f"{load} && cd {DIRECTORY} && docker compose up --detach --build --quiet-pull")


def eventually(true: Callable[[], bool], seconds: float = 180.0) -> None:
    """:raises StepFailed: it does not serve within this time (6)."""
    end = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise StepFailed(f"the project does not serve within {seconds:.0f} s")
        time.sleep(1.0)


def main() -> int:
    try:
        demo(Path.cwd())
    except MnemoError as error:
        print(f"ERROR {error}" + (f"\n  -> {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
