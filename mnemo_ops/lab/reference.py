"""The reference stack in a lab: images, secrets, TLS files, and the ``stack`` variable for its inventory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from mnemo_ops.lab.app import POSTGRES, STACK, ensure_app, home, lab_env, lab_tls

FOLDERS = ("group_vars", "secrets", "stack", ".mnemo")


def prepare(root: Path, report: Callable[[str], None], postgres: int = POSTGRES) -> Path:
    """Make what is missing below ``root/.lab``; secrets that exist stay. Returns the group_vars file."""
    lab = root / ".lab"
    images, archive = ensure_app(report, postgres)
    source = _source(lab, postgres)
    secrets = lab / "secrets"
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    env = secrets / "env.production"
    if not env.exists():
        handle = os.open(env, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(lab_env())
    if not (secrets / "ssl").exists():
        lab_tls(secrets / "ssl")
    stack = {
        "project": "mnemosyne",
        "source": str(source),
        "env_file": str(env),
        "tls": str(secrets / "ssl"),
        "images": images,
        "images_archive": str(archive),
    }
    path = lab / "group_vars" / "all.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"stack": stack}, sort_keys=True))
    return path


def _source(lab: Path, postgres: int) -> Path:
    """The owner's files, with a volume where the image of this Postgres has its data."""
    volume = home(postgres)[1]
    if volume == home(POSTGRES)[1]:
        return STACK
    made = lab / "stack"
    shutil.copytree(STACK, made, dirs_exist_ok=True)
    for name in ("docker-compose.prod.yml", "override.yml.j2"):
        text = (made / name).read_text()
        (made / name).write_text(text.replace(home(POSTGRES)[1], volume))
    return made


def remove(root: Path) -> None:
    """Remove what :func:`prepare` made and what flows kept beside the inventory."""
    for name in FOLDERS:
        shutil.rmtree(root / ".lab" / name, ignore_errors=True)
