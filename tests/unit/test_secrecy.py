"""What of an environment is hidden, and what stays readable."""

from __future__ import annotations

import base64
import io
import json
import shlex
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from pace import within

from mnemo_ops.agent.base import secrecy
from mnemo_ops.cli.options import Run
from mnemo_ops.core.secret import MASK, Mask
from mnemo_ops.core.secret_text import SecretText
from mnemo_ops.documents import yaml_lines
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.stack.env_file import pairs
from mnemo_ops.stack.masking import secrets_of
from mnemo_ops.stack.settings import Settings
from mnemo_ops.vault.cipher import Keyring, unlocked

RANDOM = "Xq7/kP+2%z @w"
KEY = "-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIPx\n-----END KEY-----"


def config(environment: dict[str, str], **service: object) -> dict[str, object]:
    return {
        "name": "mnemosyne",
        "services": {"redis": {"container_name": "mnemosyne-redis", "environment": environment, **service}},
        "volumes": {"redis_data": {}},
    }


MESSAGE = (
    "Container mnemosyne-redis of postgres in /srv/mnemosyne/scripts: password authentication failed for user admin"
)


@pytest.mark.parametrize(
    "environment",
    [
        {"POSTGRES_DB": "mnemosyne", "POSTGRES_USER": "mnemosyne", "LOG_LEVEL": "failed"},
        {"POSTGRES_PASSWORD": "mnemosyne"},
        {"POSTGRES_PASSWORD": "postgres", "GRAFANA_PASSWORD": "password", "ADMIN_PASSWORD": "admin"},
        {"DATABASE_URL": "postgresql://mnemosyne:postgres@postgres/mnemosyne"},
        {"REDIS_URL": "redis://redis:6379/0", "SECRET_KEY_FILE": "/srv/mnemosyne/scripts", "TOKEN_HEADER": "Container"},
        {"CACHE_KEY": "mnemosyne-redis", "API_KEY": "redis_data", "USE_SECRETS": "true", "POSTGRES_HOST": "Container"},
    ],
)
def test_a_value_that_is_an_ordinary_word_leaves_messages_readable(environment: dict[str, str]) -> None:
    assert secrecy.hide(MESSAGE, secrecy.of_compose(config(environment))) == MESSAGE


@pytest.mark.parametrize(
    ("environment", "secret"),
    [
        ({"POSTGRES_PASSWORD": RANDOM}, RANDOM),
        ({"PGPASSWORD": "hunter22"}, "hunter22"),
        ({"dbPass": "hunter22", "DB_PASS": "hunter22"}, "hunter22"),
        ({"OPENAI_API_KEY": "sk-1234567890"}, "sk-1234567890"),
        ({"DATABASE_URL": f"postgresql://app:{quote(RANDOM, safe='')}@postgres/app"}, RANDOM),
        ({"CELERY_RESULT_BACKEND": "redis://:p@ss/w:rd1@redis:6379/0"}, "p@ss/w:rd1"),
        ({"BROKERS": "amqp://u:first-1@a,amqp://u:second-2@b"}, "first-1"),
        ({"BROKERS": "amqp://u:first-1@a,amqp://u:second-2@b"}, "second-2"),
        ({"DSN": "host=db user=app password='two words' dbname=x"}, "two words"),
        ({"STORE": "https://s3.example.com/b?access_key=abcdef99&x=1"}, "abcdef99"),
        ({"SENTRY": "https://0123456789abcdef0123@sentry.example.com/4"}, "0123456789abcdef0123"),
        ({"JWT_SECRET": "with$$dollar9"}, "with$dollar9"),
        ({"TLS_KEY": KEY}, KEY),
        ({"TLS_KEY": KEY}, "MC4CAQAwBQYDK2VwBCIEIPx"),
    ],
)
def test_a_secret_shows_in_no_form(environment: dict[str, str], secret: str) -> None:
    values = secrecy.of_compose(config(environment))
    mask = Mask()
    mask.learn(values)
    for form in (
        secret,
        json.dumps(secret),
        repr(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        shlex.quote(secret),
    ):
        for hide in (lambda text: secrecy.hide(text, values), mask.hide):
            shown = hide(f"cmd {form}, {json.dumps(form)} end")
            assert form.strip("\"'") not in shown and MASK in shown and shown.startswith("cmd ")


@pytest.mark.parametrize(
    "service",
    [
        {"command": ["redis-server", "--requirepass", "typed-99", "--appendonly", "yes"]},
        {"command": ["sh", "-c", "redis-server --requirepass 'typed-99'"]},
        {"healthcheck": {"test": ["CMD", "redis-cli", "-h", "x", "-a", "typed-99", "ping"]}},
        {"entrypoint": "server --admin-password=typed-99"},
    ],
)
def test_a_password_on_a_command_line_is_one(service: dict[str, object]) -> None:
    values = secrecy.of_compose(config({}, **service))
    assert secrecy.hide("said typed-99, redis-server --appendonly yes", values) == (
        f"said {MASK}, redis-server --appendonly yes"
    )


def test_the_env_file_is_read_as_compose_reads_it() -> None:
    text = (
        '# a comment = 1\nA=plain value # with a comment\nexport B=\'it is #1 $x\'\nC="a \\"quoted\\"\\nline"\n'
        f'D="{KEY}"\nE=\nF: yaml\n  G=a#b\nH=""\nI=\'last\'\n'
    )
    assert dict(pairs(text)) == {
        "A": "plain value",
        "B": "it is #1 $x",
        "C": 'a "quoted"\nline',
        "D": KEY,
        "E": "",
        "F": "yaml",
        "G": "a#b",
        "H": "",
        "I": "last",
    }


def test_of_the_env_file_only_secrets_are_hidden_and_what_cannot_be_is_named(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text(
        "POSTGRES_DB=mnemosyne\nPOSTGRES_PASSWORD='a good secret'\nLOG_LEVEL=INFO\nAPI_KEY=\"k\"\n"
        "REDIS_PASSWORD=redis\nADMIN_PASSWORD=old-server\nTOKEN_MINUTES=30\nPIN_TOKEN=1234\n"
        "DATABASE_URL=postgresql://mnemosyne:p%40ss-word-9@postgres/mnemosyne\nS3_ENDPOINT_URL=https://s3.example.com\n"
    )
    hidden, shown = secrets_of(Settings(env_file=str(env)), ["old-server"])
    assert set(hidden) == {
        "a good secret",
        "postgresql://mnemosyne:p%40ss-word-9@postgres/mnemosyne",
        "p%40ss-word-9",
        "p@ss-word-9",
    }
    assert shown == ["API_KEY", "REDIS_PASSWORD", "ADMIN_PASSWORD"]
    assert secrets_of(Settings(env_file="/nowhere/env")) == ([], [])


def test_services_and_containers_of_the_compose_file_are_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("MAILER_PASSWORD=mailer\nOTHER_PASSWORD=post-office\nLAST_TOKEN=mailers-99\n")
    (tmp_path / "compose.yml").write_text("services:\n  mailer:\n    container_name: post-office\n")
    chosen = Settings(source=str(tmp_path), env_file=str(tmp_path / "env"), compose_files=("compose.yml",), project="p")
    assert secrets_of(chosen) == (["mailers-99"], ["MAILER_PASSWORD", "OTHER_PASSWORD"])


def test_a_command_says_once_what_it_cannot_hide(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("POSTGRES_PASSWORD=postgres\nSECRET_KEY=not-to-be-seen-9\nOTHER_SECRET=old-server\n")
    (tmp_path / "inventory.yml").write_text(
        "all: {hosts: {old-server: {ansible_host: 192.0.2.1}, new: {ansible_host: 192.0.2.2}}, "
        "vars: {stack: {project: shop, env_file: env}}}"
    )
    out = io.StringIO()
    run = Run(Report("backup", Style(), out, out), str(tmp_path / "inventory.yml"))
    run.report.mask.learn(["shop"])
    for _ in range(2):
        with run.flow(reads=True):
            run.report.say("postgres of shop on old-server: not-to-be-seen-9")
    lines = out.getvalue().splitlines()
    assert [line for line in lines if "WARNING" not in line] == [f"postgres of shop on old-server: {MASK}"] * 2
    assert [name for line in lines for name in ("POSTGRES_PASSWORD", "OTHER_SECRET") if name in line] == [
        "OTHER_SECRET",
        "POSTGRES_PASSWORD",
    ]
    assert len(run.report.extra["warnings"]) == 2


def test_the_passwords_of_the_inventory_are_hidden(tmp_path: Path) -> None:
    """In clear: of a vault they are learnt where it is opened. Those that are a host's own name are not."""
    (tmp_path / "inventory.yml").write_text(
        "all: {hosts: {web1: {ansible_password: log-in-9, ansible_become_password: sudo+2/9}, app-server: {"
        "ansible_sudo_pass: app-server, ansible_private_key_passphrase: 'open-7 me'}}}"
    )
    out = io.StringIO()
    run = Run(Report("play", Style(), out, out), str(tmp_path / "inventory.yml"))
    run.inventory()
    run.report.say("log-in-9 sudo+2/9 sudo%2B2%2F9 c3VkbysyLzk= open-7 me app-server")
    assert out.getvalue() == " ".join([MASK] * 3 + [f"{MASK}=", MASK, "app-server"]) + "\n"


def test_names_are_spared_whoever_taught_them() -> None:
    mask = Mask()
    mask.learn(["mnemosyne", "a-secret-9"])  # a vault file is learned value by value
    assert mask.hide("mnemosyne a-secret-9") == f"{MASK} {MASK}"
    mask.spare(["mnemosyne"])
    assert mask.hide("mnemosyne a-secret-9") == f"mnemosyne {MASK}"


ENCRYPTED = """
POSTGRES_DB: mnemosyne
POSTGRES_USER: mnemosyne_app
POSTGRES_PASSWORD: {secret}
environment: production
DATABASE_URL: postgres://mnemosyne_app:{secret}@postgres/mnemosyne
nested: {{db: {{name: archive}}, tokens: [an-api-token-1]}}
"""
SAID = "Container mnemosyne-redis: /srv/mnemosyne/scripts of mnemosyne_app, archive and production"


def test_names_in_an_encrypted_file_leave_messages_readable_and_its_secrets_show_in_no_form() -> None:
    secret, mask = "p+ss/word-9", Mask()
    with unlocked(Keyring(learn=mask.learn)):
        yaml_lines.loads(SecretText(ENCRYPTED.format(secret=secret)), "vars.yml")
    assert mask.hide(SAID) == SAID
    url = f"postgres://u:{secret}@h"
    for text in (secret, url, quote(url), f"POSTGRES_PASSWORD={secret}", "an-api-token-1"):
        hidden = mask.hide(text)
        assert MASK in hidden and secret not in hidden and quote(secret, safe="") not in hidden
    assert mask.hide(base64.b64encode(f"u:{secret}".encode()).decode()).count(MASK) == 1


@pytest.mark.parametrize(
    ("text", "hidden", "shown"),
    [
        ("passwords: {db: swordfish, user: openseas}", ["swordfish", "openseas"], []),
        ("passwords: {archive: {db: swordfish}}", ["swordfish"], []),
        ("api_keys: {backend: swordfish}", ["swordfish"], []),
        ("tokens: [{server: swordfish}]", ["swordfish"], []),
        ("credentials: {db: {username: shopkeeper, password: swordfish}}", ["swordfish"], ["shopkeeper"]),
        ("secrets: {postgres_db: shopkeeper, postgres_password: swordfish}", ["swordfish"], ["shopkeeper"]),
    ],
)
def test_in_an_encrypted_file_what_lies_below_passwords_is_a_password_whatever_it_is_called(
    text: str, hidden: list[str], shown: list[str]
) -> None:
    mask = Mask()
    with unlocked(Keyring(learn=mask.learn)):
        yaml_lines.loads(SecretText(text), "vars.yml")
    assert [mask.hide(word) for word in (*hidden, *shown)] == [*([MASK] * len(hidden)), *shown]


@pytest.mark.parametrize("word", ["postgres", "production", "mnemosyne-old", "Example"])
def test_an_ordinary_word_is_never_hidden_whoever_taught_it(word: str) -> None:
    mask = Mask()
    mask.spare(["mnemosyne-old-server", "/srv/example/data"])
    mask.learn([word, f"{word}9Kx2"])
    assert mask.hide(f"see {word} and {word}9Kx2") == f"see {word} and {MASK}"


def test_many_secrets_are_learned_at_once() -> None:
    mask = Mask()
    with within(2):
        for number in range(500):
            mask.learn([f"a-secret-number-{number}-{'x' * 200}"])
        assert "number-7-" not in mask.hide("see a-secret-number-7-" + "x" * 200)
