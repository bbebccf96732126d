"""Templates: types, laziness, Ansible's filters, and errors that name what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.documents.yaml_lines import loads
from mnemo_ops.errors import TemplateError
from mnemo_ops.templates.references import check_file, uses, variables_of
from mnemo_ops.templates.render import OMIT, Scope, Unready, condition, render, render_file, without_omitted

VARS = {
    "site": "lab",
    "port": 8080,
    "names": ["a", "{{ site }}"],
    "through": "{{ names }}",
    "nested": {"deep": {"site": "{{ site }}"}},
    "flag": "false",
    "one": "{{ other }}",
    "other": "{{ one }}",
    "broken": "{{ nowhere }}",
}
RESULT = {"changed": True, "failed": False, "skipped": False, "stdout": "{{ site }}"}


@pytest.fixture
def scope() -> Scope:
    return Scope().plus(VARS).plus({"result": RESULT, "later": Unready("later")}, final=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ port }}", 8080),
        ("port {{ port }}", "port 8080"),
        ("{{ port }}\n", 8080),
        ("{{ site }}\n", "lab\n"),
        ("{{ through }}", ["a", "lab"]),
        ("{{ nested.deep.site }}", "lab"),
        ("{{ result.stdout }}", "{{ site }}"),
        ("{{ missing.a.b | default('x') }}", "x"),
        ("{{ names | map('upper') }}", ["A", "LAB"]),
        ("{% for name in names %}{{ name }},{% endfor %}", "a,lab,"),
        ("{{ '1' }}", "1"),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("{{ none }}", None),
        ("no template", "no template"),
        ("{{ 'yes' | bool }}", True),
        ("{{ '5' | int + 1 }}", 6),
        ("{{ {'a': 1} | combine({'b': 2}) }}", {"a": 1, "b": 2}),
        ("{{ {'a': {'x': 1}} | combine({'a': {'y': 2}}, recursive=true) }}", {"a": {"x": 1, "y": 2}}),
        ("{{ {'a': 1} | dict2items }}", [{"key": "a", "value": 1}]),
        ("{{ [{'key': 'a', 'value': 1}] | items2dict }}", {"a": 1}),
        ("{{ '/a/b.c' | basename }} {{ '/a/b.c' | dirname }}", "b.c /a"),
        ("{{ 'a1b2' | regex_replace('[0-9]', '#') }}", "a#b#"),
        ("{{ 'v1.2' | regex_search('v(\\d)', '\\1') }}", ["1"]),
        ("{{ 'x' | b64encode | b64decode }}", "x"),
        ("{{ 'x' | hash('sha256') | length }}", 64),
        ("{{ 'a b' | quote }}", "'a b'"),
        ("{{ true | ternary('a', 'b') }}", "a"),
        ("{{ 'a\nb' | splitlines }}", ["a", "b"]),
        ("{{ names | to_json }}", '["a", "lab"]'),
        ("{{ '[1]' | from_json }}", [1]),
        ("{{ {'b': [1], 'a': 2} | to_nice_yaml }}", "a: 2\nb:\n- 1\n"),
        ("{{ {'a': 1} | to_nice_json }}", '{\n    "a": 1\n}'),
        ("{{ [1, [2, [3]]] | flatten(levels=1) }}", [1, 2, [3]]),
        ("{{ 'x' | ansible.builtin.b64encode }}", "eA=="),
        ("{{ result is changed }} {{ result is failed }} {{ result is succeeded }}", "True False True"),
        ("{{ '1.10' is version('1.9', '>') }}", True),
        ("{{ 'abc' is match('b') }} {{ 'abc' is search('b') }}", "False True"),
        ("{{ missing is defined }}", False),
        ("{{ broken | default('x') }} {{ broken if false else 'y' }}", "x y"),
    ],
)
def test_values(scope: Scope, text: str, expected: Any) -> None:
    found = render(text, scope)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{{ sit }}", "'sit'", "did you mean 'site'?"),
        ("{{ nested.dep }}", "'dep'", "did you mean 'deep'?"),
        ("{{ broken }}", "'nowhere'", "did you mean 'other'?"),
        ("{{ zzz }}", "'zzz'", "define it, pass --vars, or use default()"),
        ("{{ [sit] }}", "'sit'", "did you mean 'site'?"),
        ("{{ -sit }}", "'sit'", "did you mean 'site'?"),
        ("{{ one }}", "one → other → one", ""),
        ("{{ site | defualt(1) }}", "'defualt'", "did you mean 'default'?"),
        ("{{ site is defind }}", "'defind'", "did you mean 'defined'?"),
        ("{{ site", "template", ""),
        ("{{ site = 'lab' }}", "got '='", "did you mean '=='?"),
        ("{{ (site = 'lab') }}", "got '='", "did you mean '=='?"),
        ("{{ site && other }}", "unexpected char '&'", "did you mean 'and'?"),
        ("{{ site || other }}", "got '|'", "did you mean 'or'?"),
        ("{{ !site }}", "unexpected char '!'", "did you mean 'not'?"),
        ("{{ site + 1 }}", "TypeError", ""),
        ("{{ site | mandatory('x') }} {{ y | mandatory('give y') }}", "give y", ""),
        ("{{ users | json_query('x') }}", "'json_query'", ""),
        ("{{ lookup('fiel', 'x') }}", "'fiel'", "did you mean 'file'?"),
        ("{{ site is changed }}", "needs a registered result", ""),
    ],
)
def test_errors(scope: Scope, text: str, message: str, hint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text, scope, "x.yml:3")
    assert message in caught.value.message
    assert (caught.value.where, caught.value.hint, caught.value.exit_code) == ("x.yml:3", hint, 2)


@pytest.mark.parametrize(
    "text",
    [
        "{{ later }}",
        "x{{ later }}",
        "{{ later.x | default('a guess') }}",
        "{{ [later] }}",
        "{{ later | to_json }}",
        "{{ later == 1 }}",
        "{{ later > 1 }}",
        "{{ 'x' in later }}",
        "{{ later | length }}",
        "{% for i in [1] %}{{ later }}{% endfor %}",
        "{{ through_later }}",
    ],
)
def test_a_variable_without_a_value_yet_is_told_apart(scope: Scope, text: str) -> None:
    with pytest.raises(Unready, match="later"):
        render(text, scope.plus({"through_later": "{{ later }}"}))


def test_what_does_not_need_the_value_is_rendered(scope: Scope) -> None:
    assert render("{{ site if true else later }}", scope) == "lab"
    assert condition("later is defined", scope)
    assert condition("soon is changed and not soon.failed", scope.plus({"soon": Unready("soon", RESULT)}, final=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port > 80 and site == 'lab'", True),
        ("flag", False),
        ("names", True),
        ("not flag | bool", True),
        ("True", True),
    ],
)
def test_conditions(scope: Scope, text: str, expected: bool) -> None:
    assert condition(text, scope) is expected


def test_a_lookup_that_fails_is_an_error_only_when_it_is_used(scope: Scope) -> None:
    failing = "lookup('file', 'nowhere.txt')"
    assert render("{{ site | default(" + failing + ") }}", scope) == "lab"
    assert render("{{ site if true else " + failing + " }}", scope) == "lab"
    for text in (
        failing,
        failing + " | default('x')",
        f"nothing | default({failing})",
        failing + " | length",
        failing + " ~ 'x'",
        failing + " | from_json",
        "[" + failing + "]",
        failing + " == 'x'",
        f"1 if {failing} else 2",
    ):
        with pytest.raises(TemplateError, match=r"'nowhere\.txt'"):
            render("{{ " + text + " }}", scope)
    with pytest.raises(TemplateError, match="'sit'"):
        render("{{ site | default(" + failing + ") ~ sit }}", scope)


def test_unsafe_text_is_data(scope: Scope) -> None:
    data = loads("raw: !unsafe '{{ site }} {%'\nlist: [!unsafe '{{', '{{ site }}']\n", "x.yml")
    assert render("{{ raw }}", scope.plus(data)) == "{{ site }} {%"
    assert render({"a": data["raw"], "b": data["list"]}, scope) == {"a": "{{ site }} {%", "b": ["{{", "lab"]}


def test_a_text_is_not_a_condition(scope: Scope) -> None:
    with pytest.raises(TemplateError, match="'lab'"):
        condition("site", scope)


def test_omit(scope: Scope) -> None:
    found = render({"a": "{{ x | default(omit) }}", "b": ["{{ omit }}", 1]}, scope)
    assert found["a"] is OMIT and without_omitted(found) == {"b": [1]}


def test_lookups(scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNEMO_TEST", "from env")
    (tmp_path / "f").write_text("from file\n")
    (tmp_path / "t").write_text("from {{ site }}")
    here = Scope([tmp_path], [tmp_path]).plus(VARS)
    assert render("{{ lookup('env', 'MNEMO_TEST') }}", here) == "from env"
    assert render("{{ lookup('file', 'f') }}|{{ lookup('template', 't') }}", here) == "from file|from lab"


def test_a_template_file_names_its_own_line(scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "env.j2"
    path.write_text("# {{ site }}\n{% if port %}\na\n{% endif %}\nb\n")
    assert render_file(path, scope) == "# lab\na\nb\n"
    for text, line in (
        ("1\n{% if port %}\n{{ sit }}\n{% endif %}\n", 3),
        ("1\n\n{{ x |\n", 3),
        ("1\n{% endif %}\n", 2),
    ):
        path.write_text(text)
        with pytest.raises(TemplateError) as caught:
            render_file(path, scope)
        assert caught.value.where == f"env.j2:{line}"


def test_what_a_template_reads() -> None:
    text = "{{ a.b }} {% for i in c %}{{ i }}{% endfor %}{% set d = e %}{{ d }} {{ f | default(g) }}"
    text += "{{ lookup('env', 'x') }}"
    assert variables_of(text) == {"a", "c", "e", "f", "g"}
    assert {use.name for use in uses(text) if use.guarded} == {"f"}
    assert [(use.name, use.line) for use in uses("{{ a }}\n{{ b is defined }}")] == [("a", 1), ("b", 2)]


INCLUDES = {
    "role/a.j2": '{% set own = 5 %}{% include "b.j2" %}|{% include "none.j2" ignore missing %}|{% import "m.j2" as m %}'
    '{{ m.hi("x") }}|{% from "m.j2" import hi with context %}{{ hi("y") }}',
    "role/b.j2": "{{ site }} {{ own }}{% for n in names %}{% include 'n.j2' %}{% endfor %}",
    "play/n.j2": " {{ n }}",
    "role/m.j2": '{% macro hi(x) %}hi {{ x }} {{ site | default("nobody") }}{% endmacro %}',
    "role/child.j2": "{% extends 'base.j2' %}{% block body %}{{ super() }} and {{ port }}{% endblock %}",
    "play/base.j2": "<{% block body %}{{ site }}{% endblock %}>\n",
    "role/bad.j2": "1\n{% include 'wrong.j2' %}\n",
    "play/wrong.j2": "1\n2 {{ sit }}\n",
    "role/absent.j2": "1\n{% include 'nobody.j2' %}\n",
    "role/lookup.j2": "{% include 'inner.j2' %}",
    "play/inner.j2": "{{ lookup('template', 'n.j2', template_vars={'n': site}) }}",
    "role/ends.j2": "{% include 'base.j2' %}|{{ lookup('template', 'base.j2') }}\n",
    "role/if.j2": "{% if port %}a{% endif %}\n",
    "role/lines.j2": "{% for n in names %}\n{{ n }}\n{% endfor %}\n",
    "role/list.j2": "{{ names }}\n",
    "role/none.txt": "x{{ nothing }}y{{ none }}{{ [1] }}",
}


@pytest.fixture
def included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scope:
    monkeypatch.chdir(tmp_path)
    for name, text in INCLUDES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Scope([], [tmp_path / "role", tmp_path / "play"]).plus({**VARS, "nothing": None})


def test_a_template_includes_imports_and_extends_others(included: Scope) -> None:
    assert render_file(Path("role/a.j2"), included) == "lab 5 a lab||hi x nobody|hi y lab"
    assert render_file(Path("role/child.j2"), included) == "<lab and 8080>"
    assert render_file(Path("role/lookup.j2"), included) == " lab"
    assert render_file(Path("role/none.txt"), included) == "xy[1]"
    assert render("{% include 'base.j2' %}", included) == "<lab>"


def test_the_newline_at_the_end_of_a_template(included: Scope) -> None:
    assert render_file(Path("role/ends.j2"), included) == "<lab>|<lab>\n"
    assert render_file(Path("role/if.j2"), included) == "a\n"
    assert render_file(Path("role/lines.j2"), included) == "a\nlab\n"
    assert render("{{ lookup('template', 'list.j2') }}", included) == ["a", "lab"]


def test_an_included_template_names_its_own_line(included: Scope) -> None:
    for name, where, message in (
        ("bad", "play/wrong.j2:2", "'sit'"),
        ("absent", "role/absent.j2:2", "'nobody.j2'"),
    ):
        with pytest.raises(TemplateError, match=message) as caught:
            render_file(Path(f"role/{name}.j2"), included)
        assert caught.value.where == where


def test_included_templates_are_checked_before_anything_runs(included: Scope) -> None:
    for name in ("a", "child", "lookup"):
        check_file(Path(f"role/{name}.j2"), {}, included.templates)
    Path("role/b.j2").write_text("1\n{{ site | upppr }}")
    for name, where, message in (
        ("a", "role/b.j2:2", "'upppr'"),
        ("absent", "role/absent.j2:2", "'nobody.j2'"),
    ):
        with pytest.raises(TemplateError, match=message) as caught:
            check_file(Path(f"role/{name}.j2"), {}, included.templates)
        assert caught.value.where == where


def test_options_of_a_template_file(tmp_path: Path, scope: Scope) -> None:
    path = tmp_path / "t.j2"
    path.write_text("a\n  {% if port %}\nb\n  {% endif %}\nc\n")
    assert render_file(path, scope) == "a\n  b\n  c\n"
    assert render_file(path, scope, {"lstrip_blocks": True}) == "a\nb\nc\n"
    assert render_file(path, scope, {"trim_blocks": False, "newline_sequence": "\r\n"}).endswith("\r\nb\r\n  \r\nc\r\n")
    path.write_text("#jinja2: variable_start_string: '[[', variable_end_string: ']]'\n[[ site ]] {{ x }}\n")
    assert render_file(path, scope) == "lab {{ x }}\n"
    path.write_text("#jinja2: bogus: 1\n")
    with pytest.raises(TemplateError, match="'bogus: 1'"):
        render_file(path, scope)


def test_what_is_not_known_of_another_host_is_said_in_words() -> None:
    other = Scope().plus({"ansible_host": "203.0.113.9", "ports": 1})
    for name, hint in (("ansible_hostname", ""), ("port", "did you mean 'ports'?")):
        with pytest.raises(TemplateError) as caught:
            render(f"{{{{ other.{name} }}}}", Scope().plus({"other": other}, final=True))
        assert f"'{name}'" in caught.value.message and caught.value.hint == hint
