"""HTTP as the host speaks it: one request, its redirects, its answer."""

from __future__ import annotations

from typing import IO, Any, Dict, List, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.machine import CHUNK, Machine
from mnemo_ops.errors import Broken, MnemoError, reason

MOST = 64 * CHUNK  # bytes of an answer that goes into no file


@dataclass(frozen=True)
class Request:
    """What is asked. ``timeout`` in seconds, of each wait.

    :param follow: redirects to follow: ``all``, ``safe`` (of GET and HEAD), ``urllib2`` (as Python does) or ``none``.
    :param unredirected: names of headers that only the first server gets.
    :param login: user and password, answered to a server that asks; ``at_once``: sent unasked.
    :param netrc: a login may come from ``~/.netrc``.
    :param proxy: use the proxies the environment names.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Optional[bytes] = None
    timeout: float = 30.0
    follow: str = "urllib2"
    unredirected: Tuple[str, ...] = ()
    login: Optional[Tuple[str, str]] = None
    at_once: bool = False
    netrc: bool = True
    proxy: bool = True
    decompress: bool = True
    verify: bool = True
    ca_path: Optional[str] = None
    client_cert: Optional[str] = None
    client_key: Optional[str] = None
    ciphers: Optional[str] = None


@dataclass(frozen=True)
class Answer:
    """What came back. ``body`` is empty when it went into a file; names of ``headers`` are in lower case."""

    status: int
    reason: str
    url: str
    headers: Dict[str, str]
    cookies: Dict[str, str]
    body: bytes = b""


def send(machine: Machine, request: Request, into: Optional[IO[bytes]] = None) -> Answer:
    """Send a request and read the answer, whatever its status; a good one's body goes ``into`` a file, if given.

    :raises Broken: no answer at all, or half a one (6).
    """
    import gzip
    import http.cookiejar
    import urllib.error
    import urllib.request

    try:
        url, login = _without_login(request)
        asked = urllib.request.Request(url, data=request.body, method=request.method)
    except ValueError as error:
        raise Broken(f"this is not a URL: {error}") from None
    login = login or _from_netrc(machine, request, asked.host or "")
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(*_handlers(machine, request, asked.host or "", jar, login))
    opener.addheaders = []
    hidden = {name.lower() for name in request.unredirected}
    headers = {**(_basic(login) if login and request.at_once else {}), **request.headers}
    for name, value in headers.items():
        add = asked.add_unredirected_header if name.lower() in hidden else asked.add_header
        add(name, str(value))
    try:
        try:
            answer: Any = opener.open(asked, timeout=request.timeout)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        status = answer.status or 200  # file: and ftp: have none
        with answer:
            packed = request.decompress and answer.headers.get("Content-Encoding", "") == "gzip"
            source: IO[bytes] = gzip.GzipFile(fileobj=answer) if packed else answer  # type: ignore[assignment]
            body = b""
            if into is not None and status < 300:
                for chunk in iter(lambda: source.read(CHUNK), b""):
                    into.write(chunk)
            else:
                for chunk in iter(lambda: source.read(CHUNK), b""):
                    body += chunk
                    if len(body) > MOST:
                        raise Broken(
                            f"{url} answers with more than {MOST >> 20} MiB", hint="get_url downloads large files"
                        )
            if getattr(answer, "length", None):
                raise EOFError(f"it ended {answer.length} bytes before its end")
    except MnemoError:
        raise
    except Exception as error:  # whatever urllib stumbles over in what a server says; the list of that has no end
        raise Broken(f"{url} does not answer: {reason(error)}") from None
    found = {name.lower(): value for name, value in answer.headers.items()}
    cookies = {cookie.name: cookie.value or "" for cookie in jar}
    return Answer(status, getattr(answer, "reason", ""), answer.geturl(), found, cookies, body)


def _handlers(machine: Machine, request: Request, host: str, jar: Any, login: Optional[Tuple[str, str]]) -> List[Any]:
    import urllib.request

    handlers = [
        urllib.request.ProxyHandler(_proxies(machine, host) if request.proxy else {}),
        urllib.request.HTTPCookieProcessor(jar),
        urllib.request.HTTPSHandler(context=_tls(machine, request)),
        _redirects(request),
    ]
    if login and not request.at_once:
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, request.url.partition("://")[0] + "://" + host, *login)
        handlers += _answers_to_who(known, request.url.startswith("https:"))
    return handlers


def _proxies(machine: Machine, host: str) -> Dict[str, str]:
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    known = {name.lower(): value for name, value in machine.environment().items() if value}
    if proxy_bypass_environment(host, {"no": known.get("no_proxy", "")}):
        return {}
    return {name[:-6]: value for name, value in known.items() if name.endswith("_proxy") and name != "no_proxy"}


def _tls(machine: Machine, request: Request) -> Any:
    import ssl

    context = ssl.create_default_context(cafile=machine.path(request.ca_path) if request.ca_path else None)
    if not request.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if request.client_cert:
        key = machine.path(request.client_key) if request.client_key else None
        context.load_cert_chain(machine.path(request.client_cert), key)
    if request.ciphers:
        context.set_ciphers(request.ciphers)
    return context


def _from_netrc(machine: Machine, request: Request, host: str) -> Optional[Tuple[str, str]]:
    if not request.netrc or any(name.lower() == "authorization" for name in request.headers):
        return None
    import netrc

    environment = machine.environment()
    where = environment.get("NETRC") or environment.get("HOME", "/root") + "/.netrc"
    try:
        found = netrc.netrc(machine.path(where)).authenticators(host.partition(":")[0])
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2] or "") if found else None


def shown(url: str) -> str:
    """The URL without its login, for messages."""
    return _without_login(Request(url))[0]


def _without_login(request: Request) -> Tuple[str, Optional[Tuple[str, str]]]:
    """The URL without ``user:password@``, and the login."""
    from urllib.parse import unquote, urlsplit, urlunsplit

    parts = urlsplit(request.url)
    given, at, host = parts.netloc.rpartition("@")
    if not at:
        return request.url, request.login
    user, _, password = given.partition(":")
    return urlunsplit(parts._replace(netloc=host)), request.login or (unquote(user), unquote(password))


def _basic(login: Tuple[str, str]) -> Dict[str, str]:
    import base64

    return {"Authorization": "Basic " + base64.b64encode(":".join(login).encode()).decode()}


def _answers_to_who(known: Any, secret: bool) -> List[Any]:
    """Handlers that log in when a server asks who it is; urllib's own leave the question's connection open.

    :param secret: not where anybody could read it.
    """
    import urllib.error
    import urllib.request

    class Asked(urllib.request.BaseHandler):
        def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
            if secret and req.type != "https":
                return None
            try:
                answer = super().http_error_401(req, fp, code, msg, headers)  # type: ignore[misc]
            except urllib.error.HTTPError:
                fp.close()
                raise
            if answer is not None:
                fp.close()
            return answer

    class Basic(Asked, urllib.request.HTTPBasicAuthHandler):
        pass

    class Digest(Asked, urllib.request.HTTPDigestAuthHandler):
        pass

    return [Basic(known), Digest(known)]


def _redirects(asked: Request) -> Any:
    """The handler that follows what ``asked`` allows; a login is told to no other host."""
    import urllib.request
    from urllib.parse import urlsplit

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            method, body = req.get_method(), req.data
            if asked.follow == "none" or (asked.follow == "safe" and method not in ("GET", "HEAD")):
                return None
            if asked.follow == "urllib2":
                new = super().redirect_request(req, fp, code, msg, headers, newurl)
            else:
                if code == 303 or (code in (301, 302) and method == "POST"):
                    method, body = ("HEAD" if method == "HEAD" else "GET"), None
                new = urllib.request.Request(newurl, data=body, headers=dict(req.headers), method=method)
                if body is None:
                    new.headers = {k: v for k, v in new.headers.items() if not k.lower().startswith("content-")}
            old, to = urlsplit(req.full_url), urlsplit(newurl)
            if new is not None and (to.netloc != old.netloc or to.scheme != old.scheme == "https"):
                new.remove_header("Authorization")
            return new

        def http_error_308(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
            return self.http_error_302(req, fp, code, msg, headers)  # Python learnt it in 3.11

    return Redirects()
