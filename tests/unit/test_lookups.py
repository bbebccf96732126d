"""Lookups: what they find, how it is handed over, and what they keep on the controller."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.core.secret import Mask
from mnemo_ops.errors import TemplateError
from mnemo_ops.templates import sha_crypt
from mnemo_ops.templates.references import uses
from mnemo_ops.templates.render import Scope, render
from mnemo_ops.vault.cipher import Keyring, unlocked

FILES = {
    "one.txt": "first\n",
    "two.txt": "second",
    "pad.txt": "  pad  \n\n",
    "braces.txt": "{{ site }}\n",
    "t.csv": "a,1,x\nb,2,y\n",
    "t.tsv": "x\t7\n",
    "u.ini": "[production]\nuser=robert\npass=x\n[integration]\nuser=gertrude\n",
    "u.properties": "user.name=jo\n",
    "pw.txt": "hunter2hunter2\n",
    "vars/Debian.yml": "",
    "pw2.txt": "hunter2 salt=abcdefgh\n",
    "t.j2": "port={{ port }}\n",
    "num.j2": "{{ port }}",
    "extra.j2": "{{ extra }} {{ site }}",
    "delim.j2": "[[ site ]] {{ site }}",
    "head.j2": "#jinja2: trim_blocks: False, lstrip_blocks: True\na\n  {% if true %}\nb\n  {% endif %}\nc\n",
}


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    users = [{"name": "ann", "groups": ["adm", "dev"]}, {"name": "bob", "groups": []}]
    return Scope([tmp_path], [tmp_path]).plus({"site": "lab", "port": 8080, "users": users, "here": str(tmp_path)})


# as ansible-core 2.19 answers them
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lookup('file', 'one.txt')", "first"),
        ("lookup('file', 'pad.txt')", "  pad"),
        ("lookup('file', 'pad.txt', lstrip=true)", "pad"),
        ("lookup('file', 'pad.txt', rstrip=false)", "  pad  \n\n"),
        ("lookup('file', 'one.txt', 'two.txt')", "first,second"),
        ("query('file', 'one.txt', 'two.txt')", ["first", "second"]),
        ("lookup('file', here ~ '/one.txt', wantlist=true)", ["first"]),
        ("lookup('file', 'braces.txt')", "{{ site }}"),
        ("lookup('file', 'none.txt', errors='ignore')", None),
        ("query('file', 'none.txt', errors='ignore')", []),
        ("lookup('file', 'none.txt', errors='ignore') | default('d', true)", "d"),
        ("lookup('ansible.builtin.template', 't.j2')", "port=8080\n"),
        ("lookup('template', 'num.j2')", 8080),
        ("lookup('template', 'extra.j2', template_vars={'extra': 'E'})", "E lab"),
        ("lookup('template', 'delim.j2', variable_start_string='[[', variable_end_string=']]')", "lab {{ site }}"),
        ("lookup('template', 'head.j2')", "a\n\nb\n\nc\n"),
        ("query('fileglob', 'pw*.txt') | map('basename')", ["pw.txt", "pw2.txt"]),
        ("query('fileglob', here ~ '/nothing*')", []),
        ("lookup('vars', 'si' ~ 'te')", "lab"),
        ("lookup('vars', 'nothing', default='x')", "x"),
        ("query('varnames', '^(site|port)$')", ["site", "port"]),
        ("lookup('first_found', 'none.txt', 'one.txt') | basename", "one.txt"),
        (
            "lookup('first_found', {'files': ['none.txt', 'two.txt'], 'paths': ['/nowhere', here]}) | basename",
            "two.txt",
        ),
        ("lookup('first_found', {'files': 'none.txt,two.txt', 'paths': '/nowhere:' ~ here}) | basename", "two.txt"),
        ("lookup('first_found', files=['none.txt', 'two.txt'], paths=[here]) | basename", "two.txt"),
        ("query('first_found', [{'files': ['none']}, 'two.txt']) | map('basename')", ["two.txt"]),
        ("lookup('first_found', ['none.yml', 'Debian.yml']) == here ~ '/vars/Debian.yml'", True),
        ("query('first_found', ['none.txt'], skip=true)", []),
        ("query('first_found', {'files': ['none.txt'], 'skip': true})", []),
        ("lookup('first_found', ['none.txt'], errors='ignore')", None),
        ("lookup('csvfile', 'b file=t.csv delimiter=,')", "2"),
        ("lookup('csvfile', 'b', file='t.csv', delimiter=',', col=2)", "y"),
        ("lookup('csvfile', 'z', file='t.csv', delimiter=',', default='none')", "none"),
        ("query('csvfile', 'a', 'b', file='t.csv', delimiter=',')", ["1", "2"]),
        ("lookup('csvfile', 'x', file='t.tsv')", "7"),
        ("lookup('ini', 'user', section='integration', file='u.ini')", "gertrude"),
        ("lookup('ini', 'user section=production file=u.ini')", "robert"),
        ("lookup('ini', 'nope', section='production', file='u.ini', default='d')", "d"),
        ("query('ini', '.*', section='production', file='u.ini', re=true)", ["robert", "x"]),
        ("lookup('ini', 'user.name', type='properties', file='u.properties')", "jo"),
        ("lookup('pipe', 'printf \"a\nb\n\"')", "a\\nb\\n".replace("\\n", "\n").rstrip()),
        ("query('lines', 'printf \"a\nb\n\"')", ["a", "b"]),
        ("lookup('command', 'printf %s x')", "x"),
        ("lookup('password', 'pw.txt')", "hunter2hunter2"),
        ("lookup('password', '/dev/null length=8 chars=digits') is match('[0-9]{8}$')", True),
        ("lookup('password', '/dev/null', seed='s1', length=10)", "bJ27qvwl0N"),
        ("lookup('password', '/dev/null', seed='s1', length=10, chars=['digits'])", "9804679229"),
        ("lookup('password', '/dev/null', seed='x', length=16, chars=['ascii_lowercase', '.,_'])", "ukttpcymsovomfmp"),
        ("lookup('password', '/dev/null chars=ascii_letters,digits seed=abc length=9')", "XJDT6w90X"),
        (
            "lookup('password', 'pw2.txt encrypt=sha512_crypt')",
            "$6$rounds=656000$abcdefgh$0cfureieviB8Fl1St5hclIk4UIk0alLUE9wdXy8AM0HvvcfvTT9LmpJpEXYui81GcbMjwtLIuDT8sD2iOLt"
            "/t0",
        ),
    ],
)
def test_what_a_lookup_finds(scope: Scope, text: str, expected: Any) -> None:
    assert render("{{ " + text + " }}", scope) == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("lookup('file', 'on.txt')", "'on.txt'", "did you mean 'one.txt'?"),
        ("lookup('file', 'one.txt', bogus=1)", "'bogus'", ""),
        ("lookup('file', 'one.txt', errors='no')", "strict, warn, ignore", ""),
        ("lookup('first_found', ['none.txt'])", "files", "skip: true allows that"),
        ("lookup('first_found', {'file': 'x'})", "'file'", "did you mean 'files'?"),
        ("lookup('pipe', 'exit 3')", "exit code 3", ""),
        ("lookup('command', 'no-such-program x')", "'no-such-program'", ""),
        ("lookup('vars', 'nothing')", "'nothing'", ""),
        ("lookup('sequence', 'start=1')", "count", ""),
        ("lookup('dict', 'x')", "str", ""),
    ],
)
def test_why_a_lookup_fails(scope: Scope, text: str, message: str, hint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render("{{ " + text + " }}", scope, "x.yml:3")
    assert message in caught.value.message
    assert (caught.value.where, caught.value.hint) == ("x.yml:3", hint)


def test_a_misspelt_lookup_is_found_before_anything_runs() -> None:
    with pytest.raises(TemplateError, match="'fiel'") as caught:
        uses("{{ lookup('fiel', x) }}", "x.yml:3")
    assert caught.value.hint == "did you mean 'file'?"
    with pytest.raises(TemplateError, match=r"'community\.general\.etcd'"):
        uses("{{ query('community.general.etcd', x) }}")
    assert [use.name for use in uses("{{ lookup(kind, x) }}")] == ["kind", "x"]


def test_a_warning_is_printed_instead_of_the_error(scope: Scope, caplog: pytest.LogCaptureFixture) -> None:
    assert render("{{ lookup('file', 'none.txt', errors='warn') }}", scope) is None
    assert "'none.txt' does not exist" in caplog.text


def test_a_password_is_made_once_and_kept_for_its_owner(scope: Scope, tmp_path: Path) -> None:
    text = "{{ lookup('password', 'secrets/db length=24 chars=ascii_letters,digits') }}"
    made = render(text, scope)
    path = tmp_path / "secrets/db"
    assert len(made) == 24 and made.isalnum() and path.read_text() == made + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert render(text, scope) == made


def test_a_password_keeps_its_salt(scope: Scope, tmp_path: Path) -> None:
    text = "{{ lookup('password', 'db encrypt=sha256_crypt') }}"
    hashed = render(text, scope)
    password, _, salt = (tmp_path / "db").read_text().rstrip().partition(" salt=")
    assert hashed == sha_crypt.sha_crypt(password, salt, "sha256", 535_000)
    assert render(text, scope) == hashed


def test_what_secret_lookups_find_is_masked(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = Mask()
    monkeypatch.setenv("MNEMO_TEST_TOKEN", "planted-in-the-environment")
    monkeypatch.setenv("MNEMO_TEST_NAME", "ordinary")
    with unlocked(Keyring(learn=mask.learn)):
        made = render("{{ lookup('env', 'MNEMO_TEST_TOKEN') }} {{ lookup('env', 'MNEMO_TEST_NAME') }}", scope)
    assert mask.hide(made) == "[secret] ordinary"
    with unlocked(Keyring(learn=mask.learn)):
        made = render("{{ lookup('password', 'x') }} {{ lookup('command', 'echo from-the-program') }}", scope)
    assert mask.hide(made) == "[secret] [secret]"


def test_sops_is_asked_with_the_file(scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/sops"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ntest "$1" = --extract && echo "one $2" && exit\necho "key: planted-value"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    mask = Mask()
    with unlocked(Keyring(learn=mask.learn)):
        assert render("{{ lookup('community.sops.sops', 'one.txt') | from_yaml }}", scope) == {"key": "planted-value"}
        assert render("{{ lookup('sops', 'one.txt', extract='[\"x\"]') }}", scope) == 'one ["x"]'
    assert mask.hide("planted-value") == "[secret]"


@pytest.mark.parametrize(
    "said",
    [
        "passwords:\\n  db: swordfish",
        '{\\n  "db_password": "swordfish",\\n  "db_name": "archive"\\n}',
        "DB_PASSWORD=swordfish\\nDB_NAME=archive",
    ],
)
def test_secrets_of_sops_are_hidden_in_each_of_its_formats(
    scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    program = tmp_path / "bin/sops"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf '{said}\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    mask = Mask()
    with unlocked(Keyring(learn=mask.learn)):
        assert "swordfish" in render("{{ lookup('sops', 'one.txt') }}", scope)
    assert mask.hide("swordfish in archive") == "[secret] in archive"


SHORT = "we have a short salt string but not a short password"
LONG = "a very much longer text to encrypt.  This one even stretches over morethan one line."


# of the specification's own list
@pytest.mark.parametrize(
    ("kind", "salt", "rounds", "password", "expected"),
    [
        (
            "sha512",
            "saltstring",
            5000,
            "Hello world!",
            "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "sha512",
            "saltstringsaltst",
            10000,
            "Hello world!",
            "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
        (
            "sha512",
            "anotherlongsalts",
            1400,
            LONG,
            "POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1",
        ),
        (
            "sha512",
            "short",
            77777,
            SHORT,
            "WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0",
        ),
        ("sha256", "saltstring", 5000, "Hello world!", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        ("sha256", "saltstringsaltst", 10000, "Hello world!", "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
        ("sha256", "short", 77777, SHORT, "JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/"),
    ],
)
def test_sha_crypt(kind: str, salt: str, rounds: int, password: str, expected: str) -> None:
    found = sha_crypt.sha_crypt(password, salt, kind, rounds).split("$")
    assert found[1] == {"sha256": "5", "sha512": "6"}[kind] and found[-2:] == [salt, expected]
    assert found[2:-2] == ([] if rounds == 5000 else [f"rounds={rounds}"])


@pytest.mark.parametrize(("salt", "rounds"), [("", 5000), ("a b", 5000), ("x" * 17, 5000), ("x", 999)])
def test_sha_crypt_refuses(salt: str, rounds: int) -> None:
    with pytest.raises(ValueError, match=r"salt|rounds"):
        sha_crypt.sha_crypt("x", salt, "sha512", rounds)
