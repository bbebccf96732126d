"""Requests of get_url, uri and unarchive: the arguments they share, as a request."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional

from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.system.http import Request


class Web(Resource):
    """Each kind is a dataclass with these fields."""

    url: str
    headers: Dict[str, str]
    timeout: int
    url_username: Optional[str]
    url_password: Optional[str]
    force_basic_auth: bool
    http_agent: str
    use_proxy: bool
    use_netrc: bool
    validate_certs: bool
    client_cert: Optional[str]
    client_key: Optional[str]
    ciphers: Optional[List[str]]
    decompress: bool
    unredirected_headers: List[str]
    force: bool
    ca_path: Optional[str] = None
    follow_redirects: str = "urllib2"

    def request(
        self, url: str, method: str = "GET", body: Optional[bytes] = None, headers: Optional[Mapping[str, str]] = None
    ) -> Request:
        given = {name.lower() for name in self.headers}
        own = {
            "User-Agent": self.http_agent,
            **({"cache-control": "no-cache"} if self.force else {}),
            **(headers or {}),
        }
        return Request(
            url,
            method,
            {**{name: value for name, value in own.items() if name.lower() not in given}, **self.headers},
            body,
            self.timeout,
            {"yes": "all", "no": "none"}.get(self.follow_redirects, self.follow_redirects),
            tuple(self.unredirected_headers),
            None if self.url_username is None else (self.url_username, self.url_password or ""),
            self.force_basic_auth,
            self.use_netrc,
            self.use_proxy,
            self.decompress,
            self.validate_certs,
            self.ca_path,
            self.client_cert,
            self.client_key,
            ":".join(self.ciphers) if self.ciphers else None,
        )
