"""get_url: a file the host fetches from the web."""

from __future__ import annotations

import hashlib
import posixpath
from typing import IO, Any, ClassVar, Dict, List, Mapping, Optional, Tuple, cast

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.files.file_write import Placing
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner, Permission, described
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system.http import Answer, send, shown
from mnemo_ops.agent.system.request_args import Web
from mnemo_ops.errors import Refused, StepFailed


class Summing:
    """What is written passes on into a file, if there is one, and into a checksum."""

    def __init__(self, algorithm: str, file: Optional[IO[bytes]] = None) -> None:
        self._digest, self._file = hashlib.new(algorithm), file

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._file.write(data) if self._file else len(data)

    def sum(self) -> str:
        return f"{self._digest.name}:{self._digest.hexdigest()}"


@dataclass(frozen=True)
class GetUrl(Web):
    """A file from an http, https or ftp server. It is fetched when it is missing or its checksum is another one; with
    ``force``, or into a directory, each time, and replaced when it differs.

    :param url: where it is.
    :param dest: path of the file; a directory keeps the name in the URL.
    :param checksum: ``sha256:HEX``, or ``sha256:URL`` of a list of checksums; what does not fit never gets to ``dest``.
    :param force: fetch it each time and compare.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param headers: additional headers.
    :param timeout: seconds of each wait.
    :param url_username: for a server that asks.
    :param url_password: goes with it.
    :param force_basic_auth: send them unasked.
    :param http_agent: what the request says it is.
    :param use_proxy: go through the proxy the environment names.
    :param use_netrc: a login may come from ``~/.netrc``.
    :param validate_certs: check the server's certificate.
    :param client_cert: file with a certificate to show.
    :param client_key: file with its key.
    :param ciphers: to offer, in OpenSSL's words.
    :param decompress: unpack an answer that was compressed on the way.
    :param unredirected_headers: names of headers only the first server gets.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``; a new file gets 0644.
    :param owner: user name or number.
    :param group: group name or number.
    """

    kind: ClassVar[str] = "get_url"
    ALIASES: ClassVar[Mapping[str, str]] = {"username": "url_username", "password": "url_password"}
    EXAMPLE: ClassVar[str] = """\
- name: the release, checked
  get_url:
    url: https://github.com/example/tool/releases/download/v1.2.0/tool-linux-amd64
    dest: /usr/local/bin/tool
    checksum: sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
    mode: "0755"
"""

    url: str
    dest: str
    checksum: str = ""
    force: bool = False
    backup: bool = False
    headers: Dict[str, str] = field(default_factory=dict)
    timeout: int = 10
    url_username: Optional[str] = None
    url_password: Optional[str] = None
    force_basic_auth: bool = False
    http_agent: str = "ansible-httpget"
    use_proxy: bool = True
    use_netrc: bool = True
    validate_certs: bool = True
    client_cert: Optional[str] = None
    client_key: Optional[str] = None
    ciphers: Optional[List[str]] = None
    decompress: bool = True
    unredirected_headers: List[str] = field(default_factory=list)
    mode: Mode = None
    owner: Owner = None
    group: Owner = None

    def __post_init__(self) -> None:
        self._permission.desired()
        algorithm, colon, value = self.checksum.partition(":")
        if self.checksum and (not colon or not value or algorithm.lower() not in hashlib.algorithms_guaranteed):
            raise ValueError(f"checksum {self.checksum!r} should be ALGORITHM:HEX or ALGORITHM:URL")
        if "://" not in value and set(value.lower()) - set("0123456789abcdef"):
            raise ValueError(f"checksum {value!r} is not a hexadecimal number")

    @property
    def _permission(self) -> Permission:
        return Permission(self.owner, self.group, self.mode)

    @property
    def _algorithm(self) -> str:
        return self.checksum.partition(":")[0].lower() or "sha1"

    def desired(self) -> State:
        return {"state": "file", **self._permission.desired()}

    def target(self, observed: State) -> State:
        """The content is right when its sum is the one that was seen to be wanted."""
        wanted = {"sum": observed["wanted"]} if observed else {}
        return {"state": "file", **wanted, **self._permission.desired()}

    def _path(self, machine: Machine) -> Tuple[str, bool]:
        """Where the file goes, and whether ``dest`` says only the directory."""
        path = machine.expanded(self.dest)
        stat = machine.stat(path, follow=True)
        if stat is None or stat.kind != "directory":
            return path, False
        return posixpath.join(path, posixpath.basename(self.url.split("?")[0].rstrip("/")) or "index.html"), True

    def observe(self, machine: Machine) -> State:
        path, into_directory = self._path(machine)
        stat = machine.stat(path, follow=True)
        if stat is None:
            return ABSENT
        if stat.kind != "file":
            raise Refused(f"{path} exists and is not a regular file", hint="move it away first")
        found = f"{self._algorithm}:{machine.digest(path, self._algorithm)}"
        wanted = found
        if self.checksum:
            wanted = self._wanted(machine)
        elif self.force or into_directory:
            summing = Summing(self._algorithm)
            self._fetch(machine, cast("IO[bytes]", summing))
            wanted = summing.sum()
        seen = {"url": self.url, "dest": path, "sum": found, "wanted": wanted, "msg": "file already exists"}
        seen["checksum_dest"] = found.partition(":")[2]
        return {**seen, **described(machine, stat), **self._permission.observed(machine, stat)}

    def apply(self, machine: Machine, change: Change) -> State:
        path, _ = self._path(machine)
        done: Dict[str, Any] = {}
        if change.creates or "sum" in change.keys:
            directory = posixpath.dirname(path) or "/"
            if machine.stat(directory, follow=True) is None:
                hint = "make it first: file, state: directory"
                raise StepFailed(f"the directory {directory} does not exist", hint=hint)
            done = self._download(machine, path)
        self._permission.apply(machine, path)
        stat = machine.stat(path, follow=True)
        assert stat is not None
        sum = done.get("sum") or (change.after or {}).get("sum")
        record = {"url": self.url, "dest": path, "sum": sum, "wanted": sum, **described(machine, stat)}
        return {**record, **self._permission.observed(machine, stat), **done}

    def _download(self, machine: Machine, path: str) -> Dict[str, Any]:
        wanted = self._wanted(machine) if self.checksum else ""
        record: Dict[str, Any] = {}

        def fill(file: IO[bytes]) -> None:
            summing, began = Summing(self._algorithm, file), machine.now()
            answer = self._fetch(machine, cast("IO[bytes]", summing))
            if wanted and summing.sum() != wanted:
                raise StepFailed(f"what {shown(self.url)} serves has the checksum {summing.sum()}, not {wanted}")
            digest = summing.sum().partition(":")[2]
            record.update(sum=summing.sum(), checksum_src=digest, checksum_dest=digest, msg=answer.reason)
            record.update(status_code=answer.status, elapsed=int(machine.now() - began))

        kept = Placing(self._permission, self.backup).put(machine, machine.realpath(path), fill)
        return {**record, **kept}

    def _fetch(self, machine: Machine, into: IO[bytes]) -> Answer:
        answer = send(machine, self.request(self.url), into)
        if answer.status >= 300:
            raise StepFailed(f"{shown(self.url)} answered {answer.status} {answer.reason}")
        return answer

    def _wanted(self, machine: Machine) -> str:
        """The checksum as ``algorithm:hex``; looked up when it stands in a list."""
        value = self.checksum.partition(":")[2]
        if "://" not in value:
            return f"{self._algorithm}:{value.lower()}"

        def look() -> str:
            answer = send(machine, self.request(value))
            if answer.status >= 300:
                raise StepFailed(f"{shown(value)} answered {answer.status} {answer.reason}")
            name = posixpath.basename(self.url.split("?")[0])
            rows = [line.split(None, 1) for line in each_line(answer.body.decode("utf-8", "replace")) if line.strip()]
            for row in rows:
                named = row[1].strip().lstrip("*") if len(row) > 1 else ""
                if posixpath.basename(named) == name or (len(rows) == 1 and not named):
                    return f"{self._algorithm}:{row[0].lower()}"
            raise StepFailed(f"{shown(value)} lists no checksum for {name}")

        return str(machine.once("checksum/" + self.checksum + self.url, look))
