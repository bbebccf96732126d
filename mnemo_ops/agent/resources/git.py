"""git: a checkout of a repository."""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import ClassVar, Dict, List, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.file_write import at_home
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused, StepFailed

PATIENCE = 300.0  # seconds a server may take to list its branches
_SHA = re.compile(r"[0-9a-f]{4,40}", re.IGNORECASE)
_UNFINISHED = "mnemo-unfinished"  # in .git while files are being checked out: what differs then is nobody's work


@dataclass(frozen=True)
class Wanted:
    """What ``version`` is. ``branch`` is empty for a tag or a commit."""

    commit: str
    branch: str = ""
    ref: str = ""


@dataclass(frozen=True)
class Git(Resource):
    """A repository's files as of a branch, a tag or a commit. ``result.before`` and ``result.after`` are commits.

    :param repo: address of the repository.
    :param dest: directory of the checkout.
    :param version: branch, tag, commit, or ``HEAD``: what the server says is current.
    :param force: local changes are thrown away; without it they are an error.
    :param update: ``false``: a checkout that is there stays as it is.
    :param clone: ``false``: nothing is fetched where no checkout is.
    :param bare: only the repository, without files.
    :param depth: only so many commits of the history.
    :param single_branch: only the history of ``version``.
    :param remote: name for the server.
    :param refspec: what to fetch additionally.
    :param recursive: submodules, too.
    :param track_submodules: submodules as of their own branches.
    :param reference: a repository on the host to borrow objects from.
    :param accept_hostkey: take any SSH key of the server for granted.
    :param accept_newhostkey: take the first one for granted; a changed one is an error.
    :param key_file: SSH key on the host.
    :param ssh_opts: further options for ssh.
    :param executable: path of git.
    """

    kind: ClassVar[str] = "git"
    ALIASES: ClassVar[Mapping[str, str]] = {"name": "repo"}
    EXAMPLE: ClassVar[str] = """\
- name: the release
  git: {repo: https://github.com/example/app.git, dest: /srv/app/source, version: v1.2.0, depth: 1}
"""

    repo: str
    dest: str
    version: str = "HEAD"
    force: bool = False
    update: bool = True
    clone: bool = True
    bare: bool = False
    depth: Optional[int] = None
    single_branch: bool = False
    remote: str = "origin"
    refspec: Optional[str] = None
    recursive: bool = True
    track_submodules: bool = False
    reference: Optional[str] = None
    accept_hostkey: bool = False
    accept_newhostkey: bool = False
    key_file: Optional[str] = None
    ssh_opts: Optional[str] = None
    executable: str = "git"

    def __post_init__(self) -> None:
        refuse_options(repo=self.repo, version=self.version, remote=self.remote, refspec=self.refspec)
        if self.depth is not None and self.depth < 1:
            raise ValueError("depth is at least 1")

    @property
    def _url(self) -> str:
        """A path as a URL, as with Ansible: git honours ``depth`` only there."""
        return f"file://{self.repo}" if self.repo.startswith("/") else self.repo

    def desired(self) -> State:
        return {"modified": False, "remote_url": self._url}

    def target(self, observed: State) -> State:
        if observed is None or not observed["managed"]:
            return ABSENT if observed is None and not self.clone else {} if observed else self.desired()
        return {"after": observed["wanted"], "modified": False, "remote_url": self._url}

    def observe(self, machine: Machine) -> State:
        return at_home(self, machine, "repo", "dest", "key_file")._observe(machine)

    def _observe(self, machine: Machine) -> State:
        if not self._is_there(machine):
            return ABSENT
        now = self._commit(machine, "HEAD")
        seen = {"dest": self.dest, "before": now, "after": now}
        if not self.update:
            return {**seen, "managed": False}
        unfinished = machine.stat(f"{self._git_dir}/{_UNFINISHED}") is not None
        modified = not self.bare and not unfinished and bool(self._local_changes(machine))
        if modified and not self.force:
            raise Refused(f"{self.dest} has local changes", hint="force: true discards them")
        wanted = self._wanted(machine, self._branch(machine)).commit
        if self.bare:
            now = self._commit(machine, self.version) or now
        if now and now.startswith(wanted.lower()):
            wanted = now
        url = self._ask(machine, "config", "--get", f"remote.{self.remote}.url", check=False)
        record = {**seen, "after": None if unfinished else now, "wanted": wanted, "modified": modified}
        return {**record, "managed": True, "remote_url": url, "remote_url_changed": url != self._url}

    def apply(self, machine: Machine, change: Change) -> State:
        return at_home(self, machine, "repo", "dest", "key_file")._apply(machine, change)

    def _apply(self, machine: Machine, change: Change) -> State:
        before = None if change.before is None else self._commit(machine, "HEAD")
        wanted = self._wanted(machine, self._branch(machine) if change.before is not None else "")
        if change.before is None:
            self._clone(machine, wanted)
        else:
            self._run(machine, "remote", "set-url", self.remote, self._url)
            if not self.bare:
                machine.write(f"{self._git_dir}/{_UNFINISHED}", b"", 0o600)
            self._fetch(machine, wanted)
        if not self.bare:
            self._check_out(machine, wanted)
            machine.remove(f"{self._git_dir}/{_UNFINISHED}")
        changed = change.before is not None and "remote_url" in change.keys
        return {**(self._observe(machine) or {}), "before": before, "remote_url_changed": changed}

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def _git_dir(self) -> str:
        return self.dest if self.bare else f"{self.dest}/.git"

    def _is_there(self, machine: Machine) -> bool:
        if machine.stat(f"{self._git_dir}/HEAD", follow=True) is not None:
            if machine.which(self.executable) is None:
                return False
            unfinished = machine.stat(f"{self._git_dir}/{_UNFINISHED}") is not None
            return self.bare or unfinished or bool(self._commit(machine, "HEAD"))
        found = machine.stat(self.dest, follow=True)
        if found is not None and (found.kind != "directory" or self._foreign(machine)):
            raise Refused(f"{self.dest} exists and is not a checkout", hint="move it away first")
        return False

    def _foreign(self, machine: Machine) -> List[str]:
        return [name for name in machine.names(self.dest) if name != ".mnemo-clone"]

    def _ask(self, machine: Machine, *words: str, check: bool = True) -> str:
        argv = [self.executable, "--no-optional-locks", "-C", machine.for_program(self.dest), *words]
        return machine.ask(argv, check=check, env=self._environment(), timeout=PATIENCE).out.strip()

    def _run(self, machine: Machine, *words: str) -> None:
        machine.run([self.executable, "-C", machine.for_program(self.dest), *words], env=self._environment())

    def _environment(self) -> Dict[str, str]:
        words = ["ssh", "-o", "BatchMode=yes"]
        if self.accept_hostkey or self.accept_newhostkey:
            words += ["-o", f"StrictHostKeyChecking={'no' if self.accept_hostkey else 'accept-new'}"]
        if self.key_file:
            words += ["-i", self.key_file, "-o", "IdentitiesOnly=yes"]
        command = shlex.join(words) + (f" {self.ssh_opts}" if self.ssh_opts else "")
        return {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": command}

    def _commit(self, machine: Machine, name: str) -> str:
        """The commit a name stands for; empty when there is none."""
        return self._ask(machine, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)

    def _local_changes(self, machine: Machine) -> str:
        return self._ask(machine, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=untracked")

    def _branch(self, machine: Machine) -> str:
        """The branch that is checked out; empty when it is none."""
        return self._ask(machine, "symbolic-ref", "--quiet", "--short", "HEAD", check=False)

    def _wanted(self, machine: Machine, current: str) -> Wanted:
        """What the server says ``version`` is; ``HEAD`` on a branch means that branch. :raises StepFailed: nothing."""
        version = current if self.version == "HEAD" and current else self.version
        names = ["HEAD"] if version == "HEAD" else [f"refs/{one}/{version}" for one in ("heads", "tags")]
        asked = [self.executable, "ls-remote", "--symref", self._url, *names, f"refs/tags/{version}^{{}}"]
        said = machine.ask(asked, env=self._environment(), timeout=PATIENCE).out
        lines = [line.split("\t", 1) for line in each_line(said) if "\t" in line]
        rows = {name: commit for commit, name in lines if not commit.startswith("ref: ")}
        if version == "HEAD" and "HEAD" in rows:
            head = next((ref[len("ref: ") :] for ref, _ in lines if ref.startswith("ref: ")), "")
            branch = head[len("refs/heads/") :] if head.startswith("refs/heads/") else ""  # the server names any
            return Wanted(rows["HEAD"], branch, head if branch else "")
        if f"refs/heads/{version}" in rows:
            return Wanted(rows[f"refs/heads/{version}"], version, f"refs/heads/{version}")
        tag = f"refs/tags/{version}"
        if tag in rows:
            return Wanted(rows.get(tag + "^{}", rows[tag]), "", tag)
        if _SHA.fullmatch(version):
            return Wanted(version)
        raise StepFailed(f"{self._url} has no branch, tag or commit {version}")

    # -- changing ----------------------------------------------------------------------------------------------------

    def _clone(self, machine: Machine, wanted: Wanted) -> None:
        """The repository beside its place, then in it; its files come later."""
        place, name = posixpath.split(self.dest.rstrip("/"))
        beside = f"{place}/.mnemo-new-{name}" if self.bare else f"{self.dest}/.mnemo-clone"
        machine.mkdir(place if self.bare else self.dest)
        if machine.stat(f"{self._git_dir}/HEAD") is not None:  # of a clone that was cut
            machine.remove(self._git_dir)
        machine.remove(beside)
        options = ["--bare"] if self.bare else ["--no-checkout", "--origin", self.remote]
        if wanted.ref and (self.depth or self.single_branch):
            options += ["--single-branch", "--branch", wanted.ref.split("/", 2)[2]]
        if wanted.ref and self.depth:
            options += ["--depth", str(self.depth)]
        if self.reference:
            options += ["--reference", self.reference]
        machine.run(
            [self.executable, "clone", *options, self._url, machine.for_program(beside)], env=self._environment()
        )
        if self.bare:
            machine.rename(beside, self.dest)
            return
        machine.write(f"{beside}/.git/{_UNFINISHED}", b"", 0o600)
        machine.rename(f"{beside}/.git", self._git_dir)
        if self.refspec or not wanted.ref:
            self._fetch(machine, wanted)

    def _fetch(self, machine: Machine, wanted: Wanted) -> None:
        depth = ["--depth", str(self.depth)] if self.depth else ["--tags"]
        more = [self.refspec] if self.refspec else []
        if self.bare:
            return self._run(machine, "fetch", "--force", *depth, self.remote, "+refs/heads/*:refs/heads/*", *more)
        if wanted.branch:
            more.append(f"+{wanted.ref}:refs/remotes/{self.remote}/{wanted.branch}")
        elif wanted.ref:
            more.append(f"+{wanted.ref}:{wanted.ref}")
        elif self._commit(machine, wanted.commit):
            return None
        elif len(wanted.commit) == 40 and self.depth:
            more.append(wanted.commit)
        return self._run(machine, "fetch", "--force", *depth, self.remote, *more)

    def _check_out(self, machine: Machine, wanted: Wanted) -> None:
        for left in (f"{self._git_dir}/index.lock", f"{self.dest}/.mnemo-clone"):  # the first of a run that was killed
            machine.remove(left)
        if wanted.branch:
            self._run(
                machine, "checkout", "--force", "-B", wanted.branch, f"refs/remotes/{self.remote}/{wanted.branch}"
            )
        else:
            self._run(machine, "checkout", "--force", "--detach", wanted.commit)
        self._run(machine, "reset", "--hard")
        if self.recursive and machine.stat(f"{self.dest}/.gitmodules") is not None:
            follow = ["--remote"] if self.track_submodules else []
            self._run(machine, "submodule", "sync", "--recursive")
            self._run(machine, "submodule", "update", "--init", "--recursive", "--force", *follow)
