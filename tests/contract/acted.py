"""Examples of every action, which start from a host where it has something to do."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from typing import Any

from acting import (
    GRAPH,
    LATER,
    RUN,
    STACK,
    Acted,
    Acting,
    bare,
    described,
    do,
    killed,
    serving,
    stopped,
)
from postgres_model import ROWS
from world import World

from mnemo_ops.agent.actions import services as on
from mnemo_ops.agent.actions.backup import DropPartial, MakeSet, SetFiles, SignSet
from mnemo_ops.agent.actions.catalogue import ListSets, ShowSet
from mnemo_ops.agent.actions.cluster import TryImage
from mnemo_ops.agent.actions.copy_target import AskFence, CleanTarget, MarkTarget, StopCopy
from mnemo_ops.agent.actions.images import ImageUser, LoadImages, PullImages, SaveImages
from mnemo_ops.agent.actions.journal import AdoptLease, Forget, RemoveFile, WriteJournal
from mnemo_ops.agent.actions.leases import EndLease
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.nfs_proof_mount import DropProof, ProveMounts
from mnemo_ops.agent.actions.nfs_proof_server import ClearProof, HoldProof, ReadProof
from mnemo_ops.agent.actions.prove import ProveStack
from mnemo_ops.agent.actions.prune import PruneSets
from mnemo_ops.agent.actions.smoke import Smoke
from mnemo_ops.agent.actions.stale_files import RestartStale
from mnemo_ops.agent.actions.swap import DropScratch, PlaceRestore, UndoRestore, UndoSwap
from mnemo_ops.agent.actions.transfer import DropKey, Fetch, GrantKey, HostKeys, MakeKey, Release, RevokeKey
from mnemo_ops.agent.actions.volume_move import MoveVolume, ReturnVolume
from mnemo_ops.agent.process import handout, lease
from mnemo_ops.agent.stack import restore_record
from mnemo_ops.agent.stack.restore_record import BEFORE, LOADING, SWAPPING
from mnemo_ops.agent.stack.volume_move import moving

TARGET = "ab" * 16
# what the model of an image is digested to
CONTENT = hashlib.sha256(json.dumps([["sha256:" + "a" * 64], {}, None, None]).encode()).hexdigest()
WANTED, PINNED = {"api:1": CONTENT}, "api@sha256:" + "a" * 64
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhY"
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
HELD = {"postgres": {"rows": {"app": {"rows of t": "original"}}}}
SECRET = "AGE-SECRET-KEY-1"
OLD_SET = "20260101T120000Z-00a1"
ENDED = time.time() - 3600
LEASE = f"served-{RUN}"
_LOCALE = {"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c", "locale": None, "rules": None}
LIKE = {
    **{"major": 16, "version": "16.4", "segment": 16, "checksums": True, "superuser": "app", "mode": "0700"},
    **{"preloaded": "", "programs": "/bin", "extensions": ["plpgsql", "vector"]},
    **{"template0": _LOCALE, "locales": [_LOCALE], "zstd": False, "mount": "/pg", "uid": 999},
}
DEED = {"kind": "remove_file", "args": {"path": "/srv/left"}}
PROOF = f"{RUN}-1"
EXPORT = {"name": "graph", "path": "/srv/nfs/graph", "uid": 9, "gid": 9, "options": "hard,timeo=600,retrans=2"}
BOUND = {"type": "none", "o": "bind", "device": "/data/graph"}
THERE = {"name": "p_graph", "driver": "local", "options": BOUND, "labels": {}, "external": False}


def a_set(world: World) -> None:
    """The stack has changed since its set was made."""
    serving(world)
    do(world, MakeSet(STACK, OLD_SET, [RECIPIENT]))
    world.write(f"{GRAPH}/file", "changed")
    world.write(ROWS, "changed")


def arrived(world: World) -> None:
    """The set is on a host without the stack."""
    a_set(world)
    for name in ("p-api-1", "p-db-1"):
        world.machine().run(["docker", "rm", "--force", name])
    for name in ("p_graph", "p_pg"):
        world.machine().run(["docker", "volume", "rm", name])
    world.machine().remove("/srv/p")
    (world.root / "sets" / OLD_SET).rename(world.root / "sets" / RUN)
    path = world.root / "sets" / RUN / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "id": RUN}))
    do(world, MarkTarget(STACK, RUN, "copying"))


def clean(world: World) -> None:
    """What the next migration begins with; the set is fetched again."""
    kept = world.root.with_name(world.root.name + ".sets")
    shutil.copytree(world.root / "sets" / RUN, kept)
    do(world, CleanTarget(STACK, RUN, ("db",)), MarkTarget(STACK, RUN, "copying"))
    shutil.copytree(kept, world.root / "sets" / RUN)


def loading(id: str = OLD_SET) -> LoadSet:
    return LoadSet(STACK, id, fresh=False, run_id=RUN, identity=SECRET)


def restored(world: World) -> None:
    a_set(world)
    do(world, loading())


def cut(state: str) -> Any:
    """A restore that was killed in this state, once something was done in it."""

    def prepare(world: World) -> None:
        def when(machine: Acting) -> bool:
            plan = restore_record.pending(machine, RUN)
            begun = plan is not None and plan["state"] == state
            path = plan["paths"][0] if plan else ""
            side = restore_record.sibling(path, BEFORE if state == SWAPPING else "after", RUN)
            return begun and machine.stat(side) is not None

        a_set(world)
        killed(world, loading(), when)
        world.machine().remove(f"/var/lib/mnemo_ops/leases/restore-{RUN}.json")

    return prepare


def leased(world: World) -> None:
    serving(world)
    world.write("srv/left", "")
    lease.hold(world.machine(Acting), LEASE, RUN, [DEED])


def fence(world: World) -> None:
    do(world, on.Fence(STACK, RUN, TARGET))


def fenced(world: World) -> None:
    serving(world)
    fence(world)


def shut(world: World) -> None:
    fenced(world)
    world.machine().run(["docker", "stop", "--time", "1", "p-db-1"])


def granted(world: World) -> None:
    serving(world)
    do(world, GrantKey(RUN, "me", KEY, ["192.0.2.1"]))


def handed_out(world: World) -> None:
    a_set(world)
    do(world, GrantKey(RUN, "me", KEY, ["192.0.2.1"]))


def keyed(world: World) -> None:
    bare(world)
    do(world, MakeKey(RUN))
    world.write("var/lib/model/other/part", "data")
    world.write(f"var/lib/model/other/{handout.fence(RUN)}", handout.FINAL.decode())


def asked(world: World) -> None:
    keyed(world)
    do(world, MarkTarget(STACK, RUN, "copying"))


def half_a_copy(world: World) -> None:
    bare(world)
    do(world, MarkTarget(STACK, RUN, "copying"))
    described(world)
    do(world, on.ComposeUp(STACK, ("db",)))
    world.write(f"{GRAPH}/file", "copied")
    world.write(f"sets/{RUN}/manifest.json", "{}")


def images(world: World) -> None:
    bare(world)
    do(world, GrantKey(RUN, "me", KEY, ["192.0.2.1"]), SaveImages(WANTED, f"/sets/images-{RUN}.tar.zst", RUN))
    world.machine().run(["docker", "image", "rm", "api:1"])


def pinned(world: World) -> None:
    bare(world)
    world.model("registry", {PINNED: "sha256:" + "a" * 64})


def users(world: World) -> None:
    serving(world)
    world.model("said", {"api": "999\n999"})


def tried(world: World) -> None:
    """Images of Postgres: a newer one, and one that is older."""
    serving(world)
    list_of = ' 1: name = "vector"\t(typeid = 19)\n\t----\n\t 1: name = "plpgsql"\t(typeid = 19)'
    who = "0\nroot:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh"
    newer = {"command -v": "/usr/bin/initdb", "id -u": who, "--version": "postgres (PostgreSQL) 17.2"}
    newer["--single"] = list_of
    world.model("said", {"pg": newer, "lacking": {**newer, "--single": ""}, "older": {**newer, "--version": "x) 15.1"}})


def unfinished(world: World) -> None:
    a_set(world)
    world.write(f"sets/{LATER}.partial/postgres.dump", "half")
    for path in (world.root / "sets" / f"{LATER}.partial").rglob("*"):
        os.utime(path, (ENDED, ENDED))
    os.utime(world.root / "sets" / f"{LATER}.partial", (ENDED, ENDED))


def proving(world: World) -> None:
    serving(world)
    world.model("said", {f"mnemo-proof-{PROOF.lower()}": '{"sha256": "x"}'})


def proof_left(world: World) -> None:
    serving(world)
    label = ["--label", f"mnemo.proof={PROOF}"]
    world.machine().run(["docker", "volume", "create", *label, f"mnemo-proof-{PROOF.lower()}-graph"])
    name = f"mnemo-proof-{PROOF.lower()}"
    world.machine().run(["docker", "import", "--change", f"LABEL mnemo.proof={PROOF}", "-", name], data=b"")


def proven(world: World) -> None:
    bare(world)
    world.write(f"srv/nfs/graph/.mnemo-proof-{PROOF}/written", "x")


def job_left(world: World) -> None:
    leased(world)
    world.write(f"var/lib/mnemo_ops/jobs/{RUN}-set/state.json", "{}")
    world.machine().remove(f"/var/lib/mnemo_ops/leases/{LEASE}.json")


def staged(world: World) -> None:
    """The volume that is to be, as the play makes it before a move; nothing where the move has ended."""
    if "p-next-graph" in world.state("docker")["volumes"] or moving.read(world.machine(), "p", "graph"):
        return
    options = [word for key, value in BOUND.items() for word in ("--opt", f"{key}={value}")]
    labels = ["--label", "mnemo.stack=p", "--label", "mnemo.staged=graph"]
    world.machine().run(["docker", "volume", "create", "--driver", "local", *options, *labels, "p-next-graph"])


def movable(world: World) -> None:
    serving(world)
    (world.root / "data/graph").mkdir(parents=True)
    staged(world)


def outdated(world: World) -> None:
    """A file that is mounted alone was replaced, and another one below a directory that is mounted read-only."""
    serving(world)
    mount = {"Type": "bind", "RW": False}
    conf, web = ({**mount, "Source": f"/srv/p/{name}", "Destination": f"/{name}"} for name in ("conf", "web"))
    world.write("srv/p/conf", "new")
    world.write("srv/p/web/a", "new")
    world.write("proc/47/mountinfo", "9 8 254:0 /srv/p/conf//deleted /conf ro - ext4 /dev/vda rw\n")
    docker = world.state("docker")
    db, api = (
        next(row for row in docker["containers"].values() if row["Name"] == f"/p-{name}-1") for name in ("db", "api")
    )
    db["Mounts"].append(conf)
    db["State"]["Pid"] = 47
    api["Mounts"].append(web)
    api["State"]["StartedAt"] = "2020-01-01T00:00:00.123456789Z"
    world.model("docker", docker)


def moving_away() -> MoveVolume:
    return MoveVolume(STACK, "graph", RUN, {**THERE, "directory": "/data/graph"}, "p-next-graph")


def half_moved(world: World) -> None:
    def when(machine: Acting) -> bool:
        plan = moving.read(machine, "p", "graph")
        return plan is not None and plan["state"] == "renaming" and moving.find(machine, plan["kept"]) is not None

    movable(world)
    killed(world, moving_away(), when)
    world.machine().remove(f"/var/lib/mnemo_ops/leases/move-{RUN}.json")


FILE = {"name": "part", "size": 4, "sha256": "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"}
FINAL = {"name": handout.fence(RUN), "size": 6, "sha256": __import__("hashlib").sha256(handout.FINAL).hexdigest()}
ASK = {"run_id": RUN, "user": "me", "address": "192.0.2.1", "port": 22, "host_keys": [KEY], "target": ""}
BACK = {"p-db-1": "always", "p-api-1": "unless-stopped"}

ACTED = [
    Acted("adopt_lease", lambda: AdoptLease(RUN), leased, quiet=True),
    Acted("ask_fence", lambda: AskFence(STACK, RUN, {**ASK, "files": [FINAL]}), asked),
    Acted("clean_target", lambda: CleanTarget(STACK, RUN, ("db",)), half_a_copy),
    Acted("clear_proof", lambda: ClearProof(PROOF, ["/srv/nfs/graph"]), proven),
    Acted("compose_up", lambda: on.ComposeUp(STACK), stopped),
    Acted("drop_fence", lambda: on.DropFence("p", RUN), fenced),
    Acted("drop_key", lambda: DropKey(RUN), keyed),
    Acted("drop_lease", lambda: on.DropLease(LEASE), leased, timed=True),
    Acted("drop_partial", lambda: DropPartial("/sets", LATER), unfinished),
    Acted("drop_proof", lambda: DropProof(PROOF), proof_left),
    Acted("drop_scratch", lambda: DropScratch(STACK, RUN), cut(LOADING)),
    Acted("end_lease", lambda: EndLease(LEASE), leased, timed=True),
    Acted("fence", lambda: on.Fence(STACK, RUN, TARGET), serving),
    Acted("fetch", lambda: Fetch(**{**ASK, "target": "/sets/x", "files": [FILE]}), keyed),
    Acted("finish_deploy", lambda: on.FinishDeploy(STACK, RUN), serving),
    Acted("forget", lambda: Forget(RUN), job_left),
    Acted("grant_key", lambda: GrantKey(RUN, "me", KEY, ["192.0.2.1"]), serving),
    Acted("hold_proof", lambda: HoldProof(RUN, [PROOF], ["/srv/nfs/graph"]), serving),
    Acted("host_keys", HostKeys, serving, quiet=True),
    Acted("image_user", lambda: ImageUser("api:1", "/"), users),
    Acted("list_sets", lambda: ListSets("/sets", True), a_set, quiet=True),
    Acted("load_images", lambda: LoadImages(f"/sets/images-{RUN}.tar.zst", WANTED), images),
    Acted("load_set", loading, a_set, late=True),
    Acted("load_set fresh", lambda: LoadSet(STACK, RUN, True, RUN, identity=SECRET), arrived, before=clean),
    Acted("make_key", lambda: MakeKey(RUN), serving),
    Acted("make_set", lambda: MakeSet(STACK, RUN, [RECIPIENT]), serving, late=True),
    Acted("make_set fenced", lambda: MakeSet(STACK, RUN, [RECIPIENT], fenced=True), fenced, late=True, before=fence),
    Acted("mark_target", lambda: MarkTarget(STACK, RUN, "copying"), bare),
    Acted("move_volume", moving_away, movable, late=True, before=staged, inodes=True),
    Acted("place_restore", lambda: PlaceRestore(STACK, RUN, BEFORE), restored),
    Acted("prove_mounts", lambda: ProveMounts(PROOF, "192.0.2.1", [EXPORT]), proving),
    Acted(
        "prove_stack",
        lambda: ProveStack(STACK, HELD, {}, {}),
        serving,
        quiet=True,
    ),
    Acted("prune_sets", lambda: PruneSets(STACK, 1, False, (f"{LATER}.partial",)), unfinished),
    Acted("prune_sets aside", lambda: PruneSets(STACK, 1, True, (f"restore-{RUN}-before",)), restored),
    Acted("pull_images", lambda: PullImages([PINNED]), pinned),
    Acted("read_proof", lambda: ReadProof(PROOF, ["/srv/nfs/graph"]), proven, quiet=True),
    Acted("release", lambda: Release(LEASE), leased),
    Acted("remove_file", lambda: RemoveFile("/srv/left"), leased),
    Acted("restart_stale", lambda: RestartStale(STACK, {"conf": "", "web/a": ""}), outdated),
    Acted("return_volume", lambda: ReturnVolume(STACK, "graph"), half_moved),
    Acted("revoke_key", lambda: RevokeKey(RUN, "me"), granted),
    Acted("save_images", lambda: SaveImages(WANTED, f"/sets/images-{RUN}.tar.zst", RUN), granted),
    Acted("set_files", lambda: SetFiles(f"/sets/{OLD_SET}", RUN), handed_out),
    Acted("set_restart", lambda: on.SetRestart(BACK), fenced),
    Acted("settle_fence", lambda: on.SettleFence(STACK, RUN), shut, timed=True),
    Acted("sign_set", lambda: SignSet("/sets", OLD_SET, "signature"), a_set),
    Acted("show_set", lambda: ShowSet("/sets", OLD_SET, True), a_set, quiet=True),
    Acted("smoke", lambda: Smoke(STACK, {}, {"api": ["/graph"]}), serving),
    Acted("start_containers", lambda: on.StartContainers(["p-db-1", "p-api-1"], (), ("db",), "p"), stopped),
    Acted("stop_all", lambda: on.StopAll(STACK), serving),
    Acted("stop_copy", lambda: StopCopy(STACK, RUN), half_a_copy),
    Acted("try_image", lambda: TryImage("pg:17", LIKE), tried),
    Acted("undo_restore", lambda: UndoRestore(STACK, LATER), restored, late=True),
    Acted("undo_swap", lambda: UndoSwap(STACK, RUN), cut(SWAPPING)),
    Acted("unfence", lambda: on.Unfence("p", RUN), fenced),
    Acted("write_journal", lambda: WriteJournal(RUN, {"phase": "fence", "status": "done"}), serving),
]
