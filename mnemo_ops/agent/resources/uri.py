"""uri: one request, and what came back."""

from __future__ import annotations

import io
import json
import posixpath
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.files.file_write import Placing
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner, Permission
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system.http import Answer, send
from mnemo_ops.agent.system.request_args import Web
from mnemo_ops.errors import Broken, StepFailed

DEEPEST = 90  # lists and mappings within each other; what hosts say has a bound, too


@dataclass(frozen=True)
class Uri(Web):
    """A request, made each time; it never counts as a change, whatever the server makes of it, and a check leaves it
    out. For ``register``: ``status``, ``url``, ``content``, ``json``, ``cookies`` and each header (``content_type``).

    :param url: what to ask for.
    :param method: GET, POST, PUT, ...
    :param body: what to send; a mapping or list is written as ``body_format`` says.
    :param body_format: ``raw``, ``json`` or ``form-urlencoded``; sets Content-Type unless ``headers`` does.
    :param src: file to send: of the controller, or with ``remote_src`` of the host.
    :param remote_src: ``src`` is a file of the host.
    :param dest: file, or directory, the answer is written to.
    :param status_code: what counts as success.
    :param return_content: the answer as ``content``; JSON is read as ``json`` in any case.
    :param headers: additional headers.
    :param follow_redirects: ``safe`` (of GET and HEAD), ``all`` (``yes``), ``none`` (``no``) or ``urllib2``.
    :param creates: skip when this path exists.
    :param removes: skip when this path does not exist.
    :param timeout: seconds of each wait.
    :param url_username: for a server that asks.
    :param url_password: goes with it.
    :param force_basic_auth: send them unasked.
    :param force: ask caches on the way for a fresh answer.
    :param http_agent: what the request says it is.
    :param use_proxy: go through the proxy the environment names.
    :param use_netrc: a login may come from ``~/.netrc``.
    :param validate_certs: check the server's certificate.
    :param ca_path: file with the certificate authorities to trust.
    :param client_cert: file with a certificate to show.
    :param client_key: file with its key.
    :param ciphers: to offer, in OpenSSL's words.
    :param decompress: unpack an answer that was compressed on the way.
    :param unredirected_headers: names of headers only the first server gets.
    :param mode: permission bits of ``dest``.
    :param owner: user name or number.
    :param group: group name or number.
    """

    kind: ClassVar[str] = "uri"
    changes: ClassVar[bool] = False
    ALIASES: ClassVar[Mapping[str, str]] = {"user": "url_username", "password": "url_password"}
    EXAMPLE: ClassVar[str] = """\
- name: the service answers
  uri: {url: "http://127.0.0.1:8000/health", status_code: [200, 204]}
  register: health
  retries: 10
  until: health is succeeded
"""

    url: str
    method: str = "GET"
    body: Any = None
    body_format: Literal["form-urlencoded", "json", "raw"] = "raw"
    src: Optional[str] = field(default=None, metadata={"file": "sha256"})
    remote_src: bool = False
    dest: Optional[str] = None
    status_code: List[int] = field(default_factory=lambda: [200])
    return_content: bool = False
    headers: Dict[str, str] = field(default_factory=dict)
    follow_redirects: Literal["all", "no", "none", "safe", "urllib2", "yes"] = "safe"
    creates: Optional[str] = None
    removes: Optional[str] = None
    timeout: int = 30
    url_username: Optional[str] = None
    url_password: Optional[str] = None
    force_basic_auth: bool = False
    force: bool = False
    http_agent: str = "ansible-httpget"
    use_proxy: bool = True
    use_netrc: bool = True
    validate_certs: bool = True
    ca_path: Optional[str] = None
    client_cert: Optional[str] = None
    client_key: Optional[str] = None
    ciphers: Optional[List[str]] = None
    decompress: bool = True
    unredirected_headers: List[str] = field(default_factory=list)
    mode: Mode = None
    owner: Owner = None
    group: Owner = None
    sha256: Optional[str] = field(default=None, metadata={"internal": True})

    def __post_init__(self) -> None:
        Permission(self.owner, self.group, self.mode).desired()
        if self.body is not None and self.src is not None:
            raise ValueError("give either body or src")
        if not self.method.isalpha():
            raise ValueError(f"method {self.method!r} is not a word")
        if not self.status_code:
            raise ValueError("status_code is empty")

    def desired(self) -> State:
        return {"status": self.status_code[0]}

    def target(self, observed: State) -> State:
        status = (observed or {}).get("status")
        return {"status": status if status in self.status_code else self.status_code[0]}

    def observe(self, machine: Machine) -> State:
        if self.creates and machine.glob(machine.expanded(self.creates)):
            return {"status": self.status_code[0], "msg": f"not asked, since {self.creates} exists"}
        if self.removes and not machine.glob(machine.expanded(self.removes)):
            return {"status": self.status_code[0], "msg": f"not asked, since {self.removes} does not exist"}
        return {"status": None}

    def apply(self, machine: Machine, change: Change) -> State:
        kinds = {"json": "application/json", "form-urlencoded": "application/x-www-form-urlencoded"}
        headers = {"Content-Type": kinds[self.body_format]} if self.body_format in kinds else {}
        request = self.request(self.url, self.method.upper(), self._data(machine), headers)
        began = machine.now()
        try:
            answer = send(machine, request)
        except Broken as problem:  # a state, too: "until: result.status == 200" waits for it
            silent = {"status": -1, "url": self.url, "redirected": False, "content": "", "msg": str(problem)}
            return {**silent, "elapsed": int(machine.now() - began)}
        record = {**self._record(answer), "elapsed": int(machine.now() - began)}
        if self.dest is not None and answer.status in self.status_code:
            record["path"] = self._keep(machine, self.dest, answer)
        return record

    def _data(self, machine: Machine) -> Optional[bytes]:
        if self.src is not None:
            if self.remote_src:
                data = machine.read(machine.expanded(self.src))
                if data is None:
                    raise StepFailed(f"{self.src} does not exist")
                return data
            fetched = io.BytesIO()
            machine.fetch(str(self.sha256), fetched)
            return fetched.getvalue()
        if self.body is None:
            return None
        if self.body_format == "json" and not isinstance(self.body, str):
            return json.dumps(self.body).encode()
        if self.body_format == "form-urlencoded" and not isinstance(self.body, str):
            from urllib.parse import urlencode

            return urlencode(self.body, doseq=True).encode()
        return str(self.body).encode()

    def _record(self, answer: Answer) -> Dict[str, Any]:
        headers = {name.replace("-", "_"): value for name, value in answer.headers.items()}
        record: Dict[str, Any] = {
            **headers,
            "status": answer.status,
            "url": answer.url,
            "msg": f"{answer.reason} ({len(answer.body)} bytes)",
            "redirected": answer.url != self.url,
            "cookies": answer.cookies,
            "cookies_string": "; ".join(f"{name}={value}" for name, value in answer.cookies.items()),
        }
        kind, _, more = answer.headers.get("content-type", "").partition(";")
        if kind.strip().endswith(("/json", "+json")):
            try:
                record["json"] = _parsed(answer.body)
            except (ValueError, RecursionError):
                record["msg"] += "; what it calls JSON is not"
        if self.return_content or answer.status not in self.status_code:
            charset = more.partition("charset=")[2].split(";")[0].strip().strip('"') or "utf-8"
            try:
                record["content"] = answer.body.decode(charset, "replace")
            except (LookupError, ValueError):  # there are codecs that are none of texts
                record["content"] = answer.body.decode("utf-8", "replace")
        return record

    def _keep(self, machine: Machine, dest: str, answer: Answer) -> str:
        path = machine.expanded(dest)
        stat = machine.stat(path, follow=True)
        if stat is not None and stat.kind == "directory":
            path = posixpath.join(path, posixpath.basename(answer.url.split("?")[0]) or "index.html")
        permission = Permission(self.owner, self.group, self.mode)
        if machine.read(path) != answer.body:
            Placing(permission).put(machine, path, lambda file: file.write(answer.body))
        permission.apply(machine, path)
        return path


def _parsed(body: bytes) -> Any:
    """JSON that travels on as JSON. :raises ValueError: it is none, or too deep, or has numbers that are none."""
    found = json.loads(body)
    json.dumps(found, allow_nan=False)
    level: List[Any] = [[found]]
    for _ in range(DEEPEST):
        inner = (value for one in level for value in (one.values() if isinstance(one, dict) else one))
        level = [value for value in inner if isinstance(value, (dict, list))]
        if not level:
            return found
    raise ValueError("it is too deep")
