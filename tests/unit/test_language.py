"""The words of a play beyond single tasks: blocks, retries, includes, roles, what is decided on the way."""

from __future__ import annotations

import pytest
from playing import Bench, tasks

COPY = "copy: {dest: /srv/%s, content: x}"


def names(found: list[tuple[str, str]], *statuses: str) -> list[str]:
    return [name for name, status in found if status in statuses]


# -- blocks ------------------------------------------------------------------------------------------------------------

RESCUED = tasks("""
- {name: before, copy: {dest: /srv/before, content: x}}
- block:
    - {name: inside, copy: {dest: /srv/inside, content: x}}
    - {name: bad, copy: {dest: /nowhere/x, content: x}}
    - {name: never, copy: {dest: /srv/never, content: x}}
  rescue:
    - {name: saved, copy: {dest: /srv/saved, content: "{{ ansible_failed_task.name }}: {{ why }}"}}
  always:
    - {name: at last, copy: {dest: /srv/last, content: x}}
- {name: after, copy: {dest: /srv/after, content: x}}
""").replace("  tasks:", "  vars: {why: '{{ ansible_failed_result.msg }}'}\n  tasks:")


def test_a_block_is_rescued_and_the_play_goes_on(bench: Bench) -> None:
    assert bench.play(RESCUED) == [
        ("before", "changed"),
        ("inside", "changed"),
        ("bad", "rescued"),
        ("saved", "changed"),
        ("at last", "changed"),
        ("after", "changed"),
    ]
    assert bench.error is None
    assert bench.read("/srv/saved").startswith("bad: the directory /nowhere does not exist")
    assert not (bench.root / "srv/never").exists()


def test_a_rescue_reads_all_that_failed(bench: Bench) -> None:
    bench.play(tasks("""
- block:
    - shell: echo said; echo why >&2; exit 3
  rescue:
    - copy:
        dest: /srv/saved
        content: "{{ found.stdout }} {{ found.stderr_lines }} {{ found.cmd }}"
      vars: {found: "{{ ansible_failed_result }}"}
"""))  # fmt: skip
    assert bench.error is None, bench.error
    assert bench.read("/srv/saved") == "said ['why'] echo said; echo why >&2; exit 3"


def test_always_runs_and_the_failure_stays_one(bench: Bench) -> None:
    text = tasks("""
- block: [{name: bad, copy: {dest: /nowhere/x, content: x}}]
  always: [{name: at last, copy: {dest: /srv/last, content: x}}]
- {name: after, copy: {dest: /srv/after, content: x}}
""")
    assert bench.play(text) == [("bad", "failed"), ("at last", "changed")]
    assert bench.error is not None and bench.error.message.startswith("bad: ")


def test_a_rescue_that_fails_is_a_failure(bench: Bench) -> None:
    text = tasks("""
- block: [{name: bad, copy: {dest: /nowhere/x, content: x}}]
  rescue: [{name: worse, copy: {dest: /nowhere/y, content: x}}]
  always: [{name: at last, copy: {dest: /srv/last, content: x}}]
""")
    assert bench.play(text) == [("bad", "rescued"), ("worse", "failed"), ("at last", "changed")]
    assert bench.error is not None and bench.error.message.startswith("worse: ")


def test_what_fails_before_a_block_does_not_enter_it(bench: Bench) -> None:
    text = tasks("""
- {name: bad, copy: {dest: /nowhere/x, content: x}}
- block: [{name: inside, copy: {dest: /srv/x, content: x}}]
  rescue: [{name: saved, copy: {dest: /srv/saved, content: x}}]
  always: [{name: at last, copy: {dest: /srv/last, content: x}}]
""")
    # the batch was one: nobody knew of the failure when the block began
    assert bench.play(text) == [("bad", "failed")]
    assert list((bench.root / "srv").iterdir()) == []


def test_blocks_within_blocks(bench: Bench) -> None:
    text = tasks("""
- block:
    - block: [{name: bad, copy: {dest: /nowhere/x, content: x}}]
      always: [{name: inner, copy: {dest: /srv/inner, content: x}}]
    - {name: never, copy: {dest: /srv/never, content: x}}
  rescue: [{name: outer, copy: {dest: /srv/outer, content: x}}]
""")
    assert bench.play(text) == [("bad", "rescued"), ("inner", "changed"), ("outer", "changed")]


def test_a_template_that_fails_can_be_rescued(bench: Bench) -> None:
    text = tasks("""
- block:
    - {name: first, copy: {dest: /srv/first, content: x}, register: first}
    - {name: bad, copy: {dest: /srv/x, content: "{{ first.nothing }}"}}
  rescue: [{name: saved, copy: {dest: /srv/saved, content: x}}]
""")
    assert bench.play(text) == [("first", "changed"), ("bad", "rescued"), ("saved", "changed")]


def test_what_failed_has_a_result_for_its_rescue(bench: Bench) -> None:
    text = tasks("""
- block: [{name: bad, command: sh -c 'exit 3', register: r}]
  rescue: [{name: saved, copy: {dest: /srv/saved, content: "{{ r.rc }} {{ r is failed }} {{ r is changed }}"}}]
""")
    assert bench.play(text) == [("bad", "rescued"), ("saved", "changed")]
    assert bench.read("/srv/saved") == "3 True True"


def test_a_rescue_reads_what_became_of_all_items_and_of_what_was_judged(bench: Bench) -> None:
    bench.play(tasks("""
- block: [{command: "sh -c 'exit {{ item }}'", loop: [0, 3]}]
  rescue: [{copy: {dest: /srv/loop, content: "{{ ansible_failed_result.results | map(attribute='rc') | list }}"}}]
- block: [{command: sh -c 'exit 3', register: r, failed_when: r.rc == 3, changed_when: false}]
  rescue:
    - copy:
        dest: /srv/judged
        content: "{{ found.rc }} {{ found.failed_when_result }} {{ found.changed }} {{ r.changed }}"
      vars: {found: "{{ ansible_failed_result }}"}
- block: [{assert: {that: site == 'other'}, register: r}]
  rescue: [{copy: {dest: /srv/asserted, content: "{{ r.assertion }} {{ r.changed }}"}}]
"""))  # fmt: skip
    assert bench.error is None, bench.error
    assert (bench.read("/srv/loop"), bench.read("/srv/judged")) == ("[0, 3]", "3 True False False")
    assert bench.read("/srv/asserted") == "site == 'other' False"


# -- what decides ------------------------------------------------------------------------------------------------------


def test_constants_are_decided_on_the_host(bench: Bench) -> None:
    text = tasks("""
- {name: quiet, command: "true", changed_when: false}
- {name: loud, file: {path: /srv, state: directory}, changed_when: true}
- {name: forgiven, command: "false", failed_when: false}
- {name: last, copy: {dest: /srv/x, content: x}}
""")
    found = bench.play(text)
    assert found == [("quiet", "ok"), ("loud", "changed"), ("forgiven", "changed"), ("last", "changed")]
    assert len(bench.session.batches) == 1


def test_what_failed_is_asked_whether_it_changed_something(bench: Bench) -> None:
    bench.play(
        tasks("""
- {command: sh -c 'exit 3', register: a, changed_when: a.rc == 0, ignore_errors: true}
- {command: sh -c 'exit 3', register: b, changed_when: false, ignore_errors: true}
- {file: {path: /srv/nothing}, register: c, changed_when: c is failed, ignore_errors: true}
- {command: echo, register: d, changed_when: d.rc == 1, failed_when: d is changed or d.rc == 0, ignore_errors: true}
- {fail: {msg: x}, register: e, failed_when: false}
- {name: seen, copy: {dest: /srv/seen, content: "{{ [a, b, c, d, e] | map(attribute='changed') | join(' ') }}"}}
""")
    )
    assert bench.read("/srv/seen") == "False False True False False"


@pytest.mark.parametrize("words", ["command: echo 4", "debug: {msg: 4}", "command: echo 4, loop: [1, 2]"])
@pytest.mark.parametrize("asks", ["changed_when", "failed_when"])
def test_what_decides_may_read_the_task_before(bench: Bench, words: str, asks: str) -> None:
    look = "{command: echo 3, register: a, changed_when: false%s}"
    text = tasks(f"""
- {look % ", check_mode: false"}
- {{name: judged, {words}, register: b, {asks}: a.stdout != '3', check_mode: false}}
""")
    assert {status for _, status in bench.play(text)[1:]} == {"ok" if asks[0] == "c" or "debug" in words else "changed"}
    unknown = text.replace(look % ", check_mode: false", look % "")
    assert {status for _, status in bench.play(unknown, check=True)[1:]} == {"unknown"}


def test_until_sees_what_was_judged(bench: Bench) -> None:
    count = "shell: echo x >> %s; wc -l < %s"
    a, b = (count.replace("%s", str(bench.home / name)) for name in ("a", "b"))
    bench.play(
        tasks(f"""
- {{{a}, register: a, retries: 5, delay: 0, until: a is succeeded, failed_when: a.stdout | int < 3}}
- {{{b}, register: b, retries: 5, delay: 0, until: b is changed, changed_when: b.stdout | int == 2}}
- {{name: seen, copy: {{dest: /srv/seen, content: "{{{{ a.attempts }}}} {{{{ b.attempts }}}}"}}}}
""")
    )
    assert bench.error is None, bench.error
    assert bench.read("/srv/seen") == "3 2"


def test_what_was_never_good_keeps_its_last_result(bench: Bench) -> None:
    bench.play(
        tasks("""
- {shell: echo out; exit 3, register: r, until: r.rc == 0, retries: 2, delay: 0, ignore_errors: true}
- {name: seen, copy: {dest: /srv/seen, content: "{{ r.rc }} {{ r.stdout }} {{ r.attempts }}"}}
""")
    )
    assert bench.read("/srv/seen") == "3 out 2"


def test_an_until_that_cannot_be_asked_is_a_failure_to_rescue(bench: Bench) -> None:
    text = tasks("""
- block: [{name: asks, command: echo, register: r, until: r.json.status == 'up', retries: 2, delay: 0}]
  rescue: [{name: saved, copy: {dest: /srv/x, content: x}}]
""")
    assert bench.play(text) == [("asks", "rescued"), ("saved", "changed")]


def test_expressions_are_decided_here(bench: Bench) -> None:
    text = tasks("""
- {name: said, command: echo nothing to do, register: said, changed_when: "'nothing' not in said.stdout"}
- {name: two, command: "sh -c 'exit 2'", register: two, failed_when: "two.rc not in [0, 2]", changed_when: two.rc == 2}
- {name: bad, command: echo ERROR, register: bad, failed_when: "'ERROR' in bad.stdout"}
- {name: never, copy: {dest: /srv/x, content: x}}
""")
    assert bench.play(text) == [("said", "ok"), ("two", "changed"), ("bad", "failed")]
    assert "failed_when: 'ERROR' in bad.stdout" in bench.why("bad")
    two = bench.state.results["two"]
    assert (two["rc"], two["failed"], two["failed_when_result"]) == (2, False, False)


def test_a_judged_change_notifies(bench: Bench) -> None:
    text = """\
- hosts: all
  handlers:
    - {name: tell, copy: {dest: /srv/told, content: x}}
    - {name: hush, copy: {dest: /srv/hushed, content: x}}
  tasks:
    - {name: told, command: echo a, register: a, changed_when: a.stdout == 'a', notify: tell}
    - {name: hushed, command: echo a, register: a, changed_when: a.stdout == 'b', notify: hush}
"""
    assert bench.play(text) == [("told", "changed"), ("hushed", "ok"), ("tell", "changed")]
    assert bench.session.pending_handlers == []


def test_until_it_is_so(bench: Bench) -> None:
    (bench.root / "srv/count").write_text("")
    script = f"echo x >> {bench.root}/srv/count; wc -l < {bench.root}/srv/count"
    text = tasks(f"""
- name: counts
  command: {{argv: [sh, -c, "{script}"]}}
  register: counts
  until: counts.stdout | int >= 3
  retries: 5
  delay: 0
- {{name: after, copy: {{dest: /srv/after, content: "{{{{ counts.stdout }}}}"}}}}
""")
    assert bench.play(text) == [("counts", "changed"), ("after", "changed")]
    assert bench.read("/srv/after") == "3" and bench.state.results["counts"]["attempts"] == 3


def test_until_gives_up(bench: Bench) -> None:
    text = tasks("- {name: never, command: echo no, register: r, until: r.stdout == 'yes', retries: 2, delay: 0}")
    assert bench.play(text) == [("never", "failed")]
    assert "not true after 2 tries: r.stdout == 'yes'" in bench.why("never")


def test_a_loop_has_all_its_items_tried(bench: Bench) -> None:
    text = tasks("""
- {name: "to {{ item }}", copy: {dest: "{{ item }}/x", content: x}, loop: [/srv, /nowhere, /etc]}
- {name: never, copy: {dest: /srv/y, content: x}}
""")
    assert bench.play(text) == [("to /srv", "changed"), ("to /nowhere", "failed"), ("to /etc", "changed")]


# -- what the controller does itself -----------------------------------------------------------------------------------


def test_facts_that_are_set(bench: Bench) -> None:
    text = tasks("""
- {set_fact: {a: 1, b: "{{ site }}", c: [x, "{{ site }}"]}}
- {name: uses, copy: {dest: /srv/x, content: "{{ a }} {{ b }} {{ c | join(' ') }}"}}
""")
    assert names(bench.play(text), "changed") == ["uses"]
    assert bench.read("/srv/x") == "1 lab x lab"
    assert len(bench.session.batches) == 1


def test_facts_a_host_tells_are_known_from_then_on(bench: Bench) -> None:
    (bench.root / "proc/sys/kernel").mkdir(parents=True)
    (bench.root / "proc/sys/kernel/hostname").write_text("web1\n")
    text = tasks("""
- setup: {filter: hostname}
- {name: uses, copy: {dest: /srv/x, content: "{{ ansible_facts.hostname }} {{ ansible_hostname }}"}}
""")
    bench.play(text)
    assert bench.read("/srv/x") == "web1 web1"


def test_facts_gather_in_a_loop(bench: Bench) -> None:
    text = tasks("""
- {set_fact: {"{{ 'a' ~ 'll' }}": "{{ all | default([]) + [item] }}"}, loop: [1, 2, 3], when: item != 2}
- {name: uses, copy: {dest: /srv/x, content: "{{ all | join(' ') }}"}}
""")
    bench.play(text)
    assert bench.read("/srv/x") == "1 3"


def test_what_the_controller_looks_at_has_happened(bench: Bench) -> None:
    text = tasks("""
- {command: echo hello, register: r}
- {name: right, assert: {that: [r.stdout == 'hello']}}
- {command: echo again, register: s}
- {name: shown, debug: {var: s.stdout}}
""")
    assert [status for name, status in bench.play(text) if name in ("right", "shown")] == ["ok", "ok"]
    assert bench.error is None


def test_a_fact_of_a_result(bench: Bench) -> None:
    text = tasks("""
- {command: echo hello, register: r}
- {set_fact: {said: "{{ r.stdout | upper }}"}}
- {name: uses, copy: {dest: /srv/x, content: "{{ said }}"}}
""")
    bench.play(text)
    assert bench.read("/srv/x") == "HELLO"


def test_debug_says(bench: Bench) -> None:
    text = tasks("""
- {name: hello, debug: {msg: "in {{ site }}"}}
- {name: var, debug: {var: "site | upper"}}
- {name: quiet, debug: {msg: x, verbosity: 2}}
""")
    assert bench.play(text) == [("hello", "ok"), ("var", "ok"), ("quiet", "skipped")]
    assert bench.why("hello") == "in lab" and bench.why("var") == "site | upper: LAB"


def test_assertions(bench: Bench) -> None:
    text = tasks("""
- {name: done, copy: {dest: /srv/x, content: x}}
- {name: good, assert: {that: [site == 'lab', 1 < 2]}}
- {name: bad, assert: {that: [site == 'lab', site == 'other'], fail_msg: "not {{ site }}"}}
- {name: never, copy: {dest: /srv/y, content: x}}
""")
    assert bench.play(text) == [("done", "changed"), ("good", "ok"), ("bad", "failed")]
    assert bench.why("bad") == "not lab (not true: site == 'other')"


def test_fail(bench: Bench) -> None:
    text = tasks("""
- {name: done, copy: {dest: /srv/x, content: x}}
- {name: refused, fail: {msg: "not on {{ site }}"}, when: site == 'lab'}
- {name: never, copy: {dest: /srv/y, content: x}}
""")
    assert bench.play(text) == [("done", "changed"), ("refused", "failed")]
    assert bench.error is not None and "not on lab" in bench.error.message


def test_variables_of_a_file(bench: Bench) -> None:
    bench.write("Debian.yml", "package: apache2\nnested: {a: '{{ package }}'}\n")
    bench.write("default.yml", "package: httpd\n")
    text = tasks("""
- include_vars: "{{ ansible_distribution }}.yml"
- {name: uses, copy: {dest: /srv/x, content: "{{ package }} {{ nested.a }}"}}
""")
    assert names(bench.play(text), "changed") == ["uses"]
    assert bench.read("/srv/x") == "apache2 apache2"


def test_a_host_that_ends_early(bench: Bench) -> None:
    text = tasks("""
- {name: first, copy: {dest: /srv/x, content: x}}
- {meta: end_host, when: site == 'lab'}
- {name: never, copy: {dest: /srv/y, content: x}}
""")
    assert names(bench.play(text), "changed") == ["first"]
    assert bench.error is None


# -- handlers ----------------------------------------------------------------------------------------------------------


def test_handlers_run_at_the_end_of_each_section(bench: Bench) -> None:
    text = """\
- hosts: all
  handlers: [{name: tell, command: "true"}]
  pre_tasks: [{name: a, copy: {dest: /srv/a, content: x}, notify: tell}]
  tasks:
    - {name: b, copy: {dest: /srv/b, content: x}, notify: tell}
    - meta: flush_handlers
    - {name: c, copy: {dest: /srv/c, content: x}, notify: tell}
  post_tasks: [{name: d, copy: {dest: /srv/d, content: x}}]
"""
    assert [name for name, _ in bench.play(text)] == ["a", "tell", "b", "tell", "c", "tell", "d"]
    assert len(bench.session.batches) == 1


def test_a_template_names_the_handler(bench: Bench) -> None:
    text = """\
- hosts: all
  vars: {service: web}
  handlers: [{name: restart web, command: "true"}, {name: restart db, command: "true"}]
  tasks: [{name: a, copy: {dest: /srv/a, content: x}, notify: "restart {{ service }}"}]
"""
    assert bench.play(text) == [("a", "changed"), ("restart web", "changed")]
    text = text.replace("service: web", "service: nothing").replace("/srv/a", "/srv/b")
    assert bench.play(text) == [("a", "failed")]


def test_a_handler_with_a_loop(bench: Bench) -> None:
    text = """\
- hosts: all
  handlers: [{name: tell, copy: {dest: "/srv/{{ item }}", content: x}, loop: [one, two]}]
  tasks: [{name: a, copy: {dest: /srv/a, content: x}, notify: tell}]
"""
    assert [status for _, status in bench.play(text)] == ["changed"] * 3


# -- includes and roles ------------------------------------------------------------------------------------------------


def test_the_file_a_fact_chooses(bench: Bench) -> None:
    bench.write("setup-Debian.yml", "- {name: debian, copy: {dest: /srv/x, content: x}}\n")
    bench.write("setup-RedHat.yml", "- {name: redhat, copy: {dest: /srv/y, content: x}}\n")
    text = tasks("""
- include_tasks: "setup-{{ ansible_distribution }}.yml"
- {include_tasks: setup-RedHat.yml, when: ansible_distribution == 'RedHat'}
""")
    assert bench.play(text) == [("debian", "changed"), ("include_tasks", "skipped")]


def test_a_mistake_in_a_file_no_host_would_choose(bench: Bench) -> None:
    bench.write("setup-Debian.yml", "- {name: debian, copy: {dest: /srv/x, content: x}}\n")
    bench.write("setup-RedHat.yml", "- {name: redhat, coyp: {dest: /srv/y, content: x}}\n")
    with pytest.raises(Exception, match="'coyp'"):
        bench.play(tasks('- include_tasks: "setup-{{ ansible_distribution }}.yml"\n'))


def test_an_include_in_a_loop(bench: Bench) -> None:
    bench.write("one.yml", '- {name: "make {{ item }}", copy: {dest: "/srv/{{ item }}", content: "{{ n }}"}}\n')
    text = tasks("""
- {include_tasks: one.yml, loop: [a, b, c], when: item != 'b', loop_control: {index_var: n}}
""")
    assert bench.play(text) == [("make a", "changed"), ("make c", "changed")]
    assert bench.read("/srv/c") == "2"


def test_roles_everywhere(bench: Bench) -> None:
    for name in ("base", "web", "extra"):
        bench.write(
            f"roles/{name}/tasks/main.yml",
            f"- {{name: {name}, copy: {{dest: '/srv/{name}', content: '{{{{ v }}}}'}}}}\n",
        )
        bench.write(f"roles/{name}/defaults/main.yml", f"v: {name}\n")
    bench.write("roles/web/meta/main.yml", "dependencies: [{role: base, v: from web}]\n")
    bench.write("roles/extra/tasks/other.yml", "- {name: other, copy: {dest: /srv/other, content: '{{ v }}'}}\n")
    text = """\
- hosts: all
  roles: [web]
  tasks:
    - import_role: {name: extra}
    - include_role: {name: extra, tasks_from: other}
      vars: {v: mine}
      when: site == 'lab'
"""
    assert [name for name, _ in bench.play(text)] == ["base", "web", "extra", "other"]
    assert bench.read("/srv/base") == "from web" and bench.read("/srv/other") == "mine"
    assert bench.read("/srv/web") == "web"


def test_what_a_role_or_an_include_is_given_wins(bench: Bench) -> None:
    bench.write("roles/r/vars/main.yml", "own: role\n")
    write = "{copy: {dest: '/srv/{{ to }}', content: '{{ v }} {{ own }}'}%s}\n"
    bench.write("roles/r/tasks/main.yml", f"- {write % ''}")
    bench.write("one.yml", f"- {write % ', vars: {v: task}'}- {{set_fact: {{v: inner}}}}\n")
    bench.play("""\
- hosts: all
  pre_tasks: [{set_fact: {v: fact, own: fact, set: set}}]
  roles: [{role: r, v: given, own: given, to: parameter}]
  tasks:
    - {include_role: {name: r}, vars: {v: "{{ set }}", own: given, to: included}}
    - {import_role: {name: r}, vars: {v: import, to: imported}}
    - {include_tasks: one.yml, vars: {v: given, to: file}}
    - {include_tasks: one.yml, vars: {v: given, to: never}, when: v == 'fact'}
    - {import_role: {name: r}, vars: {to: after}}
""")
    assert bench.error is None, bench.error
    found = {name: bench.read(f"/srv/{name}") for name in ("parameter", "included", "imported", "file", "after")}
    assert found == {
        "parameter": "given given",
        "included": "set given",
        "imported": "fact fact",
        "file": "given fact",
        "after": "inner fact",
    }
    assert not (bench.root / "srv/never").exists()


def test_vars_where_a_role_is_used_win_over_its_own(bench: Bench) -> None:
    bench.write("roles/inner/vars/main.yml", "own: inner\n")
    bench.write("roles/inner/tasks/main.yml", "- {copy: {dest: '/srv/{{ to }}', content: '{{ own }}'}}\n")
    bench.write("roles/outer/vars/main.yml", "own: outer\n")
    bench.write("roles/outer/tasks/main.yml", "- {import_role: {name: inner}, vars: {to: nested}}\n")
    bench.play("""\
- hosts: all
  roles: [outer, {role: inner, vars: {own: used, to: listed}}]
  tasks: [{import_role: {name: inner}, vars: {own: used, to: imported}}]
""")
    assert bench.error is None, bench.error
    assert [bench.read(f"/srv/{name}") for name in ("nested", "listed", "imported")] == ["inner", "used", "used"]


def test_a_playbook_brings_others(bench: Bench) -> None:
    bench.write("other.yml", "- {hosts: all, tasks: [{name: inner, copy: {dest: /srv/x, content: '{{ v }}'}}]}\n")
    assert bench.play("- {import_playbook: other.yml, vars: {v: given}}\n") == [("inner", "changed")]
    assert bench.read("/srv/x") == "given"


# -- who and where -----------------------------------------------------------------------------------------------------


def test_a_task_for_this_machine(bench: Bench) -> None:
    text = tasks("""
- {name: there, copy: {dest: /srv/x, content: x}}
- {name: here, copy: {dest: /srv/x, content: here}, delegate_to: localhost, register: r}
- {name: back, copy: {dest: /srv/y, content: "{{ r.dest is defined }}"}}
""")
    assert [status for _, status in bench.play(text)] == ["changed"] * 3
    assert bench.read("/srv/x") == "x" and (bench.home / "here/srv/x").read_text() == "here"


def test_a_task_for_this_machine_is_tried_again_here(bench: Bench) -> None:
    count = bench.home / "here/srv/count"
    text = f"""\
- hosts: all
  handlers: [{{name: tell, copy: {{dest: /srv/told, content: x}}}}]
  tasks:
    - name: counts
      shell: echo x >> {count}; wc -l < {count}
      delegate_to: localhost
      register: r
      until: r.stdout | int >= 2
      delay: 0
    - {{name: tells, copy: {{dest: "/srv/{{{{ item }}}}", content: x}}, loop: [a, b], when: item == 'b',
       delegate_to: localhost, notify: tell}}
"""
    assert ("tell", "changed") in bench.play(text)
    assert count.read_text() == "x\nx\n"
    assert all("counts" not in [task.name for task in batch.tasks()] for batch in bench.session.batches)


def test_the_environment_of_a_task(bench: Bench) -> None:
    text = """\
- hosts: all
  environment: {A: play, B: play}
  tasks:
    - {name: prints, command: sh -c 'echo $A $B', environment: {B: "{{ site }}"}, register: r}
    - {name: uses, copy: {dest: /srv/x, content: "{{ r.stdout }}"}}
"""
    bench.play(text)
    assert bench.read("/srv/x") == "play lab"


def test_a_task_that_acts_in_a_check(bench: Bench) -> None:
    text = tasks("""
- {name: asks, command: echo yes, register: r, check_mode: false, changed_when: false}
- {name: depends, copy: {dest: /srv/x, content: "{{ r.stdout }}"}}
""")
    assert bench.play(text, check=True) == [("asks", "ok"), ("depends", "changed")]
    assert not (bench.root / "srv/x").exists()


def test_a_check_does_not_guess(bench: Bench) -> None:
    text = tasks("""
- {name: asks, command: echo yes, register: r, changed_when: "'yes' in r.stdout"}
- {name: depends, copy: {dest: /srv/x, content: "{{ r.stdout }}"}}
""")
    assert bench.play(text, check=True) == [("asks", "unknown"), ("depends", "unknown")]


def test_module_defaults(bench: Bench) -> None:
    text = """\
- hosts: all
  module_defaults: {copy: {mode: "0600"}}
  tasks: [{name: a, copy: {dest: /srv/a, content: x}}, {name: b, copy: {dest: /srv/b, content: x, mode: "0640"}}]
"""
    bench.play(text)
    assert [(bench.root / f"srv/{name}").stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o640]


def test_flags_that_are_templates(bench: Bench) -> None:
    text = tasks("""
- {name: bad, copy: {dest: /nowhere/x, content: x}, ignore_errors: "{{ site == 'lab' }}"}
- {name: hidden, copy: {dest: /nowhere/x, content: x}, no_log: "{{ true }}", ignore_errors: true}
""")
    bench.play(text)
    assert bench.error is None and bench.tasks["hidden"].no_log is True


def test_variables_of_the_first_file_found(bench: Bench) -> None:
    bench.write("vars/Debian.yml", "package: apache2\n")
    text = tasks("""
- include_vars: "{{ item }}"
  with_first_found: ["vars/{{ ansible_distribution }}-13.yml", "vars/{{ ansible_distribution }}.yml", vars/default.yml]
- {name: uses, copy: {dest: /srv/x, content: "{{ package }}"}}
""")
    bench.play(text)
    assert bench.read("/srv/x") == "apache2"


def test_loops_by_lookup(bench: Bench) -> None:
    text = tasks("""
- {name: "d {{ item.key }}", copy: {dest: "/srv/{{ item.key }}", content: x}, with_dict: {a: 1, b: 2}}
- {name: "n {{ item.0 }}{{ item.1 }}", copy: {dest: /srv/n, content: x}, with_nested: [[a, b], [1]]}
- {name: "l {{ ansible_loop.index }}", copy: {dest: /srv/n, content: x}, loop: [1, 2], loop_control: {extended: true}}
""")
    assert [name for name, _ in bench.play(text)] == ["d a", "d b", "n a1", "n b1", "l 1", "l 2"]


def test_a_reboot_is_over_when_the_host_started_anew(bench: Bench) -> None:
    text = tasks("""
- {name: before, copy: {dest: /srv/a, content: x}}
- {name: reboot, reboot: {reboot_command: "true", test_command: "true", boot_time_command: "true"}, register: r}
- {name: after, copy: {dest: /srv/b, content: "{{ r.rebooted }}"}}
""")
    assert bench.play(text) == [("before", "changed"), ("reboot", "changed"), ("after", "changed")]
    assert bench.reach.hung_up == 1 and bench.read("/srv/b") == "True"
    assert bench.play(text, check=True)[1] == ("reboot", "changed")


def test_a_host_that_does_not_reboot(bench: Bench) -> None:
    bench.reach.hang_up = lambda: None  # type: ignore[method-assign]
    text = tasks("""
- {name: reboot, reboot: {reboot_command: "true", boot_time_command: "true", reboot_timeout: 0}}
""")
    bench.session.facts = {**bench.session.facts, "init_started": 0}
    assert bench.play(text) == [("reboot", "failed")]
    assert " 0 s" in bench.why("reboot")


def test_a_block_notifies_for_its_tasks(bench: Bench) -> None:
    text = """\
- hosts: all
  handlers:
    - {name: tell, copy: {dest: /srv/told, content: x}}
    - {name: more, copy: {dest: /srv/more, content: x}}
  tasks:
    - notify: tell
      block:
        - {name: a, copy: {dest: /srv/a, content: x}, notify: more}
"""
    assert bench.play(text) == [("a", "changed"), ("tell", "changed"), ("more", "changed")]


def test_a_template_knows_where_it_goes(bench: Bench) -> None:
    bench.write("templates/x.j2", "{{ template_path | basename }} {{ template_destpath }}")
    bench.play(tasks("- template: {src: x.j2, dest: /srv/x}"))
    assert bench.read("/srv/x") == "x.j2 /srv/x"


def test_a_check_does_not_judge_what_was_not_run(bench: Bench) -> None:
    text = tasks("""
- {name: asks, command: echo yes, register: said, changed_when: false, failed_when: "said.stdout != 'yes'"}
- {name: quiet, command: echo yes, changed_when: false}
""")
    assert bench.play(text, check=True) == [("asks", "unknown"), ("quiet", "ok")]
    assert bench.play(text) == [("asks", "ok"), ("quiet", "ok")]


TOLD = ["True", "[]", "True", "[1,", "2]", "True", "['?']", "False", "[1,", "2]"]


def test_a_loop_without_items_has_results_all_the_same(bench: Bench) -> None:
    bench.play(
        tasks("""
- {command: /bin/true, loop: [], register: empty}
- {command: /bin/true, loop: [1, 2], when: false, register: never}
- {command: /bin/true, with_items: "{{ nope.x }}", when: nope is defined, register: unknown}
- {command: /bin/true, loop: [1, 2], when: item == 1, register: some}
- copy:
    dest: /srv/seen
    content: "{% for one in [empty, never, unknown, some] %}{{ one is skipped }}
      {{ one.results | default(['unknown']) | map(attribute='item', default='?') | list }}
      {% endfor %}"
""")
    )
    assert bench.error is None, bench.error
    assert bench.read("/srv/seen").split() == TOLD


def test_a_host_of_which_the_inventory_says_little_has_a_name_to_reach_it_by(bench: Bench) -> None:
    bench.play(tasks("- copy: {dest: /srv/seen, content: '{{ ansible_host }} {{ ansible_connection }}'}"))
    assert bench.error is None, bench.error
    assert bench.read("/srv/seen") == "old ssh"
