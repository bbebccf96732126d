"""No shell reads what somebody else said: argument vectors only, read from the sources (AST)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mnemo_ops

ROOT = Path(mnemo_ops.__file__).parent
SHELLS = {"sh", "bash", "dash", "/bin/sh", "/bin/bash", "cmd", "eval"}
TO_A_SHELL = {"-c", "-ec", "-lc", "-lec"}
CONSTANT = "a script that is a constant: what varies are its arguments"
# a shell is what these are for, or what they run is fixed
ALLOWED = {
    "agent/resources/shell.py": "the module `shell`: the line is the playbook's",
    "agent/resources/raw.py": "the module `raw`: the line is the playbook's",
    "agent/resources/script.py": "the module `script`: the arguments are the playbook's line",
    "transport/raw_shell.py": "`raw` before there is python3",
    "templates/lookups/files.py": "the lookup `pipe`: the line is the playbook's",
}
FIXED = {
    "agent/actions/smoke.py": CONSTANT,
    "agent/actions/cluster.py": CONSTANT,
    "agent/actions/images.py": CONSTANT,
    "agent/machine/as_user.py": CONSTANT,
    "agent/stack/cluster/entrance.py": CONSTANT,
    "agent/stack/cluster/home.py": CONSTANT,
    "agent/stack/cluster/place.py": CONSTANT,
    "agent/stack/volume_checks/disks.py": CONSTANT,
    "transport/sudo.py": CONSTANT,
    "lab/vm_image.py": CONSTANT,
    "lab/server.py": CONSTANT,
}
SOURCES = {
    path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py")) if "standin" not in path.parts
}
FORBIDDEN = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn",
             "asyncio.create_subprocess_shell"}  # fmt: skip
RUNNERS = {"run", "Popen", "call", "check_call", "check_output"}


def dotted(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def words_of(node: ast.List | ast.Tuple) -> list[str]:
    return [each.value if isinstance(each, ast.Constant) and isinstance(each.value, str) else "" for each in node.elts]


def constants(tree: ast.Module) -> set[str]:
    """Names of the module that stand for one text."""
    plain = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    return {target.id for node in plain for target in node.targets if isinstance(target, ast.Name)}


def shells(tree: ast.Module, fixed: bool = False) -> Iterator[str]:
    """Argument vectors that start one. :param fixed: only those whose script is no constant."""
    known = constants(tree)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.List, ast.Tuple)):
            continue
        words = words_of(node)
        for at, word in enumerate(words[1:], 1):
            before = node.elts[at - 1]
            if word in TO_A_SHELL and (words[at - 1] in SHELLS or not isinstance(before, ast.Constant)):
                script = node.elts[at + 1] if at + 1 < len(words) else None
                constant = isinstance(script, ast.Constant) or (isinstance(script, ast.Name) and script.id in known)
                if not (fixed and constant):
                    yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def tars(tree: ast.Module) -> Iterator[str]:
    """A program that tar is to give to a shell: more than one word, or one that is put together."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple)):
            words = words_of(node)
            if "tar" in words and any(word == "-I" or word.startswith("--use-compress") for word in words):
                yield f"line {node.lineno}: tar gives that to a shell"
        if isinstance(node, ast.JoinedStr) and "--use-compress" in ast.unparse(node):
            yield f"line {node.lineno}: tar gives that to a shell"


def calls(tree: ast.Module) -> Iterator[str]:
    """Calls that hand a text to a shell, here or at the other end of SSH."""
    inside = {id(node) for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == "ask"
              for node in ast.walk(each)}  # fmt: skip
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in FORBIDDEN:
            yield f"line {node.lineno}: {name}"
        if any(word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
               for word in node.keywords) and name.startswith("subprocess."):  # fmt: skip
            yield f"line {node.lineno}: {name} with shell="
        first = node.args[0] if node.args else None
        text = isinstance(first, (ast.JoinedStr, ast.BinOp, ast.Constant))
        if text and name.startswith("subprocess.") and name.partition(".")[2] in RUNNERS:
            yield f"line {node.lineno}: {name} is given a text"
        line = first if name.endswith(".exec_command") and id(node) not in inside else None
        line = node.args[1] if name in ("ask", "ssh.ask") and len(node.args) > 1 and "shlex" in ast.dump(tree) else line
        joined = isinstance(line, ast.Call) and dotted(line.func) == "shlex.join"
        if line is not None and not joined and not isinstance(line, ast.Constant):
            yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def glued(tree: ast.Module) -> Iterator[str]:
    """Texts with blanks, put together, among the words of what starts programs elsewhere."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.List, ast.Tuple)) or not {"ssh", "systemd-run"} & set(words_of(node)[:1]):
            continue
        for each in node.elts:
            texts = [part.value for part in ast.walk(each) if isinstance(part, ast.Constant)]
            if isinstance(each, (ast.JoinedStr, ast.BinOp)) and any(set(" ;|&$`(") & set(str(text)) for text in texts):
                yield f"line {node.lineno}: {ast.unparse(each)[:80]}"


@pytest.mark.parametrize("name", SOURCES)
def test_no_shell_is_given_what_somebody_said(name: str) -> None:
    tree = ast.parse(SOURCES[name].read_text())
    found = [*tars(tree), *glued(tree)]
    if name not in ALLOWED:
        found += [*calls(tree), *shells(tree, fixed=name in FIXED)]
    assert not found, f"{name}: {'; '.join(found)}"


@pytest.mark.parametrize("name", [*ALLOWED, *FIXED])
def test_every_exception_is_still_one(name: str) -> None:
    tree = ast.parse(SOURCES[name].read_text())
    assert [*calls(tree), *shells(tree)], f"{name} needs no exception any more"


BAD = (
    "run(['tar', '-I', 'age -r x'])",
    "run(['tar', f'--use-compress-program=age -r {x}'])",
    "run(['sh', '-c', x])",
    "run(['docker', 'exec', n, 'sh', '-ec', f'rm {x}'])",
    "run([shell, '-c', x])",
    "os.system(x)",
    "os.popen('ls')",
    "subprocess.run('ls', shell=True)",
    "subprocess.run(f'ls {x}')",
    "import shlex\nssh.ask(connection, f'ls {x}')",
    "channel.exec_command('ls ' + x)",
    "run(['ssh', host, f'cat {x}'])",
    "run(['systemd-run', '--', 'a ' + x])",
)


@pytest.mark.parametrize("text", BAD)
def test_what_gives_a_text_to_a_shell_is_found(text: str) -> None:
    tree = ast.parse(text)
    assert [*tars(tree), *glued(tree), *calls(tree), *shells(tree), *shells(tree, fixed=True)]


GOOD = (
    "run(['zstd', '-q', '-d', '-c', x])",
    "run([python, '-IS', '-c', STAGE])",
    "subprocess.run(argv)",
    "import shlex\nssh.ask(connection, shlex.join(argv))",
    "run(['ssh', '-l', user, host, name])",
)


@pytest.mark.parametrize("text", GOOD)
def test_argument_vectors_are_not(text: str) -> None:
    tree = ast.parse(text)
    assert not [*tars(tree), *glued(tree), *calls(tree), *shells(tree)]
