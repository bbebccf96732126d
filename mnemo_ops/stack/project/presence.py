"""Whether everything that a project names is where Compose will look for it on the host, before anything is stopped."""

from __future__ import annotations

import os.path
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.paths import shown
from mnemo_ops.errors import InventoryError
from mnemo_ops.stack.project.places import Named

_DIRECTORY = re.compile(r"/$|\.(?:d|com|org|net|io|git)$")  # despite the ending
_ENDINGS = (  # not those of countries, like pl: sites are called so
    "acl asc bash bin cer cert cf cfg cjs cnf conf config cron crt csr css csv dat db der dist dtd dump env erl "
    "example exs gif go gotmpl gpg graphql gz hbs hcl htaccess htm html htpasswd ico inc ini j2 jar jinja jks jpeg "
    "jpg js json json5 kdl key ldif list lock log lua map md mjs mmdb mustache nft ovpn p12 pdf pem pfx php pid png "
    "properties proto ps1 pub py rb rdb rego repo rules sample schema service sh sock sql sqlite sqlite3 svg tar "
    "tcl template tgz tmpl toml tpl ts tsv txt vcl war wasm webp woff xml xsd xsl xz yaml yml zip zone zst"
).replace(" ", "|")
_FILE = re.compile(
    rf"[^/]\.(?:{_ENDINGS})$|(?:^|/)(?:\w+file|hosts|passwd|group|crontab|\.env(?:\.\w+)?)$",
    re.IGNORECASE,
)


def above(one: str, other: str, same: bool = False) -> bool:
    """Whether a path lies below another one; both as :func:`below` says them."""
    return same if one == other else one == "." or other.startswith(f"{one}/")


def below(source: Path, path: Path) -> Optional[str]:
    """Relative to the source, ``.`` for itself; ``None``: it lies outside."""
    inside = path == source or source in path.parents
    return path.relative_to(source).as_posix() if inside else None


def leads_out(source: Path, path: Path) -> bool:
    """Whether a link in the source leads to something outside of it."""
    return below(real(source), real(path)) is None


def real(path: Path) -> Path:
    """Behind every link, also where links go in a circle."""
    return Path(os.path.realpath(path))


def looks_like_a_file(each: Named) -> bool:
    """Of what does not exist: by its name, or by that of what it is mounted at."""
    names = [name for name in (each.text, each.target) if name]
    return not any(_DIRECTORY.search(name) for name in names) and any(_FILE.search(name) for name in names)


def check(source: Path, named: Iterable[Named], placed: Collection[str], data: Collection[str]) -> list[str]:
    """Sentences for the operator about what Docker will make of what is missing.

    :param placed: paths below the project's directory that the deploy puts there by other means.
    :param data: those that are known to be data: what is missing there begins empty.
    :raises InventoryError: a named file is missing or cannot travel; with the compose file and its line (2).
    """
    one = _Check(source, placed, data)
    return list(dict.fromkeys(said for each in named if (said := one.look(each))))


@dataclass(frozen=True)
class _Check:
    source: Path
    placed: Collection[str]
    data: Collection[str]

    def look(self, each: Named) -> str:
        path = below(self.source, each.path)
        if path is None:
            return self._outside(each)
        if any(above(path, one, True) for one in self.placed):
            return ""
        return self._fits(each) if each.path.exists() else self._missing(each, path)

    def _missing(self, each: Named, path: str) -> str:
        made = each.made or (each.writable and each.needed and each.what == "mount")  # by Docker, or by the deploy
        if made and not looks_like_a_file(each):
            if any(above(one, path, True) for one in self.data):
                return ""
            said = f"does not exist: a host that lacks it mounts an empty directory at {each.target}"
            return f"{each.where}: {each.text} {said}"
        if each.needed and each.what != "volume":
            why = "; Docker would make an empty directory in its place" if each.made else ""
            raise self._refusal(each, f"does not exist in {shown(self.source)}{why}")
        return ""

    def _outside(self, each: Named) -> str:
        if each.writable and not each.path.is_file() and not looks_like_a_file(each):
            return f"{each.where}: {each.text} lies outside of the project: the host keeps what it has there"
        if each.needed:
            hint = (
                f"move it into {shown(self.source)} and name it there: deploy writes only below the stack's directory"
            )
            raise self._refusal(each, f"lies outside of {shown(self.source)}", hint)
        return ""

    def _fits(self, each: Named) -> str:
        if not each.needed:
            return ""
        if leads_out(self.source, each.path):
            raise self._refusal(each, f"is a link that leads out of {shown(self.source)}")
        if each.what == "build context" and not each.path.is_dir():
            raise self._refusal(each, "is not a directory")
        if each.what not in ("mount", "volume", "build context") and not each.path.is_file():
            raise self._refusal(each, "is not a file")
        return ""

    def _refusal(self, each: Named, problem: str, hint: str = "") -> InventoryError:
        what = f"mounted at {each.target}" if each.target else each.what
        remedy = hint or f"put it into {shown(self.source)}, or correct {each.where}"
        return InventoryError(f"{each.text} ({what}) {problem}", where=each.where, hint=remedy)
