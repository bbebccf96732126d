"""Vaults: what ansible-vault wrote opens, what we write it opens, and no plaintext gets out."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import pytest

from mnemo_ops.core.secret import Mask
from mnemo_ops.documents import yaml_lines
from mnemo_ops.errors import PlaybookError, StepFailed, UsageError, VaultError
from mnemo_ops.inventory.connection_vars import connection
from mnemo_ops.inventory.load import load as load_inventory
from mnemo_ops.playbook.load import check_variables
from mnemo_ops.playbook.load import load as load_playbook
from mnemo_ops.playbook.sources import prepared
from mnemo_ops.templates.render import Scope, render
from mnemo_ops.vault import cipher as vault
from mnemo_ops.vault import files as vault_files
from mnemo_ops.vault.cipher import Keyring, Source, unlocked
from mnemo_ops.vault.passwords import sources

HERE = Path(__file__).parent / "vault_files"  # made by ansible-vault 2.19


def keys(*labels: str, mask: Optional[Mask] = None) -> Keyring:
    """The throw-away passwords of the fixtures; ``prod`` is the label of the second."""
    known = {"default": b"throw-away", "prod": b"another one"}
    found = [Source(label, label, lambda label=label: known[label]) for label in labels or known]  # type: ignore[misc]
    return Keyring(found, (mask or Mask()).learn)


@pytest.fixture
def mask() -> Iterator[Mask]:
    found = Mask()
    with unlocked(keys(mask=found)):
        yield found


# -- the format ----------------------------------------------------------------------------------------------------


def test_what_ansible_vault_wrote_opens() -> None:
    ring = keys()
    assert ring.open((HERE / "vars.yml").read_text()).data.startswith(b"db_password: planted-in-the-file\n")
    assert ring.open((HERE / "binary").read_text()).data == bytes(range(256))
    assert ring.open((HERE / "empty").read_text()).data == b""
    opened = ring.open((HERE / "labelled.yml").read_text())
    assert (opened.label, opened.data) == ("prod", b"db_password: planted-under-a-label\n")


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4096])
def test_what_we_write_opens(size: int) -> None:
    data = os.urandom(size)
    text = vault.encrypt(data, b"x", "some")
    assert text.splitlines()[0] == "$ANSIBLE_VAULT;1.2;AES256;some"
    assert max(map(len, text.splitlines())) <= 80 and text.endswith("\n")
    assert vault.decrypt(text, b"x") == data
    assert vault.decrypt(text, b"y") is None
    assert vault.encrypt(data, b"x").splitlines()[0] == "$ANSIBLE_VAULT;1.1;AES256"


def other_end(text: str) -> str:
    """The same vault with its last digit changed."""
    header, *lines = text.splitlines()
    body = bytes.fromhex("".join(lines))
    return header + "\n" + (body[:-1] + (b"1" if body[-1:] == b"0" else b"0")).hex()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(";1.1;", ";2.0;"), "1.1 or 1.2"),
        (lambda text: text.replace("AES256", "AES"), "1.1 or 1.2"),
        (lambda text: text[:-20] + "zz" + text[-18:], "the encrypted text is damaged"),
        (lambda text: text.splitlines()[0], "the encrypted text is damaged"),
        (lambda text: other_end(text), "no vault password"),
    ],
)
def test_a_damaged_vault(change: Any, message: str) -> None:
    with pytest.raises(VaultError, match=message) as caught:
        keys().open(change((HERE / "vars.yml").read_text()), "x.yml")
    assert (caught.value.where, caught.value.exit_code) == ("x.yml", 2)


def test_without_the_password() -> None:
    text = (HERE / "labelled.yml").read_text()
    with pytest.raises(VaultError) as caught:
        Keyring().open(text)
    assert caught.value.hint == "pass --vault-password-file"
    with pytest.raises(VaultError, match="'prod'"):
        keys("default").open(text)


# -- passwords -----------------------------------------------------------------------------------------------------


def read(*args: Any, environment: Mapping[str, str] = {}, **options: Any) -> list[tuple[str, bytes]]:
    return [(one.label, one.read()) for one in sources(*args, environment=environment, **options)]


def test_passwords_come_from_files_programs_and_the_environment(tmp_path: Path) -> None:
    program = tmp_path / "get-client.sh"
    program.write_text('#!/bin/sh\necho "for $2"\n')
    program.chmod(0o755)
    file = str(HERE / "password")
    assert read([file]) == [("default", b"throw-away")]
    assert read(ids=[f"prod@{program}", file]) == [("prod", b"for prod"), ("default", b"throw-away")]
    assert read(environment={"ANSIBLE_VAULT_PASSWORD_FILE": file}) == [("default", b"throw-away")]
    assert read(environment={"MNEMO_VAULT_PASSWORD_FILE": file, "MNEMO_VAULT_PASSWORD": "direct"})[1][1] == b"direct"
    assert read(environment={"ANSIBLE_VAULT_IDENTITY_LIST": f"a@{file}, b@{file}"})[1] == ("b", b"throw-away")


def test_passwords_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "fails").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "fails").chmod(0o755)
    (tmp_path / "empty").write_text("\n")
    for name, message in (("none", "/none"), ("fails", "exit code 3"), ("empty", "/empty")):
        with pytest.raises(VaultError, match=message):
            read([str(tmp_path / name)])


def test_where_nobody_can_type_a_password_no_option_is_named_that_was_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(VaultError) as caught:
        Keyring(tuple(sources([], ["prod@prompt"], environment={}))).encrypt(b"x")
    assert "--ask-vault-pass" not in str(caught.value)


def test_a_password_that_was_typed_is_asked_for_again_before_it_encrypts() -> None:
    typed = iter([b"one", b"two", b"one"])
    source = Source("default", "the prompt", lambda: b"one", lambda: next(typed))
    assert Keyring([source]).encrypt(b"x")
    with pytest.raises(VaultError):
        Keyring([source]).encrypt(b"x")


# -- values in YAML ------------------------------------------------------------------------------------------------


def test_a_value_is_text_for_templates_and_masked_for_everybody_else(mask: Mask) -> None:
    data = yaml_lines.load(HERE / "inline.yml")
    scope = Scope().plus({**data, "through": "<{{ inline }}>", "x": 1})
    assert repr(data["inline"]) == "[secret]" == str(data["inline"])
    assert render("{{ inline }}", scope) == "planted-inline {{ x }}"  # data, as with Ansible: never a template
    assert render({"a": ["{{ through | upper }}"]}, scope) == {"a": ["<PLANTED-INLINE {{ X }}>"]}
    assert render({"direct": data["inline"]}, scope) == {"direct": "planted-inline {{ x }}"}
    assert mask.hide("see planted-inline {{ x }}") == "see [secret]"


def test_a_file_of_variables_is_masked_value_by_value(mask: Mask) -> None:
    data = yaml_lines.load(HERE / "vars.yml")
    assert data == {"db_password": "planted-in-the-file", "nested": {"token": "planted-token-value"}, "port": 5432}
    assert data.lines["port"] == 3
    assert mask.hide("planted-in-the-file planted-token-value") == "[secret] [secret]"


def test_what_is_not_encrypted_behind_the_tag() -> None:
    with pytest.raises(PlaybookError, match="!vault") as caught:
        yaml_lines.loads("a: 1\nb: !vault hello\n", "x.yml")
    assert caught.value.where == "x.yml:2:4"


def test_passwords_of_connections_may_be_encrypted(mask: Mask, tmp_path: Path) -> None:
    values = {"secret": yaml_lines.load(HERE / "inline.yml")["inline"], "ansible_become_password": "{{ secret }}"}
    values["ansible_password"] = values["secret"]
    values["ansible_user"] = "{{ lookup('file', 'user') }}"  # beside the inventory
    (tmp_path / "user").write_text("ann\n")
    found = connection("h", values, {}, tmp_path)
    assert found["user"] == "ann"
    assert found["password"].reveal() == found["become_password"].reveal() == "planted-inline {{ x }}"


def test_encrypted_files_of_an_inventory(mask: Mask, tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {a: }}\n")
    (tmp_path / "group_vars/all").mkdir(parents=True)
    shutil.copy(HERE / "vars.yml", tmp_path / "group_vars/all/vault.yml")
    shutil.copy(HERE / "inline.yml", tmp_path / "group_vars/all/inline.yml")
    host = load_inventory(tmp_path).hosts["a"]
    assert render("{{ db_password }} {{ inline }}", Scope().plus(host.vars)) == (
        "planted-in-the-file planted-inline {{ x }}"
    )


PLAY = """\
- hosts: all
  vars_files: [vars.yml]
  tasks:
    - copy: {content: "{{ db_password }}", dest: /x}
    - copy:
        dest: /y
        content: %s
"""


def test_a_playbook_that_needs_a_password_says_so_before_anything_is_opened(tmp_path: Path) -> None:
    shutil.copy(HERE / "vars.yml", tmp_path)
    inline = (HERE / "inline.yml").read_text().removeprefix("inline: ")
    (tmp_path / "play.yml").write_text(PLAY % inline)
    with pytest.raises(VaultError):
        load_playbook(tmp_path / "play.yml")
    (tmp_path / "vars.yml").write_text("db_password: x\n")
    (play,) = load_playbook(tmp_path / "play.yml").plays
    with pytest.raises(VaultError) as caught:
        check_variables(play, {})
    assert caught.value.where.endswith("play.yml:7")
    with unlocked(keys()):
        check_variables(play, {})


def test_encrypted_files_arrive_in_clear(mask: Mask) -> None:
    scope = Scope([HERE], [HERE])
    args = {"src": "binary", "dest": "/srv/binary"}
    (sent,) = prepared("copy", args, scope, "x.yml:1")
    (digest,) = sent.files
    assert sent.args == {**args, "sha256": digest} and sent.files[digest] == bytes(range(256))
    (kept,) = prepared("copy", {**args, "decrypt": False}, scope, "x.yml:1")
    assert kept.args["content"] == (HERE / "binary").read_text()
    (made,) = prepared("template", {"src": "vars.yml", "dest": "/x"}, scope, "x.yml:1")
    assert made.args["content"].startswith("db_password: planted-in-the-file\n")
    assert render("{{ lookup('file', 'labelled.yml') }}", scope) == "db_password: planted-under-a-label"
    assert "planted" not in mask.hide("db_password: planted-under-a-label")


# -- the commands --------------------------------------------------------------------------------------------------


def editor(tmp_path: Path, script: str) -> str:
    """An editor that notes where the draft lies, then does what the script says with ``$1``."""
    path = tmp_path / "editor"
    path.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/draft; stat -c %a "$1" >> {tmp_path}/draft\n{script}\n')
    path.chmod(0o755)
    return str(path)


def test_edit(tmp_path: Path) -> None:
    path = tmp_path / "labelled.yml"
    shutil.copy(HERE / "labelled.yml", path)
    assert vault_files.edit(path, keys(), editor(tmp_path, 'echo "new: 1" >> "$1"'))
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")  # the label stays
    assert vault_files.view(path, keys()) == "db_password: planted-under-a-label\nnew: 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    draft, mode = (tmp_path / "draft").read_text().split()
    assert mode == "600" and draft.startswith("/dev/shm/") and not Path(draft).parent.exists()


def test_edit_that_fails_or_changes_nothing_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "vars.yml"
    shutil.copy(HERE / "vars.yml", path)
    before = path.read_bytes()
    assert not vault_files.edit(path, keys(), editor(tmp_path, "true"))
    with pytest.raises(StepFailed, match="exit code 3"):
        vault_files.edit(path, keys(), editor(tmp_path, 'echo x > "$1"; exit 3'))
    with pytest.raises(StepFailed, match="cannot run"):
        vault_files.edit(path, keys(), "/no/such/editor")
    assert path.read_bytes() == before
    assert not Path((tmp_path / "draft").read_text().split()[0]).parent.exists()


def test_edit_that_is_ended_leaves_nothing_in_clear(tmp_path: Path) -> None:
    shutil.copy(HERE / "vars.yml", tmp_path)
    done = command(tmp_path, "secrets.edit", "vars.yml", EDITOR=editor(tmp_path, "kill -TERM $PPID; exec sleep 5"))
    assert done.returncode == 143
    assert not Path((tmp_path / "draft").read_text().split()[0]).parent.exists()
    assert (tmp_path / "vars.yml").read_bytes() == (HERE / "vars.yml").read_bytes()


def test_encrypt_decrypt_rekey(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text("a: 1\n")
    vault_files.encrypt(path, keys(), "prod")
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod")
    with pytest.raises(VaultError, match="is encrypted already"):
        vault_files.encrypt(path, keys())
    with pytest.raises(VaultError, match="'nope'"):
        keys().encrypt(b"", "nope")
    assert vault_files.rekey(path, keys("prod"), keys("default")) == 1
    with pytest.raises(VaultError):
        vault_files.decrypt(path, keys("prod"))
    vault_files.decrypt(path, keys("default"))
    assert path.read_text() == "a: 1\n" and stat.S_IMODE(path.stat().st_mode) == 0o600
    for work in (vault_files.decrypt, vault_files.view):
        with pytest.raises(VaultError, match=r"not encrypted|nothing in .* is encrypted"):
            work(path, keys())
    with pytest.raises(UsageError, match="cannot be read"):
        vault_files.view(tmp_path / "none", keys())
    assert [one.name for one in tmp_path.iterdir()] == ["x.yml"]


def test_rekey_of_values_keeps_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    inline = (HERE / "inline.yml").read_text()
    path.write_text(
        f"# first\n{inline}other: [1]\ndeep:\n  {inline.replace(chr(10), chr(10) + '  ').rstrip()}\n# last\n"
    )
    assert vault_files.rekey(path, keys("default"), keys("prod")) == 2
    with unlocked(keys("prod")):
        data = yaml_lines.load(path)
        assert data["inline"].reveal() == data["deep"]["inline"].reveal() == "planted-inline {{ x }}"
    assert data["other"] == [1] and path.read_text().startswith("# first\n") and path.read_text().endswith("# last\n")


def command(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    main = "from mnemo_ops.cli.program import main; main()"
    return subprocess.run(
        [sys.executable, "-c", main, *words],
        cwd=directory,
        env={**os.environ, "MNEMO_VAULT_PASSWORD_FILE": str(HERE / "password"), **environment},
        input=environment.pop("stdin", ""),
        capture_output=True,
        text=True,
        check=False,
    )


def test_check_names_what_stays_closed_and_what_stands_in_clear(tmp_path: Path) -> None:
    for name in ("vars.yml", "inline.yml", "labelled.yml"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "plain.yml").write_text(
        "db_password: planted-in-clear\nfile_secret: x\npassword: '{{ vault_x }}'\ntoken: ''\n"
        "ansible_ssh_private_key_file: ~/.ssh/id\ntoken_path: /x\nsecret_dir: /y\n"  # where they lie is none
    )
    done = command(tmp_path, "secrets.check", "--path", ".", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 2 and document["error"]["class"] == "VaultError"
    assert [one["where"] for one in document["encrypted"] if one["problem"]] == ["labelled.yml"]
    assert len(document["encrypted"]) == 3
    assert [one["name"] for one in document["clear"]] == ["db_password", "file_secret"]
    assert "planted" not in done.stdout + done.stderr
    again = command(tmp_path, "secrets.check", "--path", ".", "--vault-id", f"prod@{HERE / 'password2'}")
    assert again.returncode == 0 and "3 encrypted, 0 closed, 2 in clear" in again.stdout


def test_view_shows_and_a_play_does_not(tmp_path: Path) -> None:
    shutil.copy(HERE / "vars.yml", tmp_path)
    done = command(tmp_path, "secrets.view", "vars.yml")
    assert done.stdout.startswith("db_password: planted-in-the-file\n")
    encrypted = command(tmp_path, "secrets.encrypt-string", "--name", "x", stdin="planted-string").stdout
    with unlocked(keys()):
        assert yaml_lines.loads(encrypted, "x")["x"].reveal() == "planted-string"
    (tmp_path / "play.yml").write_text(
        "- hosts: localhost\n  vars_files: [vars.yml]\n  tasks:\n"
        "    - name: say {{ db_password }}\n      command: echo {{ db_password }} {{ nested.token }}\n"
        "    - command: sh -c 'echo {{ db_password }} >&2; exit 3'\n"
    )
    (tmp_path / "inventory.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n")
    for style in ((), ("--json",)):
        played = command(tmp_path, "play", "play.yml", "--diff", "-v", *style)
        assert played.returncode == 6 and "[secret]" in played.stdout
        assert "planted" not in played.stdout + played.stderr
