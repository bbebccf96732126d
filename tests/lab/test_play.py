"""Any playbook, on real servers: users, check and diff that tell the truth, a reboot, a host without python3."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from outcomes import Lab

from mnemo_ops.lab import server
from mnemo_ops.lab.engine import docker

SITE = """
- hosts: new
  become: true
  vars: {greeting: hello}
  handlers:
    - name: note
      lineinfile: {path: /srv/app/log, line: noted, create: true}
  tasks:
    - user: {name: app, home: /srv/app, shell: /bin/bash}
    - file: {path: /srv/app, state: directory, owner: app, mode: "0755"}
    - copy: {dest: /srv/app/greeting, content: "{{ greeting }}\\n"}
      become_user: app
      notify: note
    - shell: id -un; echo "$WORD"
      become_user: app
      environment: {WORD: said}
      register: who
      changed_when: false
    - command: id -un
      become: false
      register: login
      changed_when: false
    - copy: {dest: /srv/app/who, content: "{{ who.stdout }} {{ login.stdout }}\\n"}
    - block:
        - command: "false"
      rescue:
        - copy: {dest: /srv/app/rescued, content: "{{ ansible_failed_result.rc }}"}
    - apt: {name: cron, update_cache: true, cache_valid_time: 3600}
    - cron: {name: tick, minute: "5", job: /bin/true, user: app}
    - sysctl: {name: vm.swappiness, value: "10", sysctl_file: /etc/sysctl.d/90-app.conf, reload: false}
"""

RESCUE = f"site.yml:{next(n for n, line in enumerate(SITE.splitlines(), 1) if 'rescued' in line)}"

REBOOT = """
- hosts: new
  become: true
  tasks:
    - copy: {dest: /srv/before, content: x}
    - reboot: {reboot_timeout: 300}
      register: back
    - copy: {dest: /srv/after, content: "{{ back.rebooted }}"}
    - wait_for_connection: {timeout: 120}
"""

BARE = """
- hosts: old
  become: true
  gather_facts: false
  tasks:
    - raw: mv /usr/bin/python3.hidden /usr/bin/python3
    - copy: {dest: /srv/known, content: "{{ ansible_facts.python_version }}"}
"""


def play(lab: Lab, text: str, *words: str, code: int = 0) -> dict[str, Any]:
    (lab.root / "site.yml").write_text(text)
    said = lab.run("play", "site.yml", "--json", *words)
    assert said.code == code, str(said)
    return said.document


def tasks(document: dict[str, Any], *statuses: str) -> list[tuple[str, str]]:
    rows: list[dict[str, str]] = document["tasks"]
    return [(row["task"], row["where"]) for row in rows if row["status"] in statuses]


def test_check_names_what_the_run_then_changes(lab: Lab) -> None:
    checked = play(lab, SITE, "--check", "--diff")
    foretold = tasks(checked, "changed")
    done = play(lab, SITE)
    happened = set(tasks(done, "changed", "rescued"))  # the command that is made to fail would have changed something
    assert set(foretold) - happened == set(), "foretold, and did not happen"
    # no check knows that a command fails, so not its rescue either; nor whom a task notifies that is itself unknown
    rescue = {(name, where) for name, where in happened if where == RESCUE}
    notified = {("note", where) for name, where in happened if name == "note"}
    unforetold = happened - set(foretold) - set(tasks(checked, "unknown")) - rescue - notified
    assert unforetold == set(), "happened, and was not foretold"
    assert lab.new.sh("cat /srv/app/who") == "app\nsaid ops"
    assert lab.new.sh("stat -c %U /srv/app/greeting") == "app"
    assert lab.new.sh("cat /srv/app/log /srv/app/rescued") == "noted\n1"
    assert "*" in lab.new.sh("crontab -u app -l")
    again = play(lab, SITE)
    assert tasks(again, "changed", "failed") == []


def test_a_reboot_in_the_middle(lab: Lab) -> None:
    """The container stops, as a server does that has no power for a while; somebody has to press the button."""
    name = server.container(lab.root, "new")
    ended = threading.Event()

    def press() -> None:
        deadline = time.monotonic() + 300
        while not ended.is_set() and time.monotonic() < deadline:
            if docker("inspect", "--format", "{{.State.Running}}", name).strip() == "false":
                docker("start", name)
                return
            ended.wait(0.3)

    button = threading.Thread(target=press)
    button.start()
    try:
        document = play(lab, REBOOT)
    finally:
        ended.set()
        button.join()
    assert [name for name, _ in tasks(document, "changed")] == ["copy", "reboot", "copy"]
    assert lab.new.sh("cat /srv/after") == "True"


def test_nothing_of_ours_was_installed(lab: Lab) -> None:
    assert lab.new.is_clean()


def test_a_host_without_python(lab: Lab) -> None:
    lab.old.sh("mv /usr/bin/python3 /usr/bin/python3.hidden")
    said = lab.run("play", str(write(lab, "- {hosts: old, tasks: [{command: id}]}\n")))
    assert said.code == 4 and "has no python3" in said.err and "raw" in said.err
    play(lab, BARE)
    assert lab.old.sh("cat /srv/known").startswith("3.")


def write(lab: Lab, text: str) -> Path:
    path = lab.root / "other.yml"
    path.write_text(text)
    return path
