"""A secret is one by where it came from, not by its looks: an ordinary word from a vault shows nowhere it is used."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Iterator

import pytest
import yaml
from pace import within
from playing import Bench, tasks

from mnemo_ops.agent.base.record import asdict
from mnemo_ops.core.model import Host
from mnemo_ops.core.secret import MASK, Mask
from mnemo_ops.core.secret_text import SecretText, hidden, parts_of, typed
from mnemo_ops.errors import PlaybookError
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.inventory.load import load, load_variables
from mnemo_ops.stack.settings import settings
from mnemo_ops.templates.render import Scope, render
from mnemo_ops.vault import cipher
from mnemo_ops.vault.cipher import Keyring, Source, Vaulted, unlocked

WORD = "nginx"  # a password that is a word messages are full of, and short
LONG = "mnemosyne"  # one that is the project's name


def vaulted(text: str) -> str:
    """As a value of a playbook."""
    body = cipher.encrypt(text.encode(), b"open").replace("\n", "\n        ").rstrip()
    return f"!vault |\n        {body}\n"


@pytest.fixture
def report() -> Iterator[Report]:
    out = io.StringIO()
    found = Report("play", Style(verbose=True, diff=True), out, out)
    found.mask.spare([LONG])
    with unlocked(Keyring([Source("default", "here", lambda: b"open")], found.mask.learn)):
        yield found


def said(report: Report, bench: Bench, body: str, **options: bool) -> str:
    """Everything a play prints, as lines and as JSON, whose variables ``word`` and ``long`` come from a vault."""
    head = tasks(body).replace("  tasks:", f"  vars:\n    word: {vaulted(WORD)}    long: {vaulted(LONG)}  tasks:", 1)
    bench.play(head, **options)
    for task, event in bench.events:
        report.task("old", task, event)
    report.finish(bench.error)
    assert isinstance(report._out, io.StringIO)
    return report._out.getvalue() + json.dumps(report.mask.hide_all(report.document()))


METHODS = (
    "{{ 'u:{}'.format(word) }}",
    "{{ 'u:{p}'.format(p=word) }}",
    "{{ 'u:%s:%s' % ('u', word) }}",
    "{{ 'u:%(p)s' % {'p': word} }}",
    "{{ ':'.join(['u', word]) }}",
    "{{ 'u:X'.replace('X', word) }}",
    "{{ word * 2 }}",
    "{{ word.center(40) }}",
    "{{ word.partition(':')[0] }}",
    "{{ word.zfill(9) }} {{ word.removesuffix('x') }}",
    "{% macro m(p) %}u:{{ p }}{% endmacro %}{{ m(word) }}",
    "{{ {'p': word}.get('p') }} {{ dict(p=word).p }} {{ {'p': word}.values() | first }}",
)


@pytest.mark.parametrize(
    "written",
    [
        *METHODS,
        "{{ word }}",
        "psql://u:{{ word }}@db",
        "{{ 'u:' ~ word }}",
        "{{ 'u:' + word }}",
        "{{ word + ':u' }}",
        "{{ 'u:%s' | format(word) }}",
        "{{ 'u:%s' % word }}",
        "{{ ['u', word] | join(':') }}",
        "{{ {'password': word} | to_json }}",
        "{{ {'password': word} | to_nice_yaml }}",
        "{% for one in [1, 2] %}{{ word }}{% endfor %}",
        "{% set other = word %}p={{ other }}",
        "{{ word | trim | default('x') }}",
        "{{ hidden.word }} {{ hidden['word'] }}",
        "{{ [hidden] | map(attribute='word') | first }}",
        "{{ word.strip() }}",
    ],
)
def test_an_ordinary_word_from_a_vault_shows_in_no_text_it_is_rendered_into(
    report: Report, bench: Bench, written: str
) -> None:
    body = f"""
- copy: {{dest: /srv/x, content: {json.dumps(written)}}}
  vars: {{hidden: {{word: "{{{{ word }}}}"}}}}
- debug: {{msg: {json.dumps(written)}}}
  vars: {{hidden: {{word: "{{{{ word }}}}"}}}}
"""
    shown = said(report, bench, body)
    assert bench.error is None, bench.error
    assert WORD in bench.read("/srv/x")  # the host has what was written
    assert WORD not in shown and MASK in shown


def test_what_is_made_of_a_secret_is_one() -> None:
    scope = Scope().plus({"word": SecretText("swordfish")}, final=True)
    for text in ("{{ word | upper }}", "{{ word | b64encode }}", "{{ word | hash('sha1') }}", "{{ word[:5] }}"):
        found = render(text, scope)
        assert isinstance(found, SecretText) and hidden(found) == MASK, text
    assert hidden(render("{{ 'swordfish,x'.split(',') }} {{ word }}", scope)) == f"['{MASK}', 'x'] {MASK}"
    assert render("{{ word | length }}", scope) == 9
    for text in ("{{ word is defined }}", "{{ word == 'x' }}", "{{ word | ternary('yes', 'no') }}"):
        assert not isinstance(render(text, scope), SecretText)
    assert not isinstance(render("{{ given | default(word) }}", scope.plus({"given": "plain"})), SecretText)


def test_a_secret_stays_one_through_facts_results_and_loops(report: Report, bench: Bench) -> None:
    shown = said(
        report,
        bench,
        """
- set_fact: {url: "u:{{ word }}@db", all: {inner: ["{{ long }}"]}}
- set_fact: {"k_{{ word }}": 1}
- {debug: {var: url}}
- {debug: {var: all}}
- {debug: {msg: "{{ all }}"}}
- {shell: "echo {{ word }}", register: done}
- {debug: {var: done}}
- {debug: {msg: "it said {{ done.stdout }}, {{ done.stdout_lines }}"}}
- {name: "a {{ word }}", copy: {dest: "/srv/{{ item }}", content: x}, loop: ["{{ word }}", "{{ long }}"], register: r}
- {debug: {msg: "{{ r.results | map(attribute='item') | list }}"}}
""",
    )
    assert bench.error is None, bench.error
    assert WORD not in shown and LONG not in shown
    assert shown.count(MASK) > 12


@pytest.mark.parametrize(
    "body",
    [
        '- {fail: {msg: "no {{ word }}"}}',
        '- {assert: {that: "1 == 2", fail_msg: "no {{ word }}"}}',
        '- {shell: "echo {{ word }} >&2; exit 3"}',
        '- {file: {path: /srv/x, state: "{{ word }}"}}',
        '- {copy: {dest: /srv/x, content: x, mode: "{{ word }}"}}',
        '- {debug: {msg: x}, when: "word"}',
        '- {copy: {dest: "/none/{{ word }}/x", content: x}}',
        '- {copy: {src: "{{ word }}", dest: /srv/x}}',
        '- {debug: {msg: x}, loop: "{{ word }}"}',
        '- {debug: {msg: "{{ [1][word] }}"}}',
        '- {debug: {msg: "{{ word | strftime(word) }}"}}',
        '- {include_tasks: "{{ word }}.yml"}',
        "- {debug: {msg: \"{{ lookup('pipe', 'false ' ~ word) }}\"}}",
        "- {debug: {msg: \"{{ lookup('command', '/none/' ~ word) }}\"}}",
        "- {debug: {msg: \"{{ lookup('file', word) }}\"}}",
        "- {debug: {msg: \"{{ lookup('template', word ~ '.j2') }}\"}}",
        "- {debug: {msg: \"{{ lookup(word, 'x') }}\"}}",
        "- {shell: 'echo $X; exit 3', environment: {X: '{{ word }}'}}",
        """- block: [{shell: "echo {{ word }}; exit 3"}]
  rescue: [{fail: {msg: "{{ ansible_failed_result.stdout }}"}}]""",
    ],
)
def test_a_failure_does_not_quote_it(report: Report, bench: Bench, body: str) -> None:
    bench.write("other.yml", "- debug: {msg: x}\n")  # what an include might have meant
    shown = said(report, bench, body)
    assert bench.error is not None and WORD not in shown


@pytest.mark.parametrize(
    "task",
    [
        "{debug: {var: vars}}",
        "{debug: {var: hostvars}}",
        "{debug: {msg: '{{ vars }}'}}",
        "{debug: {msg: '{{ vars | to_json }}'}}",
        "{debug: {msg: '{{ hostvars | to_nice_yaml }}'}}",
        "{copy: {dest: /srv/x, content: '{{ hostvars.old | to_nice_json }}'}}",
    ],
)
def test_all_variables_at_once_show_none(report: Report, bench: Bench, task: str) -> None:
    body = '- set_fact: {url: "u:{{ word }}"}\n- {shell: "echo {{ word }}", register: done}\n- ' + task
    shown = said(report, bench, body)
    assert bench.error is None, bench.error
    assert WORD not in shown and MASK in shown and "stdout_lines" in shown


def test_all_variables_at_once_show_those_that_can_be_rendered(report: Report, bench: Bench) -> None:
    body = "- {debug: {var: vars}, vars: {a: '{{ nowhere }}', b: \"{{ 'x' | from_json }}\", c: '{{ 6 * 7 }}'}}"
    shown = said(report, bench, body)
    assert bench.error is None, bench.error
    ((_, event),) = bench.events
    assert event.after["vars"]["c"] == 42 and {"a", "b", "word"} <= event.after["vars"].keys()
    assert WORD not in shown


def test_all_variables_at_once_without_the_password_of_one_is_an_error(report: Report, bench: Bench) -> None:
    with unlocked(Keyring()):
        said(report, bench, "- {debug: {var: vars}}")
    assert bench.error is not None and bench.error.exit_code == 2


def test_a_template_file_shows_its_own_words_and_not_the_secret(report: Report, bench: Bench) -> None:
    bench.write("conf.j2", "server=old\npassword={{ word }}\nhost=db\n")
    shown = said(report, bench, "- {template: {src: conf.j2, dest: /srv/conf}}")
    assert bench.read("/srv/conf") == f"server=old\npassword={WORD}\nhost=db\n"
    assert WORD not in shown and f"password={MASK}" in shown and "host=db" in shown


@pytest.mark.parametrize("head", ["", "#jinja2: trim_blocks: False\n"])
def test_an_encrypted_template_file_is_secret_as_a_whole(report: Report, bench: Bench, head: str) -> None:
    bench.write("conf.j2", cipher.encrypt(f"{head}password={WORD}\nhost={{{{ host }}}}\n".encode(), b"open"))
    body = "- {template: {src: conf.j2, dest: /srv/conf}, vars: {host: db}}\n"
    body += "- {debug: {msg: \"{{ lookup('template', 'conf.j2') }}\"}, vars: {host: db}}\n"
    shown = said(report, bench, body)
    assert bench.read("/srv/conf") == f"password={WORD}\nhost=db\n"
    assert WORD not in shown and "host=db" not in shown and MASK in shown


def test_a_check_that_shows_what_would_differ_hides_it(report: Report, bench: Bench) -> None:
    bench.write("conf.j2", "password={{ word }}\nhost=db\n")
    (bench.root / "srv/conf").write_text(f"password={WORD}\nhost=old\n")
    shown = said(report, bench, "- {template: {src: conf.j2, dest: /srv/conf}}", check=True)
    assert f" password={MASK}\n" in shown and "+host=db" in shown and "-host=old" in shown and WORD not in shown


def test_what_is_put_together_of_encrypted_files_and_others_hides_those_alone(report: Report, bench: Bench) -> None:
    bench.write("files/parts/1", cipher.encrypt(WORD.encode() + b"\n", b"open"))
    bench.write("files/parts/2", "in clear\n")
    shown = said(report, bench, "- {assemble: {src: parts, dest: /srv/x, remote_src: false}}")
    assert bench.read("/srv/x") == f"{WORD}\nin clear\n"
    assert WORD not in shown and f"+ {MASK}\n" in shown and "+ in clear" in shown


def test_other_tasks_may_say_the_word(report: Report, bench: Bench) -> None:
    shown = said(
        report,
        bench,
        """
- copy: {dest: /srv/x, content: "{{ word }} {{ long }}"}
- debug: {msg: "Container mnemosyne-redis runs beside nginx"}
- {shell: echo mnemosyne nginx, register: done}
- {debug: {var: done.stdout}}
""",
    )
    assert shown.count("mnemosyne") > 3 and shown.count("nginx") > 3
    assert "Container mnemosyne-redis runs beside nginx" in shown


def test_of_an_encrypted_file_secrets_have_the_type_and_names_do_not(bench: Bench) -> None:
    text = "postgres_db: shop\npasswords: [admin]\nport: 5432\nurl: 'u:{{ port }}'\n"
    text += "same: '{{ port }}'\nsaid: '{{ x }}'\n"
    found = cipher.encrypt(text.encode(), b"open")
    with unlocked(Keyring([Source("default", "here", lambda: b"open")])):
        values = load_variables(bench.write("v.yml", found), PlaybookError)
        scope = Scope().plus(values)
        assert hidden(render("{{ passwords[0] }} of {{ postgres_db }}", scope)) == f"{MASK} of shop"
        assert render("{{ url }}", scope) == "u:5432" and hidden(render("{{ url }}", scope)) == MASK
        assert hidden(render("{{ same }}", scope)) == 5432 and render("{{ said }}", scope.plus({"x": "a"})) == "a"
        assert not isinstance(render("{{ said }}", scope.plus({"x": "a"})), SecretText)
        again = render("{{ lookup('file', 'v.yml') | from_yaml }}", Scope([bench.home]))
    assert parts_of(again) == {"admin", "u:{{ port }}", "{{ port }}", "{{ x }}"}


def test_of_an_encrypted_inventory_in_ini_secrets_have_the_type(bench: Bench) -> None:
    text = f"[web]\nold ansible_host=192.0.2.1 word={WORD} port=5432\n[web:vars]\ntoken='{LONG}'\npostgres_db=shop\n"
    learned: list[str] = []
    with unlocked(Keyring([Source("default", "here", lambda: b"open")], learned.extend)):
        found = load(bench.write("hosts", cipher.encrypt(text.encode(), b"open"))).hosts["old"]
    assert found.groups == ("web",) and found.address == "192.0.2.1" and not parts_of([*found.vars, found.groups])
    assert hidden(found.vars["word"]) == hidden(found.vars["token"]) == MASK and LONG in learned
    assert found.vars["port"] == 5432 and hidden(found.vars["postgres_db"]) == "shop"


def test_of_an_encrypted_file_the_stack_has_no_type(bench: Bench) -> None:
    text = "stack: {directory: /srv/mnemosyne, images: {api: 'shop/api:1'}, waived: {x: why}, project: shop}\n"
    with unlocked(Keyring([Source("default", "here", lambda: b"open")])):
        values = load_variables(bench.write("v.yml", cipher.encrypt(text.encode(), b"open")), PlaybookError)
        chosen = settings(Host("old", "192.0.2.1", vars=values))
    assert chosen.directory == "/srv/mnemosyne" and not parts_of(asdict(chosen))


def test_lookups_of_secrets_have_the_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", WORD)
    with unlocked(Keyring(learn=Mask().learn)):
        for text in (
            "lookup('env', 'DB_PASSWORD')",
            f"lookup('command', 'echo {WORD}')",
            "lookup('password', '/dev/null')",
        ):
            assert isinstance(render("{{ " + text + " }}", Scope()), SecretText), text
        assert not isinstance(render("{{ lookup('env', 'HOME') }}", Scope()), SecretText)


def test_parts_show_as_such_and_what_is_around_them_stays() -> None:
    text = SecretText("mode 1 is 1; admin1 admin", ["1"])
    assert hidden(text) == f"mode {MASK} is {MASK}; admin{MASK} admin"  # where it is known to stand: anywhere
    assert hidden("mode 11 is 1", ["1"]) == f"mode 11 is {MASK}"  # where it may stand by accident: as a word
    assert hidden({"a": ["x-hunter2", 3, None]}, ["hunter2"]) == {"a": [f"x-{MASK}", 3, None]}
    assert hidden("localhost is not local, vialocal", ["local"]) == f"localhost is not {MASK}, via{MASK}"
    assert hidden("localhost", ["local", "localhost"]) == MASK
    assert not parts_of(typed({"host": "localhost"}, ["local"])) and parts_of(typed(["xlocal"], ["local"])) == {"local"}
    assert hidden(SecretText("")) == ""


def test_it_is_a_text_to_everybody_else() -> None:
    text = SecretText("swordfish", ["sword"])
    assert text == "swordfish" and json.dumps({"a": text}) == '{"a": "swordfish"}' and {text: 1}["swordfish"] == 1
    for other in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert other == text and other.parts == ("sword",)
    assert type(text.reveal()) is type(str(text)) is str
    assert render("{{ x | type_debug }}", Scope().plus({"x": text})) == "str"


def test_a_vault_value_has_the_type() -> None:
    with unlocked(Keyring([Source("default", "here", lambda: b"open")])):
        found = render(Vaulted(cipher.encrypt(b"admin\n", b"open").strip(), "x:1"), Scope())
    assert found == "admin\n" and hidden(f"an admin's {found}", parts_of(found)) == f"an {MASK}'s {MASK}\n"


def test_a_long_secret_is_written_as_yaml_as_fast_as_a_text() -> None:
    key = "-----BEGIN KEY-----\n" + f"{'A1b2' * 16}\n" * 48
    scope = Scope().plus({"key": SecretText(key)}, final=True)
    with within(1):  # it took half a minute
        found = render("{{ {'key': key, 'of': 'nginx'} | to_nice_yaml }}", scope)
    assert isinstance(found, SecretText) and yaml.safe_load(found.reveal()) == {"key": key, "of": "nginx"}
    assert key.splitlines()[1] not in hidden(found)
