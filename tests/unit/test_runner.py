"""One play on one host: batches, results, handlers, checks; over the agent's own loop and a temporary root."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from playing import Bench, tasks

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process.host_lock import PendingHandlers
from mnemo_ops.core.model import Host
from mnemo_ops.core.options import Options
from mnemo_ops.errors import PlaybookError
from mnemo_ops.execution.host_run import PlayRun
from mnemo_ops.execution.host_state import HostState
from mnemo_ops.execution.play_sync import Crew
from mnemo_ops.playbook import load as playbook


def test_a_play_is_one_request_and_the_second_run_changes_nothing(bench: Bench) -> None:
    text = tasks("""
- {name: directory, file: {path: "/srv/{{ site }}", state: directory}}
- {name: text, copy: {dest: "/srv/{{ site }}/motd", content: "{{ ansible_distribution }} {{ ansible_facts.motd }}"}}
""")
    assert bench.play(text) == [("directory", "changed"), ("text", "changed")]
    assert bench.read("/srv/lab/motd") == "Debian {{ not_a_template }}"
    assert len(bench.session.batches) == 1
    assert bench.play(text) == [("directory", "ok"), ("text", "ok")]


def test_hundreds_of_tasks_are_still_one_request(bench: Bench) -> None:
    rows = "\n".join(
        f'- {{copy: {{dest: "/srv/{number}", content: "x"}}, register: r{number}}}' for number in range(200)
    )
    assert {status for _, status in bench.play(tasks(rows))} == {"changed"}
    assert len(bench.session.batches) == 1


def test_a_batch_ends_only_where_a_result_is_read(bench: Bench) -> None:
    text = tasks(
        """
- {name: one, copy: {dest: /srv/one, content: "1"}, register: one}
- {name: two, copy: {dest: /srv/two, content: "2"}, register: two}
- {name: three, copy: {dest: /srv/three, content: "{{ through }}"}}
- {name: four, copy: {dest: /srv/four, content: "4"}, when: two is changed}
- {name: five, copy: {dest: /srv/five, content: "5"}, when: two is not changed}
""",
        head='  vars: {through: "{{ one.content }}"}\n',
    )
    statuses = dict(bench.play(text))
    assert statuses == {"one": "changed", "two": "changed", "three": "changed", "four": "changed", "five": "skipped"}
    assert [[task.name for task in batch.tasks()] for batch in bench.session.batches] == [
        ["one", "two"],
        ["three", "four"],
    ]
    assert bench.read("/srv/three") == "1"


def test_skipped_tasks_are_told_in_order(bench: Bench) -> None:
    text = tasks("""
- {name: a, copy: {dest: /srv/a, content: a}, when: false}
- {name: b, copy: {dest: /srv/b, content: b}}
- {name: c, copy: {dest: /srv/c, content: c}, when: [true, "site == 'prod'"], register: c}
- {name: d, copy: {dest: /srv/d, content: d}, when: c is skipped}
""")
    assert bench.play(text) == [("a", "skipped"), ("b", "changed"), ("c", "skipped"), ("d", "changed")]
    assert len(bench.session.batches) == 1
    assert bench.why("a") == "when"


def test_loops(bench: Bench) -> None:
    text = tasks("""
- name: each
  copy: {dest: "/srv/{{ item.name }}", content: "{{ item.text | default('none') }}"}
  loop: [{name: a, text: 1}, {name: b}, {name: c}]
  when: item.name != 'c'
  register: made
- name: count
  copy: {dest: /srv/count, content: "{{ made.results | map(attribute='item') | map(attribute='name') | join }}"}
- name: flat {{ one }}
  copy: {dest: "/srv/{{ one }}", content: x}
  with_items: [[x, y], z]
  loop_control: {loop_var: one}
- {name: nothing, copy: {dest: "/srv/{{ item }}", content: x}, loop: []}
""")
    assert bench.play(text) == [
        ('each => (item={"name": "a", "text": 1})', "changed"),
        ('each => (item={"name": "b"})', "changed"),
        ('each => (item={"name": "c"})', "skipped"),
        ("count", "changed"),
        ("flat x", "changed"),
        ("flat y", "changed"),
        ("flat z", "changed"),
        ("nothing", "skipped"),
    ]
    assert (bench.read("/srv/a"), bench.read("/srv/b"), bench.read("/srv/count")) == ("1", "none", "abc")


def test_the_order_of_variables(bench: Bench) -> None:
    bench.write("roles/r/defaults/main.yml", "a: default\nsite: default\n")
    bench.write("roles/r/vars/main.yml", "c: role\n")
    bench.write(
        "roles/r/tasks/main.yml",
        '- {name: in role, copy: {dest: /srv/r, content: "{{ a }} {{ site }} {{ b }} {{ c }} {{ d }}"}}\n',
    )
    text = "- hosts: all\n  vars: {b: play, c: play, d: play}\n  roles: [r]\n"
    bench.play(text, {"d": "extra"})
    assert bench.read("/srv/r") == "default lab play role extra"


def test_omit_leaves_an_argument_out(bench: Bench) -> None:
    bench.play(tasks("""- {name: x, copy: {dest: /srv/x, content: x, mode: "{{ nobody_set_it | default(omit) }}"}}"""))
    assert bench.tasks["x"].resource.mode is None  # type: ignore[attr-defined]


# -- handlers ----------------------------------------------------------------------------------------------------

HANDLED = """\
- hosts: all
  handlers:
    - {name: second, copy: {dest: /srv/second, content: x}}
    - {name: first, copy: {dest: /srv/first, content: x}}
  tasks:
    - {name: change, copy: {dest: /srv/change, content: x}, notify: [first, second]}
"""


def test_handlers_run_in_their_order_in_the_same_request_and_only_when_notified(bench: Bench) -> None:
    assert bench.play(HANDLED) == [("change", "changed"), ("second", "changed"), ("first", "changed")]
    assert len(bench.session.batches) == 1
    assert bench.play(HANDLED) == [("change", "ok")]


def test_handlers_left_by_a_crash_run_at_the_end_of_the_next_play(bench: Bench) -> None:
    bench.play(HANDLED)
    PendingHandlers(Machine(str(bench.root))).add(["first"])
    (bench.root / "srv/first").unlink()
    assert bench.play(HANDLED) == [("change", "ok"), ("first", "changed")]


def test_a_check_foresees_its_handlers(bench: Bench) -> None:
    assert bench.play(HANDLED, check=True) == [("change", "changed"), ("second", "changed"), ("first", "changed")]
    assert not (bench.root / "srv/change").exists()


@pytest.mark.parametrize(
    "unsure",
    [
        "{command: /bin/true, register: r, changed_when: r.rc == 1}",
        "{command: /bin/true, register: r, failed_when: r.rc == 1}",
        "{copy: {dest: /srv/a, content: '{{ first.stdout }}'}}",
        "{lineinfile: {path: /srv/x/a, line: a}}",
        "{copy: {dest: /srv/a, content: a}, delegate_to: localhost, when: first.stdout == ''}",
    ],
)
def test_a_check_names_the_handlers_it_cannot_tell_of(bench: Bench, unsure: str) -> None:
    text = f"""\
- hosts: all
  handlers:
    - {{name: never, copy: {{dest: /srv/never, content: x}}}}
    - {{name: perhaps, copy: {{dest: /srv/perhaps, content: x}}, notify: then}}
    - {{name: elsewhere, copy: {{dest: /srv/no, content: x}}, when: ansible_facts.distribution == 'Plan 9'}}
    - {{name: sure, copy: {{dest: /srv/sure, content: x}}}}
    - {{name: then, debug: {{msg: then}}}}
  tasks:
    - {{name: first, command: /bin/true, register: first, notify: sure}}
    - {{name: directory, file: {{path: /srv/x, state: directory}}}}
    - {unsure[:-1]}, name: unsure, notify: [perhaps, elsewhere, sure]}}
    - {{name: asks, uri: {{url: "http://127.0.0.1:1/"}}, notify: never}}
"""
    found = dict(bench.play(text, check=True))
    assert bench.error is None and "never" not in found
    assert found["unsure"] == found["perhaps"] == found["then"] == "unknown"
    assert (found["sure"], found["elsewhere"], bench.why("perhaps")) == ("changed", "skipped", "after unsure")


def test_handlers_of_a_role_know_what_its_use_says(bench: Bench) -> None:
    write = '{name: %s, copy: {dest: /srv/%s, content: "{{ who }}"}%s}'
    bench.write("roles/r/defaults/main.yml", "who: default\n")
    bench.write("roles/r/tasks/main.yml", "- " + write % ("task", "task", ", notify: tell"))
    bench.write("roles/r/handlers/main.yml", "- " + write % ("tell", "told", ""))
    bench.write("roles/r/handlers/more.yml", "- " + write % ("tell", "more", ""))
    text = "- {hosts: all, roles: [{role: r, who: given, tags: one}]}\n"
    assert bench.play(text, tags=frozenset({"one"})) == [("task", "changed"), ("tell", "changed")]
    assert bench.read("/srv/told") == "given"
    bench.play(tasks("- {include_role: {name: r, handlers_from: more}, vars: {who: included}}"))
    assert bench.read("/srv/more") == "included"
    with pytest.raises(PlaybookError, match=r"handlers/none\.yml"):
        bench.play(tasks("- {import_role: {name: r, handlers_from: none}}"))


def test_a_notified_handler_runs_whatever_its_tags(bench: Bench) -> None:
    text = """\
- hosts: all
  handlers: [{name: tell, copy: {dest: /srv/told, content: x}, tags: other}]
  tasks: [{name: change, copy: {dest: /srv/change, content: x}, tags: one, notify: tell}]
"""
    assert bench.play(text, tags=frozenset({"one"})) == [("change", "changed"), ("tell", "changed")]


def test_a_handler_may_be_delegated_here(bench: Bench) -> None:
    text = """\
- hosts: all
  handlers: [{name: tell, copy: {dest: /srv/told, content: x}, delegate_to: localhost}]
  tasks: [{name: change, copy: {dest: /srv/change, content: x}, notify: tell}]
"""
    assert bench.play(text) == [("change", "changed"), ("tell", "changed")]
    assert (bench.home / "here/srv/told").exists() and not (bench.root / "srv/told").exists()


@pytest.mark.parametrize("read", ["", "and last is changed"])
def test_a_handler_whose_condition_is_false_is_forgotten(bench: Bench, read: str) -> None:
    text = f"""\
- hosts: all
  handlers: [{{name: tell, copy: {{dest: /srv/told, content: x}}, when: distribution == 'Plan 9' {read}}}]
  tasks: [{{name: last, copy: {{dest: /srv/last, content: news}}, register: last, notify: tell}}]
"""
    assert bench.play(text.replace("distribution", "ansible_facts.distribution")) == [("last", "changed")]
    assert bench.session.pending_handlers == []


@pytest.mark.parametrize("content", ["{{ last.content }}", "{{ last.dest.nothing }}"])
def test_handlers_that_read_the_last_batch_go_apart(bench: Bench, content: str) -> None:
    text = f"""\
- hosts: all
  handlers: [{{name: tell, copy: {{dest: /srv/told, content: "{content}"}}}}]
  tasks: [{{name: last, copy: {{dest: /srv/last, content: news}}, register: last, notify: tell}}]
"""
    good = "nothing" not in content
    assert bench.play(text) == [("last", "changed"), ("tell", "changed" if good else "failed")]
    assert len(bench.session.batches) == (2 if good else 1)
    assert bench.play(text)[0] == ("last", "ok")


# -- failures ----------------------------------------------------------------------------------------------------


def test_nothing_runs_after_a_failure(bench: Bench) -> None:
    text = tasks("""
- {name: bad, copy: {dest: /nowhere/x, content: x}}
- {name: skipped, copy: {dest: /srv/y, content: x}, when: false}
- {name: after, copy: {dest: /srv/x, content: x}}
""")
    assert bench.play(text) == [("bad", "failed")]
    assert not (bench.root / "srv/x").exists()


def test_ignored_failures_are_results(bench: Bench) -> None:
    text = tasks("""
- {name: bad, copy: {dest: /nowhere/x, content: x}, ignore_errors: true, register: bad}
- {name: after, copy: {dest: /srv/x, content: "{{ bad.msg }}"}, when: bad is failed}
""")
    assert bench.play(text) == [("bad", "failed"), ("after", "changed")]
    assert "/nowhere" in bench.read("/srv/x")


def test_a_request_that_fails_changed_nothing(bench: Bench, loopback: None) -> None:
    text = tasks("""
- name: asked
  uri: {url: "http://127.0.0.1:1/"}
  register: page
  failed_when: "'hello' not in page.content"
  ignore_errors: true
- assert: {that: [page is failed, not page.changed, page.status == -1, page.failed_when_result]}
""")
    assert [status for _, status in bench.play(text)] == ["failed", "ok"]


@pytest.mark.parametrize("allowed", ["false", "page.status == 200"])
def test_a_request_that_may_fail_changed_nothing(bench: Bench, loopback: None, allowed: str) -> None:
    text = tasks(f"- {{name: asks, uri: {{url: 'http://127.0.0.1:1/'}}, register: page, failed_when: {allowed}}}")
    assert bench.play(text) == [("asks", "ok")]


def test_a_failing_command_keeps_its_return_code(bench: Bench) -> None:
    text = tasks(
        """
- {name: false, command: /bin/false, ignore_errors: true, register: bad}
- {name: after, copy: {dest: /srv/x, content: "{{ bad.rc }}"}}
""".replace("name: false", "name: 'no'")
    )
    assert bench.play(text) == [("no", "failed"), ("after", "changed")]
    assert bench.read("/srv/x") == "1"


def test_what_cannot_be_rendered_stops_the_whole_batch_before_it_is_sent(bench: Bench) -> None:
    text = tasks("""
- {name: first, copy: {dest: /srv/x, content: x}}
- {name: bad, copy: {dest: "/srv/{{ ansible_facts.distributio }}", content: x}}
""")
    assert bench.play(text) == [("bad", "failed")]
    assert bench.session.batches == []
    (error,) = [event.error for _, event in bench.events]
    assert error is not None
    assert error["class"] == "TemplateError" and error["where"] == "site.yml:4"
    assert error["hint"] == "did you mean 'distribution'?"


def test_a_value_of_the_wrong_type_is_found_when_it_is_rendered(bench: Bench) -> None:
    bench.play(tasks("""- {name: x, file: {path: /srv/x, state: "{{ site }}"}}"""))
    assert "should be absent, directory, file, hard, link or touch, not 'lab'" in bench.why("x")
    bench.play(tasks("""- {name: x, no_log: true, file: {path: /srv/x, state: "{{ site }}"}}"""))
    assert "lab" not in bench.why("x")


# -- checks ------------------------------------------------------------------------------------------------------


def test_a_check_says_what_it_cannot_know(bench: Bench) -> None:
    text = tasks("""
- {name: one, copy: {dest: /srv/one, content: "1"}, register: one}
- {name: reads, copy: {dest: /srv/two, content: "{{ one.size }}"}, register: two}
- {name: asks, copy: {dest: /srv/three, content: x}, when: one.size > 3}
- {name: changed, copy: {dest: /srv/four, content: x}, when: one is changed}
- {name: unchanged, copy: {dest: /srv/five, content: x}, when: not one.changed}
- {name: loops, copy: {dest: "/srv/{{ item }}", content: x}, loop: "{{ [one.size] }}"}
- {name: whole, copy: {dest: /srv/six, content: "{{ one }}"}}
- {name: chain, copy: {dest: /srv/seven, content: x}, when: two is changed}
- {name: independent, copy: {dest: /srv/eight, content: x}}
""")
    assert dict(bench.play(text, check=True)) == {
        "one": "changed",
        "reads": "unknown",
        "asks": "unknown",
        "changed": "changed",
        "unchanged": "skipped",
        "loops": "unknown",
        "whole": "unknown",
        "chain": "unknown",
        "independent": "changed",
    }
    assert bench.why("reads") == "after one"
    assert bench.why("chain") == "after one"
    assert list((bench.root / "srv").iterdir()) == []


def test_a_check_knows_the_result_of_what_is_right_already(bench: Bench) -> None:
    text = tasks("""
- {name: one, copy: {dest: /srv/one, content: "1"}, register: one}
- {name: reads, copy: {dest: /srv/two, content: "{{ one.size }}"}}
""")
    bench.play(text)
    assert bench.play(text, check=True) == [("one", "ok"), ("reads", "ok")]


LOOKS = '{name: look, command: "cat /etc/nothing-here", register: r, changed_when: false, failed_when: false}'


@pytest.mark.parametrize(
    ("look", "reads"),
    [
        (LOOKS, "{copy: {dest: /srv/x, content: x}, when: r.rc != 0}"),
        (LOOKS, "{copy: {dest: /srv/x, content: x}, when: r.stdout is defined}"),
        (LOOKS, "{copy: {dest: /srv/x, content: x}, when: r.stdout | default('') == ''}"),
        (LOOKS, "{debug: {msg: '{{ r.stdout }}'}}"),
        (LOOKS, "{debug: {var: r.stdout_lines}}"),
        (LOOKS, "{set_fact: {x: '{{ r.stdout }}'}}"),
        (LOOKS, "{assert: {that: r.rc == 0}}"),
        (LOOKS, "{include_tasks: more.yml, when: r.rc == 0}"),
        ("{name: look, shell: id, register: r, changed_when: no}", "{debug: {msg: '{{ r.stdout }}'}}"),
        ("{name: look, raw: id, register: r, changed_when: false}", "{debug: {msg: '{{ r.rc }}'}}"),
        ("{name: look, script: s.sh, register: r, changed_when: false}", "{debug: {msg: '{{ r.stdout }}'}}"),
        (LOOKS[:-1] + ", until: r.rc == 0, retries: 2}", "{debug: {msg: '{{ r.stdout }}'}}"),
        (LOOKS[:-1] + ", run_once: true}", "{debug: {msg: '{{ r.stdout }}'}}"),
        (LOOKS[:-1] + ", delegate_to: localhost}", "{debug: {msg: '{{ r.stdout }}'}}"),
        (LOOKS[:-1] + ", loop: [1, 2]}", "{debug: {msg: \"{{ r.results | map(attribute='stdout') | join }}\"}}"),
        ("{name: look, command: id, register: r, changed_when: false, ignore_errors: true}",
         "{debug: {msg: x}, when: r is failed}"),
        ("{name: look, copy: {dest: /srv/y, content: y}, register: r, changed_when: false}",
         "{debug: {msg: '{{ r.size }}'}}"),
    ],
)  # fmt: skip
def test_a_check_does_not_pretend_to_know_what_it_did_not_run(bench: Bench, look: str, reads: str) -> None:
    bench.write("more.yml", "- {debug: {msg: more}}\n")
    bench.write("s.sh", "#!/bin/sh\nid\n")
    found = bench.play(tasks(f"- {look}\n- {reads[:-1]}, name: reads}}"), check=True)
    assert bench.error is None
    assert {status for name, status in found if name.startswith("look")} == {"ok"}
    assert [status for name, status in found if name == "reads"] == ["unknown"]
    assert bench.why("reads").startswith("after look")


@pytest.mark.parametrize(
    "asks",
    [
        "said | int > 2", "said | default(0) | float > 2", "said is string", "said is none", "said is number",
        "said in {'3': 'x'}", "{'3': 'x'}.get(said, 'y') == 'x'", "([said, 1] | map('int') | max) == 3",
        "lookup('vars', said, default='x') == 'x'", "said is sequence", "said is not true",
    ],
)  # fmt: skip
def test_a_value_a_check_does_not_know_answers_no_question(bench: Bench, asks: str) -> None:
    look = "{name: look, command: echo 3, register: r, changed_when: false}"
    text = tasks(f"""
- {look}
- {{set_fact: {{said: "{{{{ r.stdout }}}}"}}}}
- name: asks
  debug: {{msg: x}}
  when: >-
    {asks}
- name: known
  debug: {{msg: x}}
  when: said is defined
""")
    assert bench.play(text, check=True)[2:] == [("asks", "unknown"), ("known", "ok")]


def test_what_acts_in_a_check_may_fail_for_what_is_not_done_yet(bench: Bench) -> None:
    acts = "{name: acts, command: sh -c 'exit 3', check_mode: false, changed_when: false, register: r}"
    assert bench.play(tasks(f"- {acts}"), check=True) == [("acts", "failed")]
    text = tasks(f"""
- {{name: before, command: sh -c 'exit 3', check_mode: false, ignore_errors: true}}
- {{name: made, copy: {{dest: /srv/made, content: x}}}}
- {acts}
- {{name: reads, debug: {{msg: "{{{{ r.rc }}}}"}}}}
""")
    assert [status for _, status in bench.play(text, check=True)] == ["failed", "changed", "unknown", "unknown"]
    assert bench.why("acts").startswith("after made: ended with 3") and bench.error is None


def test_a_check_does_not_wait_for_what_is_not_so_yet(bench: Bench) -> None:
    text = tasks("""
- {name: waits, stat: {path: /srv/x}, register: x, until: x.stat.exists, retries: 1, delay: 0, ignore_errors: true}
- {name: reads, debug: {msg: x}, when: x is failed}
- {name: there, stat: {path: /srv}, register: y, until: y.stat.exists}
""")
    assert bench.play(text, check=True) == [("waits", "unknown"), ("reads", "unknown"), ("there", "ok")]
    assert bench.play(text) == [("waits", "failed"), ("reads", "ok"), ("there", "ok")]


def test_a_check_knows_that_what_changes_nothing_changes_nothing(bench: Bench) -> None:
    text = tasks(f"""
- {LOOKS}
- {{name: same, debug: {{msg: x}}, when: r is not changed and r is not skipped and r is not failed}}
- {{name: other, debug: {{msg: x}}, when: r is changed}}
- {{name: fails, stat: {{path: /srv, get_checksum: false}}, register: s, failed_when: s.stat.isdir}}
""")
    assert bench.play(text, check=True) == [("look", "ok"), ("same", "ok"), ("other", "skipped"), ("fails", "failed")]


def test_what_runs_in_a_check_or_is_left_out_is_real(bench: Bench) -> None:
    (bench.root / "srv/made").touch()
    text = tasks("""
- {name: runs, command: echo said, register: r, changed_when: false, check_mode: false}
- {name: reads, copy: {dest: /srv/x, content: x}, when: r.stdout == 'said'}
- {name: made, command: {cmd: make, creates: /srv/made}, register: m, changed_when: false}
- {name: tells, debug: {msg: "{{ m.stdout }}"}}
""")
    statuses = [("runs", "ok"), ("reads", "changed"), ("made", "ok"), ("tells", "ok")]
    assert bench.play(text, check=True) == statuses


def test_what_a_check_cannot_decide_may_be_what_comes_later_needs(bench: Bench) -> None:
    text = tasks(f"""
- {LOOKS}
- {{name: perhaps, command: mkdir /srv/new, when: r.rc != 0}}
- {{name: there, lineinfile: {{path: /srv/new/file, line: x}}}}
- {{name: fact, set_fact: {{seen: "{{{{ r.stdout }}}}"}}}}
- {{name: tells, debug: {{msg: "{{{{ seen }}}}"}}}}
""")
    found = dict(bench.play(text, check=True))
    assert bench.error is None
    assert found == {"look": "ok", **dict.fromkeys(("perhaps", "there", "fact", "tells"), "unknown")}
    assert (bench.why("there")[:13], bench.why("tells")) == ("after perhaps", "after look")


@pytest.mark.parametrize("loop", ["", ", loop: [new, other]"])
def test_what_may_be_made_may_be_there(bench: Bench, loop: str) -> None:
    path = "/srv/{{ item }}" if loop else "/srv/new"
    text = tasks(f"""
- {{name: before, stat: {{path: /srv/new}}, register: b}}
- {LOOKS}
- {{name: perhaps, file: {{path: "{path}", state: touch}}, when: r.rc != 0{loop}}}
- {{name: sees, stat: {{path: /srv/new}}, register: s}}
- {{name: reads, debug: {{msg: "{{{{ s.stat.exists }}}}"}}}}
- {{name: aside, stat: {{path: /srv/aside}}}}
""")
    found = dict(bench.play(text, check=True))
    assert bench.error is None
    assert (found["before"], found["sees"], found["reads"], found["aside"]) == ("ok", "unknown", "unknown", "ok")
    assert bench.why("sees").startswith("after perhaps")


def test_variables_of_a_file_nobody_knows(bench: Bench) -> None:
    bench.write("known.yml", "from_file: 1\n")
    text = tasks(f"""
- {LOOKS}
- {{name: file, include_vars: "{{{{ r.stdout }}}}.yml"}}
- {{name: says, debug: {{msg: "{{{{ from_file }}}}"}}}}
- {{name: uses, copy: {{dest: /srv/x, content: "{{{{ from_file }}}}"}}}}
""")
    found = dict(bench.play(text, check=True))
    assert bench.error is None and (found["says"], found["uses"]) == ("unknown", "unknown")
    assert bench.why("says").startswith("after file: ")


def test_a_command_that_changes_nothing_leaves_no_doubt(bench: Bench) -> None:
    bench.play(tasks(f"- {LOOKS}\n- {{name: there, lineinfile: {{path: /srv/new/file, line: x}}}}"), check=True)
    assert bench.error is not None and "does not exist" in bench.error.message


def test_a_check_promises_no_end_of_a_program(bench: Bench) -> None:
    bench.play(tasks("- {name: fails, command: /bin/false}"), check=True)
    ((_, event),) = bench.events
    assert (event.status, event.before, event.after) == ("changed", {}, {})


# -- tags --------------------------------------------------------------------------------------------------------

TAGGED = tasks("""
- {name: a, copy: {dest: /srv/a, content: x}, tags: [a, all_of_it]}
- {name: b, copy: {dest: /srv/b, content: x}, tags: b}
- {name: always, copy: {dest: /srv/c, content: x}, tags: always}
- {name: never, copy: {dest: /srv/d, content: x}, tags: [never, d]}
- {name: plain, copy: {dest: /srv/e, content: x}}
""")


@pytest.mark.parametrize(
    ("options", "ran"),
    [
        ({}, ["a", "b", "always", "plain"]),
        ({"tags": {"a"}}, ["a", "always"]),
        ({"tags": {"d"}}, ["always", "never"]),
        ({"tags": {"tagged"}}, ["a", "b", "always"]),
        ({"tags": {"untagged"}}, ["always", "plain"]),
        ({"skip_tags": {"b"}}, ["a", "always", "plain"]),
        ({"skip_tags": {"always", "a"}}, ["b", "plain"]),
        ({"start_at": "always"}, ["always", "plain"]),
    ],
)
def test_tags(bench: Bench, options: dict[str, Any], ran: list[str]) -> None:
    chosen: dict[str, Any] = {
        key: value if isinstance(value, str) else frozenset(value) for key, value in options.items()
    }
    assert [name for name, status in bench.play(TAGGED, **chosen) if status != "skipped"] == ran


# -- files of the controller ---------------------------------------------------------------------------------------


def test_a_small_text_travels_inside_its_task(bench: Bench) -> None:
    bench.write("files/app.conf", "a=1\n")
    assert bench.play(tasks("- {name: x, copy: {src: app.conf, dest: /etc/app.conf}}")) == [("x", "changed")]
    assert bench.read("/etc/app.conf") == "a=1\n" and bench.session.fetched == []


def test_a_file_keeps_its_name_in_a_directory_of_the_host(bench: Bench) -> None:
    bench.write("files/app.conf", "a=1\n")
    assert bench.play(tasks("- {name: x, copy: {src: app.conf, dest: /etc}}")) == [("x", "changed")]
    assert bench.read("/etc/app.conf") == "a=1\n"


def test_a_large_file_is_fetched_once_and_only_when_it_differs(bench: Bench) -> None:
    data = os.urandom(100_000)
    (bench.home / "files").mkdir()
    (bench.home / "files/big").write_bytes(data)
    text = tasks("- {name: x, copy: {src: big, dest: /srv/big}}")
    assert bench.play(text) == [("x", "changed")]
    assert (bench.root / "srv/big").read_bytes() == data
    assert bench.play(text) == [("x", "ok")]
    assert bench.session.fetched == [hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize(("src", "below"), [("tree", "/srv/tree"), ("tree/", "/srv")])
def test_a_directory_is_many_tasks(bench: Bench, src: str, below: str) -> None:
    bench.write("files/tree/a", "a")
    bench.write("files/tree/deep/b", "b")
    found = bench.play(tasks(f'- {{name: x, copy: {{src: {src}, dest: /srv, mode: "0600"}}, register: x}}'))
    assert [name for name, _ in found] == ["x: .", "x: a", "x: deep", "x: deep/b"]
    assert bench.read(f"{below}/deep/b") == "b"
    assert (bench.root / below.lstrip("/") / "a").stat().st_mode & 0o777 == 0o600


def test_templates_are_rendered_here(bench: Bench) -> None:
    bench.write(
        "templates/env.j2", "# {{ ansible_managed }}\n{% for n in [1, 2] %}\nN{{ n }}={{ site }}\n{% endfor %}\n"
    )
    bench.play(tasks('- {name: x, template: {src: env.j2, dest: /etc/env, mode: "0600"}}'))
    assert bench.read("/etc/env") == "# Ansible managed\nN1=lab\nN2=lab\n"


def test_results_of_one_play_reach_the_next(bench: Bench) -> None:
    book = playbook.load(
        bench.write(
            "two.yml",
            "- {hosts: all, tasks: [{copy: {dest: /srv/a, content: x}, register: a}]}\n"
            '- {hosts: all, tasks: [{copy: {dest: /srv/b, content: "{{ a.changed }}"}}]}\n',
        )
    )
    host = Host("old", "old")
    state = HostState(host)
    playbook.check_variables(book.plays[1], {}, known=["a"])
    for play in book.plays:
        crew = Crew(play, [host], [host], {"old": state}, Options())
        run = PlayRun(play, state, bench.reach, crew, {}, Options())
        assert [event.status for _, event in run.run()] == ["changed"]
    assert bench.read("/srv/b") == "True"
