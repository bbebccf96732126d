"""Playbooks and inventories that are right and leave no word out: every mistake is made in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.documents import yaml_lines
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.modules import KINDS, kind_of
from mnemo_ops.playbook.variable_check import AT_RUN_TIME
from mnemo_ops.templates.references import uses
from mnemo_ops.templates.render import is_template

WORDS = """\
- name: everything a play can say
  hosts: servers:!other
  tags: [words]
  vars: {port: 8080, where: "/srv/{{ site }}"}
  vars_files: [more.yml]
  become: true
  become_user: root
  become_method: sudo
  environment: {LANG: C.UTF-8}
  no_log: false
  ignore_errors: false
  module_defaults: {file: {mode: "0644"}}
  collections: [community.general]
  gather_facts: true
  gather_subset: [min]
  serial: [1, 50%]
  any_errors_fatal: false
  max_fail_percentage: 10
  strategy: linear
  force_handlers: true
  connection: ssh
  remote_user: deploy
  order: inventory
  roles:
    - web
    - {role: web, vars: {web_root: /srv/other}, tags: other, when: port > 80}
  pre_tasks:
    - name: before
      ansible.builtin.file: {path: /srv, state: directory}
      register: made
  tasks:
    - name: everything a task can say
      command: echo {{ where }}
      args: {chdir: /srv}
      when: made is changed
      tags: [task]
      vars: {inner: 1}
      become: true
      become_user: deploy
      become_method: sudo
      environment: {LEVEL: "{{ inner }}"}
      no_log: true
      ignore_errors: true
      check_mode: false
      run_once: true
      delegate_to: localhost
      module_defaults: {command: {chdir: /}}
      collections: [ansible.posix]
      loop: [1, 2]
      loop_control: {loop_var: one, index_var: number, label: "{{ one }}", pause: 1, extended: true}
      register: said
      notify: [reload, all of them]
      changed_when: said.rc == 1
      failed_when: [said.rc > 1]
      until: said.rc == 0
      retries: 2
      delay: 1
  post_tasks:
    - {command: "echo {{ optional | default('x') }}"}
  handlers:
    - name: reload
      command: /bin/true
    - name: other
      command: /bin/true
      listen: all of them
    - import_tasks: handlers.yml
"""

STRUCTURE = """\
- import_playbook: small.yml
  name: first
  when: site is defined
  tags: early
  vars: {early: 1}
- hosts: all
  vars: {site: lab, flavour: included}
  tasks:
    - name: block
      when: site != 'x'
      tags: [outer]
      vars: {inner: 1}
      become: true
      block:
        - name: inside
          command: echo {{ inner }}
          when: ansible_distribution == 'Debian'
      rescue:
        - debug: {msg: "{{ ansible_failed_task.name }}"}
      always:
        - block:
            - ping:
    - import_tasks: included.yml
      vars: {greeting: hello}
    - ansible.builtin.include_tasks: "{{ flavour }}.yml"
      loop: [a, b]
      loop_control: {loop_var: greeting}
    - include_tasks: {file: included.yml, apply: {tags: [x], become: true}}
      vars: {greeting: bye}
    - import_role: {name: web, tasks_from: more}
      when: site == 'lab'
    - include_role:
        name: web
        apply: {tags: [y]}
        public: true
      loop: [a]
    - include_vars: {file: more.yml, name: held}
    - debug: {msg: "{{ held }}"}
    - set_fact: {later: "{{ site | upper }}"}
    - command: echo {{ later }}
    - copy: {src: a.conf, dest: /srv/, mode: "0644"}
    - template:
        src: site.j2
        dest: /etc/env
    - command: ls
      args: {creates: /x}
    - {file: path=/srv/x state=touch}
    - assert:
        that:
          - site is defined
          - site | length > 1
    - meta: flush_handlers
"""

OLDER = """\
- hosts: all
  tasks:
    - action: copy src=a.conf dest=/srv/a.conf
    - name: a mapping
      action:
        module: file
        path: /srv/x
        state: touch
      register: made
    - {local_action: command true, when: made is changed}
"""

LOOPS = """\
- hosts: old,new
  vars: {rows: [{name: a, keys: [b]}], table: {a: 1}}
  tasks:
    - {command: "echo {{ item }}", loop: "{{ range(2) | list }}"}
    - {command: "echo {{ item }}", with_items: [[1], 2]}
    - {command: "echo {{ item }}", with_list: [1]}
    - {command: "echo {{ item.key }}", with_dict: "{{ table }}"}
    - {command: "echo {{ item }}", with_fileglob: "*.conf"}
    - {command: "echo {{ item }}", with_first_found: [a.conf]}
    - {command: "echo {{ item }}", with_flattened: [[1], [2]]}
    - {command: "echo {{ item.0 }}", with_indexed_items: [a]}
    - {command: "echo {{ item }}", with_lines: echo a}
    - {command: "echo {{ item.0 }}", with_nested: [[1], [2]]}
    - {command: "echo {{ item }}", with_random_choice: [a]}
    - {command: "echo {{ item }}", with_sequence: start=1 end=2}
    - {command: "echo {{ item.1 }}", with_subelements: ["{{ rows }}", keys]}
    - {command: "echo {{ item.1 }}", with_together: [[1], [2]]}
    - command: "echo {{ lookup('env', 'HOME') }} {{ lookup('file', 'a.conf') }} {{ query('vars', 'table') }}"
"""

AROUND = {
    "more.yml": "site: lab\n",
    "small.yml": "- hosts: all\n  tasks:\n    - ping:\n",
    "included.yml": '- name: included\n  command: "echo {{ greeting }}"\n',
    "handlers.yml": "- name: imported\n  command: /bin/true\n",
    "files/a.conf": "a\n",
    "templates/site.j2": "{{ site }}\n{% for one in [1] %}\n{{ one }}\n{% endfor %}\n",
    "roles/web/meta/main.yml": "dependencies:\n  - {role: base, base_level: 2}\nallow_duplicates: true\n",
    "roles/web/defaults/main.yml": "web_root: /srv/web\n",
    "roles/web/vars/main.yml": "web_owner: www\n",
    "roles/web/tasks/main.yml": (
        '- name: root\n  file: {path: "{{ web_root }}", owner: "{{ web_owner }}"}\n  notify: reload web\n'
    ),
    "roles/web/tasks/more.yml": "- name: more\n  ping:\n",
    "roles/web/handlers/main.yml": "- name: reload web\n  command: /bin/true\n",
    "roles/base/tasks/main.yml": '- name: level\n  command: "echo {{ base_level }}"\n',
}

HOSTS = """\
all:
  vars:
    level: 1
  children:
    servers:
      hosts:
        old:
          ansible_host: 10.0.0.1
          ansible_port: 22
          ansible_user: root
          ansible_connection: ssh
          ansible_ssh_private_key_file: keys/old
          ansible_python_interpreter: /usr/bin/python3
        new: {ansible_host: 10.0.0.2, ansible_become_method: sudo}
        web[01:02].example:
      vars:
        group_site: lab
    others:
      hosts:
        other: {ansible_connection: local}
      children:
        below:
          hosts: {deep: }
"""
INI = """\
[servers]
old ansible_host=10.0.0.1 ansible_port=22 ansible_user=root
new ansible_host=10.0.0.2 ansible_connection=ssh
web[01:02].example

[servers:vars]
group_site=lab
ansible_timeout=20

[others]
other ansible_connection=local

[all:children]
servers
others
"""
USES_HOSTS = """\
- hosts: servers
  tasks:
    - debug: {msg: "{{ group_site }} {{ group_level }} {{ host_level }} {{ groups['others'] }}"}
"""
BESIDE = {
    "group_vars/all.yml": "group_level: 1\nhost_level: 2\n",
    "group_vars/servers/main.yml": 'group_level: "{{ 1 + 1 }}"\ngroup_list: [1, 2]\n',
    "host_vars/old.yml": "host_level: 3\n",
}


def kinds() -> Iterator[tuple[str, str]]:
    """A playbook for every kind: its own example, with the variables, files and handlers that asks for."""
    for kind in sorted(KINDS):
        example = str(resource_class(kind).EXAMPLE)  # type: ignore[attr-defined]
        variables = sorted(_variables(yaml_lines.loads(example, "x.yml")))
        late = ", ".join(f'{name}: "{{{{ ansible_date_time.year }}}}"' for name in variables)  # nothing is false early
        lines = ["- hosts: all", f"  vars: {{{late}}}", "  tasks:"]
        yield f"{kind}.yml", "\n".join([*lines, *("    " + line for line in example.rstrip().splitlines())]) + "\n"


def _variables(tasks: Any) -> set[str]:
    found: set[str] = set()
    for task in tasks:
        kind = next(kind_of(key) for key in task if kind_of(key))
        expressions = {name for name, one in module_args.fields_of(kind).items() if one.expression}
        args = module_args.named(kind, next(task[key] for key in task if kind_of(key)), "x.yml:1")
        texts = [task.get(word) for word in ("when", "until", "failed_when", "changed_when")]
        texts += [args.get(name) for name in expressions]
        found |= {name for text in texts for name in _read(text, "{{ %s }}")}
        found |= _read({key: value for key, value in args.items() if key not in expressions})
    return found - AT_RUN_TIME - {"item"} - {task.get("register") for task in tasks}


def _read(value: Any, form: str = "%s") -> set[str]:
    if isinstance(value, dict):
        return {name for item in value.values() for name in _read(item, form)}
    if isinstance(value, list):
        return {name for item in value for name in _read(item, form)}
    text = form % str(value)
    return {use.name for use in uses(text)} if value is not None and is_template(text) else set()


def files_of_kinds() -> dict[str, str]:
    """Files of the controller the examples name."""
    found = {"default.yml": "kind_name: 1\n"}
    for kind in sorted(KINDS):
        sources = [(name, one.source) for name, one in module_args.fields_of(kind).items() if one.source]
        for task in yaml_lines.loads(str(resource_class(kind).EXAMPLE), "x.yml"):  # type: ignore[attr-defined]
            args = module_args.named(kind, next(value for key, value in task.items() if key == kind), "x.yml:1")
            for name, source in sources:
                if isinstance(args.get(name), str) and not args.get("remote_src"):
                    folder = "templates" if source == "template" else "files"
                    found.setdefault(f"{folder}/{args[name].split()[0].lstrip('/')}", "x\n")
    return found


PLAYBOOKS = {"words.yml": WORDS, "structure.yml": STRUCTURE, "loops.yml": LOOPS, "older.yml": OLDER, **dict(kinds())}
FILES = {
    **AROUND, **files_of_kinds(), **PLAYBOOKS, "uses_hosts.yml": USES_HOSTS,
    "hosts.yml": HOSTS, "hosts.ini": INI, **BESIDE,
}  # fmt: skip
