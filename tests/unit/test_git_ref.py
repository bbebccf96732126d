"""A source as of a commit: what was edited since, or lies there by chance, is not deployed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mnemo_ops.core.model import Host
from mnemo_ops.errors import InventoryError
from mnemo_ops.stack.settings import settings


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """``repository/app`` with two commits, the first of which is tagged v1, and a file that nobody committed."""
    path = tmp_path / "repository" / "app"
    path.mkdir(parents=True)
    git(path.parent, "init", "-q")
    for number, image in (("v1", "one"), ("v2", "two")):
        (path / "compose.yaml").write_text(f"services: {{web: {{image: {image}}}}}\n")
        (path / "mnemo.yml").write_text(f"project: shop\nwaived: {{cache: {image}}}\n")
        (path / "run.sh").write_text("")
        (path / "run.sh").chmod(0o755)
        (path.parent / "beside").write_text("")
        git(path, "add", "--all", "..")
        git(path, "commit", "-qm", number)
        git(path, "tag", number)
    (path / "stray").write_text("")
    return path


def git(path: Path, *words: str) -> None:
    own = ("user.name=a", "user.email=a@example.org", "commit.gpgsign=false", "tag.gpgsign=false")
    said = [word for each in own for word in ("-c", each)]
    subprocess.run(["git", "-C", str(path), *said, *words], check=True, capture_output=True)


def host(tmp_path: Path, **stack: str) -> Host:
    return Host("a", "192.0.2.1", vars={"stack": stack, "inventory_dir": str(tmp_path)})


@pytest.mark.parametrize(("ref", "image"), [("v1", "one"), ("HEAD", "two"), ("v2^", "one")])
def test_the_files_are_those_of_the_commit(source: Path, tmp_path: Path, ref: str, image: str) -> None:
    found = settings(host(tmp_path, source=str(source), ref=ref))
    tree = Path(found.source)
    assert image in (tree / "compose.yaml").read_text() and found.waived == {"cache": image}
    assert sorted(each.name for each in tree.iterdir()) == ["compose.yaml", "mnemo.yml", "run.sh"]
    assert (tree / "run.sh").stat().st_mode & 0o111 and tmp_path / ".mnemo/sources" in tree.parents
    assert settings(host(tmp_path, source=str(source), ref=ref)).source == str(tree)
    assert settings(host(tmp_path, source=str(source))).source == str(source)


@pytest.mark.parametrize("ref", ["v3", "--output=/tmp/x", "", "v1 "])
def test_a_ref_that_is_none_is_refused_by_name(source: Path, tmp_path: Path, ref: str) -> None:
    if not ref:
        assert settings(host(tmp_path, source=str(source), ref=ref)).source == str(source)
        return
    with pytest.raises(InventoryError, match=r"stack\.ref"):
        settings(host(tmp_path, source=str(source), ref=ref))


def test_a_directory_that_is_in_no_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    with pytest.raises(InventoryError, match="not a git repository"):
        settings(host(tmp_path, source=str(tmp_path / "plain"), ref="main"))
