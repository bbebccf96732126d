"""Playbooks: what Ansible's words mean here, and what each mistake says."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnemo_ops.agent.facts.gather import gather
from mnemo_ops.agent.machine import Machine
from mnemo_ops.core.model import Host, entries
from mnemo_ops.documents import yaml_lines
from mnemo_ops.errors import MnemoError, UsageError
from mnemo_ops.execution import playbook_run
from mnemo_ops.inventory import load as inventory
from mnemo_ops.playbook import load as playbook
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.names import FACTS
from mnemo_ops.stack import definition

Write = Callable[[str, str], Path]

GOOD = """\
- name: everything
  hosts: servers
  become: true
  gather_facts: true
  vars: {port: 8080, where: "/srv/{{ site }}"}
  vars_files: [more.yml]
  roles:
    - web
    - {role: web, vars: {web_root: /srv/other}, tags: other, when: port > 80}
  pre_tasks:
    - ansible.builtin.file: {path: /srv, state: directory}
      register: made
  tasks:
    - name: block
      when: made is changed
      tags: [outer]
      vars: {inner: 1}
      block:
        - {name: in block, command: "echo {{ inner }}", when: ansible_distribution == 'Debian', tags: inner}
    - import_tasks: included.yml
      vars: {greeting: hello}
    - name: copies
      copy: {src: a.conf, dest: "{{ where }}/", mode: "0644"}
      loop: "{{ range(2) | list }}"
      notify: [reload, all of them]
      no_log: true
      ignore_errors: true
    - template: {src: env.j2, dest: /etc/env}
    - command: ls
      args: {chdir: /srv}
  post_tasks:
    - {command: "echo {{ optional | default('x') }}"}
  handlers:
    - {name: reload, command: /bin/true}
    - {name: other, command: /bin/true, listen: all of them}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    surroundings(write)
    return write


def surroundings(write: Write) -> None:
    write("more.yml", "site: lab\n")
    write("files/a.conf", "a\n")
    write("templates/env.j2", "{{ port }}\n{{ site }}\n")
    write("included.yml", '- {command: "echo {{ greeting }}"}\n')
    write("roles/web/defaults/main.yml", "web_root: /srv/web\n")
    write("roles/web/tasks/main.yml", '- {name: root, file: {path: "{{ web_root }}"}, notify: reload web}\n')
    write("roles/web/handlers/main.yml", "- {name: reload web, command: /bin/true}\n")
    write("hosts.yml", "all: {children: {servers: {hosts: {old: }}}}\n")


def check(path: Path, host_vars: Any = None) -> playbook.Playbook:
    book = playbook.load(path)
    for play in book.plays:
        playbook.check_variables(play, host_vars or {})
    return book


def test_a_playbook_that_uses_everything(write: Write) -> None:
    (play,) = check(write("site.yml", GOOD)).plays
    assert (play.name, play.hosts, play.elevated, play.where) == ("everything", "servers", True, "site.yml:1")
    names = [entry.name for entry in entries(play.tasks)]
    assert names == ["file", "root", "root", "in block", "command", "copies", "template", "command", "command"]
    by_name = {entry.name: entry for entry in entries(play.tasks)}
    assert by_name["in block"].when == ("made is changed", "ansible_distribution == 'Debian'")
    assert by_name["in block"].tags == ("outer", "inner")
    assert by_name["copies"].notify == ("reload", "other")
    assert by_name["root"].tags == ("other",) and by_name["root"].vars["web_root"] == "/srv/other"
    assert [entry.name for entry in play.handlers] == ["reload web", "reload", "other"]
    assert list(entries(play.tasks))[-2].args == {"cmd": "ls", "chdir": "/srv"}


@pytest.mark.parametrize("mode", ["0644", "'644'", '"0644"', "0o644", "'u=rw,g=r,o='", "384", "'{{ port }}'"])
def test_modes_that_say_what_they_mean(mode: str, write: Any) -> None:
    check(write("site.yml", HEAD + f"    - file: {{path: /x, mode: {mode}}}\n"))


OLDER = """\
- hosts: all
  tasks:
    - action: copy content=x dest=/x
      args: {mode: "0600"}
    - action:
        module: ansible.builtin.file
        path: /y
    - local_action: ping
    - local_action: {module: command, cmd: date}
  handlers:
    - name: again
      action: command true
"""


def test_tasks_of_the_older_forms(write: Write) -> None:
    (play,) = check(write("site.yml", OLDER)).plays
    assert [(task.kind, dict(task.args), task.delegate_to) for task in entries(play.tasks)] == [
        ("copy", {"content": "x", "dest": "/x", "mode": "0600"}, ""),
        ("file", {"path": "/y"}, ""),
        ("ping", {}, "localhost"),
        ("command", {"cmd": "date"}, "localhost"),
    ]
    assert [(task.kind, dict(task.args)) for task in play.handlers] == [("command", {"cmd": "true"})]


HEAD = "- hosts: all\n  vars: {port: 1}\n  handlers: [{name: reload, command: ls}]\n  tasks:\n"

MISTAKES = [
    # file, text, where, message, hint
    ("    - file: {path: [}\n", "site.yml:5:", "not valid YAML", ""),
    ("    - file: {path: {{ port }}}\n", "site.yml:5:", "'{{'", ""),
    ("    - file: {path: /x, path: /y}\n", "site.yml:5:24", "'path'", ""),
    ("    - fiel: {path: /x}\n", "site.yml:5", "'fiel'", "did you mean 'file'?"),
    (
        "    - seboolean: {}\n",
        "site.yml:5",
        "'seboolean'",
        "`invoke docs all`",
    ),
    ("    - other.things.gadget: {}\n", "site.yml:5", "'other.things.gadget'", ""),
    (
        "    - name: x\n      file: {path: /x}\n      whne: x\n",
        "site.yml:7",
        "'whne'",
        "did you mean 'when'?",
    ),
    ("    - file: {path: /x}\n      async: 5\n", "site.yml:6", "'async'", ""),
    ("    - file: {path: /x}\n      until: '{{ x }}'\n", "site.yml:6", "'until'", "write it"),
    ("    - file: {path: /x}\n      retries: many\n", "site.yml:6", "'retries'", ""),
    (
        "    - file: {path: /x}\n      delegate_to: old\n",
        "site.yml:6",
        "'delegate_to: old'",
        "move the task",
    ),
    (
        "    - file: {path: /x}\n      with_cartesian: x\n",
        "site.yml:6",
        "'with_cartesian'",
        "use loop",
    ),
    (
        "    - file: {path: /x}\n      copy: {}\n",
        "site.yml:6",
        "'file' and 'copy'",
        "",
    ),
    ("    - name: x\n", "site.yml:5", "a task", "`invoke docs all`"),
    (
        "    - file: {path: /x, mode: 644}\n",
        "site.yml:5",
        "1204",
        "write '0644'",
    ),
    ("    - file: {path: /x}\n      args: {mode: 1777}\n", "site.yml:6", "3361", "write '1777'"),
    (
        "    - copy:\n        content: x\n        dest: /x\n        directory_mode: 755\n",
        "site.yml:8",
        "directory_mode: 755",
        "",
    ),
    ("    - copi: {dest: /x}\n      x: 1\n", "site.yml:5", "'copi'", "did you mean 'copy'?"),
    ("    - mysql_db: {}\n", "site.yml:5", "'mysql_db'", "`invoke docs all`"),
    (
        "    - copy:\n      content: x\n      dest: /x\n",
        "site.yml:6",
        "'content'",
        "it is an argument of copy: indent it by two more columns, below 'copy:'",
    ),
    (
        "    - file:\n      path: /x\n      group: root\n",
        "site.yml:7",
        "'file' and 'group'",
        "it is an argument of file: indent it by two more columns, below 'file:'",
    ),
    (
        "    - ansible.builtin.wait_for:\n      timeout: 5\n",
        "site.yml:6",
        "'timeout'",
        "it is an argument of wait_for: indent it by two more columns, below 'ansible.builtin.wait_for:'",
    ),
    (
        "    - file:\n        path: /x\n        stat: absent\n",
        "site.yml:7",
        "'stat'",
        "did you mean 'state'?",
    ),
    ("    - file:\n        path: /x\n        state: 5\n", "site.yml:7", "'state' of file", ""),
    ("    - file: {state: absent}\n", "site.yml:5", "'path'", "invoke docs file"),
    (
        "    - file:\n        path: '/{{ prot }}'\n",
        "site.yml:6",
        "'prot'",
        "did you mean 'port'?",
    ),
    (
        "    - file: {path: /x}\n      when: prot > 1\n",
        "site.yml:6",
        "'prot'",
        "did you mean",
    ),
    (
        "    - file: {path: /x}\n      when: '{{ port }}'\n",
        "site.yml:6",
        "'when'",
        "write it without",
    ),
    (
        "    - file: {path: '{{ port | defualt(1) }}'}\n",
        "site.yml:5",
        "'defualt'",
        "did you mean 'default'?",
    ),
    (
        "    - file: {path: /x}\n      notify: relod\n",
        "site.yml:6",
        "'relod'",
        "did you mean 'reload'?",
    ),
    ("    - file: {path: /x}\n      become_method: su\n", "site.yml:6", "'become_method'", ""),
    ("    - file: {path: /x}\n      register: a-b\n", "site.yml:6", "'register'", ""),
    (
        "    - file: {path: /x}\n      no_log: maybe\n",
        "site.yml:6",
        "'maybe'",
        "",
    ),
    (
        "    - file: {path: /x}\n      loop: {a: 1}\n",
        "site.yml:6",
        "'loop'",
        "use the filter dict2items",
    ),
    ("    - copy: {src: b.conf, dest: /x}\n", "site.yml:5", "'b.conf'", "did you mean 'a.conf'?"),
    (
        "    - template: {src: bad.j2, dest: /x}\n",
        "templates/bad.j2:2",
        "'prot'",
        "did you mean",
    ),
    (
        f"    - debug: {{msg: '{{{{ {'(' * 500}1{')' * 500} }}}}'}}\n",
        "site.yml:5",
        "template",
        "",
    ),
    ("    - import_tasks: includd.yml\n", "site.yml:5", "'includd.yml'", "did you mean 'included.yml'?"),
    ("    - import_tasks: itself.yml\n", "itself.yml:1", "itself.yml", ""),
    ("    - block: []\n      resuce: []\n", "site.yml:6", "'resuce'", "did you mean 'rescue'?"),
    ("    - block: []\n      rescue: [{fiel: {path: /x}}]\n", "site.yml:6", "'fiel'", "did you mean"),
    ("    - include_tasks: 'no-{{ port }}.yml'\n", "site.yml:5", "'no-{{ port }}.yml'", "looked in"),
    ("    - include_vars: nowhere.yml\n", "site.yml:5", "'nowhere.yml'", ""),
    ("    - include_role: {name: wbe}\n", "site.yml:5", "'wbe'", "did you mean 'web'?"),
    ("    - set_fact: {a-b: 1}\n", "site.yml:5", "'a-b'", ""),
    ("    - assert: {that: [prot > 1]}\n", "site.yml:5", "'prot'", "did you mean 'port'?"),
    (
        "    - action: fiel path=/x\n",
        "site.yml:5",
        "'fiel'",
        "did you mean 'file'?",
    ),
    ("    - action: {path: /x}\n", "site.yml:5", "'action'", "`invoke docs all`"),
    ("    - action: {modul: copy}\n", "site.yml:5", "'action'", "did you mean 'module'?"),
    (
        "    - local_action: {module: file, paht: /x}\n",
        "site.yml:5",
        "'paht'",
        "did you mean 'path'?",
    ),
    ("    - action: ping\n      ping:\n", "site.yml:6", "'action' and 'ping'", ""),
    ("    - local_action: ping\n      delegate_to: old\n", "site.yml:6", "'local_action'", ""),
    ("    - 5\n", "site.yml:5", " 5", ""),
    ("  roles: [wbe]\n", "site.yml:5", "'wbe'", "did you mean 'web'?"),
    ("  roles: [dependent]\n", "roles/dependent/meta/main.yml:1", "'wbe'", "did you mean 'web'?"),
    ("  serial: some\n", "site.yml:5", "'serial'", ""),
    ("  strategy: debug\n", "site.yml:5", "strategy", "one of linear"),
    ("  connection: winrm\n", "site.yml:5", "'winrm'", "use ssh or local"),
    ("  taks: []\n", "site.yml:5", "'taks'", "did you mean 'tasks'?"),
    ("  vars_files: nope.yml\n", "site.yml:5", "'nope.yml'", "did you mean"),
]


@pytest.mark.parametrize(("text", "where", "message", "hint"), MISTAKES, ids=[row[2] for row in MISTAKES])
def test_mistakes(write: Write, text: str, where: str, message: str, hint: str) -> None:
    write("templates/bad.j2", "{{ port }}\n{{ prot }}\n")
    write("itself.yml", "- import_tasks: itself.yml\n")
    write("roles/dependent/meta/main.yml", "dependencies: [wbe]\n")
    with pytest.raises(UsageError) as caught:
        check(write("site.yml", HEAD + text))
    assert message in caught.value.message
    assert caught.value.where == where or (where.endswith(":") and caught.value.where.startswith(where))
    assert caught.value.hint.startswith(hint)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text", ["", "a: 1\n", "5\n", "- import_playbook: x.yml\n", "- [a]\n", "- {hosts: all, 5: x}\n"]
)
def test_files_that_are_no_playbook(write: Write, text: str) -> None:
    with pytest.raises(UsageError):
        playbook.load(write("site.yml", text))


@pytest.mark.parametrize(
    "task",
    [
        "{command: 'echo {{ x }}', when: x is defined}",
        "{command: 'echo {{ x | default(1) }}'}",
        "{command: 'echo {{ x }}', when: port > 5}",
        "{command: 'echo {{ item }}', loop: [1]}",
        "{command: 'echo {{ x }}', vars: {x: '{{ port }}'}}",
        "{command: 'echo {{ ansible_facts.anything }} {{ ansible_hostname }} {{ ansible_check_mode }}'}",
        "{command: 'echo {{ getent_passwd.root[4] }} {{ ansible_eth0.ipv4.address }} {{ ansible_br_1a2b.mtu }}'}",
    ],
)
def test_variables_that_may_stay_undefined(write: Write, task: str) -> None:
    check(write("site.yml", HEAD + f"    - {task}\n"))


def test_an_undefined_variable_inside_another(write: Write) -> None:
    with pytest.raises(UsageError) as caught:
        check(write("site.yml", HEAD + "    - command: echo {{ a }}\n"), {"a": "{{ b }}", "b": "{{ prot }}"})
    assert str(caught.value) == "site.yml:5: the variable 'prot', which variable 'b' reads, is undefined"


def test_the_list_of_facts_is_the_agents(tmp_path: Path) -> None:
    for kind in ("rsa", "ecdsa", "ed25519"):
        (tmp_path / "etc/ssh").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"etc/ssh/ssh_host_{kind}_key.pub").write_text(f"ssh-{kind} AAAA")
    assert sorted(FACTS) == sorted(gather(Machine(str(tmp_path))))


def test_two_hundred_tasks_load_quickly(write: Write) -> None:
    rows = "".join(
        f"    - name: task {number}\n      file: {{path: '/srv/{{{{ port }}}}/{number}', state: directory}}\n"
        f"      when: port > 1 or ansible_distribution == 'Debian'\n      notify: reload\n"
        for number in range(200)
    )
    path = write("site.yml", HEAD + rows)
    check(write("warm.yml", HEAD + "    - file: {path: /x}\n"))  # pydantic and the kinds are imported once
    started = time.process_time()
    check(path)
    assert time.process_time() - started < 0.3


# -- mistakes nobody thought of -------------------------------------------------------------------------------------

WRONG = [
    "",
    "~",
    "5",
    "-1",
    "1.5",
    "true",
    "[]",
    "{}",
    "[a]",
    "{a: b}",
    "{1: 2}",
    "[[a]]",
    "x y",
    "'{{'",
    "'{{ x }}'",
    "'{% if %}'",
    "a=b",
    "{[a]: b}",
    "!x y",
    "*a",
    "&a [*a]",
    '"\\x00"',
    "'../..'",
    "/",
    "[~]",
    "{~: ~}",
    "'a\tb'",
    "@",
    "`",
    "2024-01-01",
]


def mistaken(text: str, seed: int) -> str:
    """One field of one line is changed, removed, doubled or misspelt."""
    pick = random.Random(seed)
    lines = text.splitlines()
    index = pick.randrange(len(lines))
    line = lines[index]
    change = pick.randrange(6)
    if change == 0:
        del lines[index]
    elif change == 1:
        lines.insert(index, line)
    elif change == 2 and ":" in line:
        lines[index] = line[: line.index(":") + 1] + " " + pick.choice(WRONG)
    elif change == 3 and len(line.strip()) > 3:
        at = pick.randrange(len(line) - len(line.lstrip()), len(line))
        lines[index] = (
            line[:at] + pick.choice(["", "x", ":", "{", "}", "'", "[", " ", "{{", "-", "\t"]) + line[at + 1 :]
        )
    elif change == 4:
        lines[index] = line + pick.choice([" }", " x: y", ": z", " {{ a }}", " '", ",", "\x01", " - b", "|", "\xff"])
    else:
        words = line.split(" ")
        at = pick.randrange(len(words))
        words[at] = pick.choice(
            [*WRONG, "hosts:", "block:", "when:", "loop:", "register:", "vars:", "notify:", "roles:"]
        )
        lines[index] = " ".join(words)
    return "\n".join(lines) + "\n"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_no_mistake_ends_in_a_traceback(write: Write, seed: int) -> None:
    surroundings(write)
    try:
        check(write("site.yml", mistaken(GOOD, seed)), {"inventory_hostname": "old"})
        inventory.load(write("hosts.yml", mistaken(Path("hosts.yml").read_text() + INVENTORY, seed))).select("servers")
        check(write("role.yml", "- {hosts: all, roles: [web]}\n"))
    except MnemoError as error:
        assert error.exit_code == 2
        assert error.message and (error.where or "inventory" in error.message or "host" in error.message)


INVENTORY = """\
more:
  hosts:
    new:
      ansible_host: 10.0.0.1
      ansible_port: 22
      ansible_user: root
  vars:
    level: 1
  children:
    below:
      hosts: {other: {ansible_connection: local}}
"""


SHIPPED = sorted(path.name for path in playbook_run.shipped("").glob("*.yml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_our_own_playbooks_load(name: str) -> None:
    host = Host("old", "192.0.2.1", vars={"inventory_hostname": "old"})
    assert len(SHIPPED) > 3
    for play in playbook.load(playbook_run.shipped(name)).plays:
        nfs: dict[str, list[str]] = {
            key: [] for key in ("nfs_server", "nfs_clients", "nfs_exports", "nfs_allowed", "nfs_allow_world")
        }
        others = {"groups": {"all": ["old"], "gluster": ["old"]}, "hostvars": {"old": host.vars}}
        playbook.check_variables(play, {**host.vars, **definition.words(host, {}), **nfs, **others, "stack_owners": {}})


@pytest.mark.parametrize(
    ("text", "expected"), [("yes", True), ("'yes'", True), ("'No'", False), ("'on'", True), ("0", False)]
)
def test_flags_as_ansible_reads_them(write: Write, text: str, expected: bool) -> None:
    (play,) = check(write("site.yml", f"- hosts: all\n  tasks:\n    - {{ping: , become: {text}}}\n")).plays
    assert [entry.become for entry in entries(play.tasks)] == [expected]


@pytest.mark.parametrize(("text", "expected"), [("yes", "yes"), ("'no'", "no"), ("all", "all")])
def test_a_word_yaml_takes_for_a_truth_is_the_word(text: str, expected: str) -> None:
    args = module_args.named(
        "uri", yaml_lines.loads(f"{{url: 'http://x', follow_redirects: {text}}}", "x.yml"), "x.yml:1"
    )
    assert module_args.build("uri", args, "x.yml:1").follow_redirects == expected  # type: ignore[attr-defined]


def test_what_is_not_utf8_is_named_with_its_line(write: Write) -> None:
    path = write("site.yml", "")
    path.write_bytes("- hosts: all\n  vars: {city: Köln}\n".encode("latin-1"))
    with pytest.raises(UsageError, match="UTF-8") as caught:
        check(path)
    assert caught.value.where.endswith("site.yml:2")


def test_what_is_the_same_on_every_host_is_built_once(write: Write) -> None:
    tasks = """\
- hosts: all
  tasks:
    - {file: {path: /srv, state: directory}}
    - {file: {path: "/srv/{{ inventory_hostname }}", state: directory}}
    - {copy: {dest: /srv/a, content: x}}
    - {copy: {dest: /srv/a, src: a.conf}}
    - {debug: {msg: x}}
"""
    write("a.conf", "x")
    (play,) = playbook.load(write("play.yml", tasks)).plays
    assert [entry.resource is not None for entry in entries(play.tasks)] == [True, False, True, False, False]
