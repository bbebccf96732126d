"""The key that opens a set's secrets is made here: no host is asked for one, and none is told its secret half."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from test_migrate import OLD, Fleet, migration

from mnemo_ops.agent.stack import recipients
from mnemo_ops.errors import Refused
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows import keys
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.migrate import prepare

# of age-keygen 1.1.1
SECRET = "AGE-SECRET-KEY-1ALQA6KFEVY0U4RCR7FWMRSZQCC48JKX60KZ23LPQV3YHA9EZMWNSKZA5AT"
PUBLIC = "age1944f7xedlhck9teyknpt4nam2qgf7uvhspxaqgjzdnglmx27lshqhrlmep"


def flow(tmp_path: Path, fleet: Fleet) -> Flow:
    return Flow(fleet, Report("backup", Style()), tmp_path)  # type: ignore[arg-type]


def raw(text: str) -> bytes:
    """What a text of bech32 stands for."""
    letters = text.lower().rpartition("1")[2][:-6]
    bits = "".join(f"{recipients.LETTERS.index(letter):05b}" for letter in letters)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


def test_the_texts_are_those_of_age() -> None:
    made = keys.Identity.of(X25519PrivateKey.from_private_bytes(raw(SECRET)))
    assert (made.secret, made.recipient) == (SECRET, PUBLIC)
    assert keys.Identity.new().recipient != keys.Identity.new().recipient and SECRET not in repr(made)


def test_the_operators_key_is_made_here_and_no_host_hears_of_it(tmp_path: Path) -> None:
    fleet = Fleet()
    (public,) = keys.recipients(flow(tmp_path, fleet), OLD)
    (path,) = (tmp_path / "keys").iterdir()
    assert path.name == "mnemosyne.age" and path.stat().st_mode & 0o777 == 0o600
    (secret,) = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    made = keys.Identity.of(X25519PrivateKey.from_private_bytes(raw(secret)))
    assert made == keys.Identity(secret, public) and not recipients.problem(public)
    assert keys.recipients(flow(tmp_path, fleet), OLD) == (public,) and fleet.asked == []


def test_what_somebody_made_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two backups at once: with two keys one of the sets would never open."""
    new, theirs = keys.Identity.new, keys.Identity.new()

    def meanwhile(cls: type[keys.Identity]) -> keys.Identity:
        (tmp_path / "keys").mkdir()
        (tmp_path / "keys/mnemosyne.age").write_text(
            f"{keys.HERE}x\n{keys.PUBLIC}{theirs.recipient}\n{theirs.secret}\n"
        )
        return new()

    monkeypatch.setattr(keys.Identity, "new", classmethod(meanwhile))
    assert keys.recipients(flow(tmp_path, Fleet()), OLD) == (theirs.recipient,)
    assert [one.name for one in (tmp_path / "keys").iterdir()] == ["mnemosyne.age"]


def test_an_earlier_key_works_and_its_origin_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").mkdir()
    path = tmp_path / "keys/mnemosyne.age"
    path.write_text(f"# public key: {PUBLIC}\n{SECRET}\n")
    for said in (True, False):
        assert keys.recipients(flow(tmp_path, Fleet()), OLD) == (PUBLIC,)
        assert (f"mv {path} {path}.old" in capsys.readouterr().out) is said
    path.write_text(f"# created: 2026-01-01\n# public key: {PUBLIC}\n{SECRET}\n")  # the operator's own age-keygen
    path.with_suffix(".told").unlink()
    assert keys.recipients(flow(tmp_path, Fleet()), OLD) == (PUBLIC,) and not capsys.readouterr().out


@pytest.mark.parametrize("text", [SECRET, f"# public key: {PUBLIC}$(id)\n{SECRET}\n"])
def test_a_file_without_a_right_public_key_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/mnemosyne.age").write_text(text)
    with pytest.raises(Refused) as caught:
        keys.recipients(flow(tmp_path, Fleet()), OLD)
    assert "age-keygen" in caught.value.hint


def test_the_key_of_a_migration_is_made_here(tmp_path: Path) -> None:
    fleet = Fleet()
    context = migration(tmp_path, fleet).context
    prepare.make_age_key(context)
    assert fleet.asked == []
    made = context.age
    assert made is not None and context.recipients[0] == made.recipient
    assert made.secret.startswith("AGE-SECRET-KEY-1") and made.secret not in repr(context)
    assert made.secret not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_hosts_are_asked_for_no_key() -> None:
    found = subprocess.run(["grep", "-rl", "age-keygen", Path(keys.__file__).parents[1] / "agent"], capture_output=True)
    assert {Path(line).name for line in found.stdout.decode().split() if line.endswith(".py")} == {"recipients.py"}
