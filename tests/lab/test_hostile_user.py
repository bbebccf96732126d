"""A user of a server who wants to be root: everything he can plant in his directory, before and during a play."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import planted
import pytest
import yaml
from outcomes import Host, Lab
from planted import CASES, PROGRAMS, SHAPES, UID, Case

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]
ROOT = "/srv/planted"
TABLE = [case for case in CASES if case.kind != "user"]  # of that one the contract's table tells: it has one home
DIGEST = (
    "find /etc -xdev ! -path /etc/resolv.conf -printf '%p %m %U %G %y %l '"
    r" \( -type f -exec sha256sum {} \; -o -printf '\n' \) | sort | sha256sum"
)
FOREIGN = f"find / -xdev -user bob ! -path '{ROOT}/*' ! -path '/home/bob*' ! -path '/proc/*' 2>/dev/null || true"


def on(host: Host, script: str) -> str:
    """Run Python there, with everything of planted.py."""
    source = Path(planted.__file__).read_text() + "\n" + script
    return host.sh(f"cat > /root/planted.py <<'END-OF-FILE'\n{source}\nEND-OF-FILE\npython3 /root/planted.py")


PREPARE = f"""
import json, pickle
scenes = {{}}
for case in CASES:
    for name in json.loads(NAMES):
        scene = Scene(Path("{ROOT}") / case.name / name)
        scene.make(case)
        if name in globals():
            globals()[name](scene.home, scene.outside, case.path)
        scene.given()
        scenes[case.name, name] = (str(scene.root), scene.before)
pickle.dump(scenes, open("/root/scenes", "wb"))
"""
LOOK = """
import json, pickle
found = []
for key, (root, before) in pickle.load(open("/root/scenes", "rb")).items():
    found += [f"{key}: {line}" for line in Scene(Path(root), before=before).wrong()]
print(json.dumps(found))
"""
SWAP = f"""
import sys, threading
case = next(each for each in CASES if each.name == sys.argv[1])
scene = Scene(Path("{ROOT}") / case.name / "exchanged")
with swapping(scene.home / case.path, scene.outside, UID):
    print("at it", flush=True)
    sys.stdin.read()
"""


def task(case: Case, name: str) -> dict[str, Any]:
    home = f"{ROOT}/{case.name}/{name}/home/bob"
    args = {key: value.format(home) if isinstance(value, str) else value for key, value in case.args.items()}
    if case.kind == "template":
        args.pop("content")
    if case.kind == "authorized_key":
        args["path"] = f"{home}/{case.path}"
    return {"name": f"{case.name} {name}", case.kind: args, "ignore_errors": True}


def play(lab: Lab, name: str, tasks: list[dict[str, Any]]) -> Any:
    book = lab.root / f"{name}.yml"
    book.write_text(yaml.safe_dump([{"hosts": "old", "become": True, "gather_facts": False, "tasks": tasks}]))
    (lab.root / "config.j2").write_text("new\n")
    return lab.run("play", str(book), "--json", timeout=600)


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    lab.old.sh(f"useradd -u {UID} -m bob")
    names = [plant.__name__ for plant in SHAPES]
    on(lab.old, f"NAMES = {json.dumps(names)!r}\n{PREPARE}")
    return lab.old


def test_what_a_user_planted_leads_nowhere(lab: Lab, host: Host) -> None:
    before = host.sh(DIGEST)
    tasks = [task(case, plant.__name__) for case in TABLE for plant in SHAPES]
    for _ in range(2):
        said = play(lab, "planted", tasks)
        assert said.code == 0, str(said)  # every task came to an end, most with a refusal
        assert "planted-secret" not in said.out
        assert json.loads(on(host, LOOK)) == []
    assert host.sh(DIGEST) == before
    assert host.sh(FOREIGN) == ""
    refused = [row for row in said.document["tasks"] if row["status"] in ("failed", "ignored")]
    print(f"{len(tasks)} tasks, {len(refused)} refused")
    assert refused


def test_what_a_user_exchanges_during_the_play_leads_nowhere(lab: Lab, host: Host) -> None:
    """Every module a hundred times, while he exchanges his file and a link as fast as he can."""
    on(host, f"NAMES = {json.dumps(['exchanged'])!r}\n{PREPARE}")
    before = host.sh(DIGEST)
    source = Path(planted.__file__).read_text() + SWAP
    host.sh(f"cat > /root/swap.py <<'END-OF-FILE'\n{source}\nEND-OF-FILE")
    for case in (case for case in TABLE if case.kind not in PROGRAMS):
        with host.meanwhile(f"python3 /root/swap.py {case.name}") as swapper:
            assert swapper.stdout is not None and swapper.stdout.readline().strip() == "at it"
            said = play(lab, "exchanged", [{**task(case, "exchanged"), "loop": list(range(100))}])
        assert said.code == 0, str(said)
        assert "planted-secret" not in said.out
    assert json.loads(on(host, LOOK)) == []
    assert host.sh(DIGEST) == before
    assert host.sh(FOREIGN) == ""
