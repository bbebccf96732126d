"""Two programs, one's output the other's input: the error of either is told, and no shell reads their words."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from leaks import held, leaked

from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, CommandFailed

AGENT = Path(__file__).parents[2] / "mnemo_ops/agent"
FEED = ["head", "-c", "30000000", "/dev/zero"]


def run(*programs: list[str], source: bytes = b"") -> None:
    with Machine("/").spool() as file:
        file.write(source)
        file.seek(0)
        for _ in Machine("/").joined(programs[0], programs[1], "joined", source=file):
            pass


def test_what_one_writes_the_other_reads(tmp_path: Path) -> None:
    run(["cat"], ["tee", str(tmp_path / "$(id) ; *")], source=b"a word")
    assert (tmp_path / "$(id) ; *").read_bytes() == b"a word"


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ((["false"], ["cat"]), "false ended with 1"),
        ((["cat"], ["false"]), "false ended with 1"),
        ((FEED, ["false"]), "false ended with 1"),  # the first only follows
        ((["sh", "-c", "echo why >&2; exit 3"], ["false"]), "sh -c ended with 3: why"),
        ((FEED, ["true"]), "head -c ended with -13"),  # it did not read to the end: nothing is whole
    ],
)
def test_the_error_of_either_is_told(programs: tuple[list[str], list[str]], said: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        run(*programs)
    assert caught.value.message.startswith(said)


@pytest.mark.parametrize("programs", [(FEED, ["nowhere"]), (["nowhere"], ["cat"])])
def test_one_that_is_missing_is_named_and_the_other_ended(programs: tuple[list[str], list[str]]) -> None:
    before = held()
    with pytest.raises(Broken, match="nowhere"):
        run(*programs)
    assert not leaked(before)


def test_a_run_that_ends_meanwhile_ends_both() -> None:
    before = held()
    running = Machine("/").joined(["sleep", "600"], ["cat"], "joined")
    next(running)
    assert len(held() - before) >= 2
    running.close()
    assert not leaked(before)


def test_no_archiver_is_told_to_ask_a_shell() -> None:
    """GNU tar hands what follows these to a shell, when it is more than a word."""
    asked = ("-I", "--use-compress-program", "--to-command", "--checkpoint-action", "--rsh-command", "--info-script")
    found = []
    for path in AGENT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            words = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
            texts = [each.value for each in words if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if "tar" in texts[:1] and any(text.startswith(asked) for text in texts):
                found.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(asked[1:]):
                found.append(f"{path}:{node.lineno}")
            if isinstance(node, (ast.List, ast.Tuple)) and "-I" in texts and any(" " in text for text in texts):
                found.append(f"{path}:{node.lineno}")
            if isinstance(node, (ast.List, ast.Tuple)) and "-I" in texts:
                found += [f"{path}:{one.lineno}" for one in words if isinstance(one, ast.JoinedStr)]
    assert found == []


# -- what this process makes itself ------------------------------------------------------------------------------------


def feed(words: list[str], chunks: Iterator[bytes]) -> None:
    for _ in Machine("/").fed(words, chunks, 1, "fed"):
        pass


def test_what_is_made_is_read(tmp_path: Path) -> None:
    feed(["tee", str(tmp_path / "$(id) ; *")], iter([b"a ", b"", b"word", bytes(3 << 20)]))
    assert (tmp_path / "$(id) ; *").read_bytes() == b"a word" + bytes(3 << 20)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["false"], "false ended with 1"),
        (["sh", "-c", "echo why >&2; exit 3"], "sh -c ended with 3: why"),
        (["sh", "-c", "cat > /dev/full"], "sh -c ended with 1"),
        (["true"], "true ended before"),  # nothing is whole
    ],
)
def test_the_error_of_a_program_that_is_fed_is_told(words: list[str], said: str) -> None:
    before = held()
    with pytest.raises(CommandFailed) as caught:
        feed(words, iter([bytes(1 << 20)] * 30))
    assert caught.value.message.startswith(said) and not leaked(before)


def test_an_error_of_what_makes_it_ends_the_program(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(3 << 20)
        raise Broken("made of nothing")

    before = held()
    with pytest.raises(Broken, match="made of nothing"):
        feed(["sh", "-c", f"cat > {tmp_path}/out; sleep 600"], chunks())
    with pytest.raises(Broken, match="nowhere"):
        feed(["nowhere"], iter([b"x"]))
    assert not leaked(before)
