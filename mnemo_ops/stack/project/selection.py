"""Which files of the source travel: not versions, not what is ignored, not the state that containers write."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Optional

from mnemo_ops.stack.project import ignoring
from mnemo_ops.stack.project.ignoring import Ignored
from mnemo_ops.stack.project.places import Named
from mnemo_ops.stack.project.presence import above, below, leads_out, looks_like_a_file, real
from mnemo_ops.stack.project.private import is_key, is_ours
from mnemo_ops.stack.project.reading import Project

VERSIONS = (".git", ".hg", ".svn", ".bzr", ".jj", "CVS")
IGNORE = ".mnemoignore"


class Selection:
    """The choice for one project. Paths are relative to the source.

    :attr:`named`: files that the project names: they travel wherever they lie; :attr:`secrets`: env files and secrets
    among them. :attr:`state`: directories that containers write into: the host's content stays. :attr:`seeds`:
    directories in the state whose content the project needs all the same: what the host does not have travels.
    :attr:`keys`: private keys that stay here.
    """

    def __init__(self, source: Path, project: Project, apart: Collection[Path]) -> None:
        """:param apart: paths of this machine that never travel."""
        self._source, self._apart = source, apart
        self.keys: dict[str, None] = {}
        secrets = [below(source, each.path) for each in project.named if each.what in ("secret", "env_file")]
        self.secrets = {path for path in secrets if path is not None}
        mounted = [below(source, each.path) for each in project.named if each.what in ("mount", "volume")]
        self._mounted = [path for path in mounted if path is not None]
        self._ignored = ignoring.read(source / IGNORE)
        contexts = [(below(source, one), _ignored(one, file)) for one, file in project.builds.values()]
        self._contexts: list[tuple[str, Ignored]] = [(path, rules) for path, rules in contexts if path is not None]
        self.state = self._written(project)  # with what is written within a context that is written itself
        self.named = self._named(project)
        self._read = self._folders(project)
        self.seeds = [path for path in self._read if self.in_state(path) and path not in self.state]
        self.seeds += [path for path, _ in self._contexts if self.in_state(path)]
        self.seeds += [path for path in self.state if self._ignored.last(path) is False]

    def _written(self, project: Project) -> dict[str, Named]:
        """Those above stand for those in them, unless an image is built of what is between."""
        found: dict[str, Named] = {}
        for each in project.named:
            path = below(self._source, each.path)
            folder = each.path.is_dir() or not (each.path.exists() or looks_like_a_file(each))
            if each.writable and path is not None and folder:
                found.setdefault(path, each)

        def covered(path: str) -> bool:
            around = [one for one in found if above(one, path)]
            return any(
                not any(above(one, each, True) and above(each, path) for each, _ in self._contexts) for one in around
            )

        return {path: each for path, each in found.items() if not covered(path)}

    def _named(self, project: Project) -> dict[str, Named]:
        own = [Named(path, "compose file", "", path.name) for path in project.files]
        rules = [Named(one / ".dockerignore", "ignored", "", "") for one, _ in project.builds.values()]
        rules += [
            Named(file.with_name(f"{file.name}.dockerignore"), "ignored", "", "")
            for _, file in project.builds.values()
            if file is not None
        ]
        found: dict[str, Named] = {}
        for each in (*rules, *own, *project.named):
            path = below(self._source, each.path)
            if path is not None and each.path.is_file() and not (path in found and found[path].target):
                found[path] = each  # one that is mounted, too, is most of all that
        return found

    def _folders(self, project: Project) -> list[str]:
        """Directories that are read as a whole, whatever a build leaves out of them."""
        own = [path for path, _ in self._contexts]
        paths = [below(self._source, each.path) for each in project.named if each.path.is_dir() and not each.writable]
        return [path for path in dict.fromkeys(paths) if path is not None and path not in own]

    def in_state(self, path: str) -> bool:
        return any(above(one, path, True) for one in self.state)

    def _nearest(self, path: str) -> str:
        """The directory of the state that it lies in."""
        return max((one for one in self.state if above(one, path, True)), key=lambda one: (one != ".", len(one)))

    def built(self, path: str) -> bool:
        """Whether it lies in the state, and an image is built of it there: containers have their source mounted."""
        return self.in_state(path) and any(
            above(one, path) and above(self._nearest(path), one, True) for one, _ in self._contexts
        )

    def files(self, folder: str = "", inside: tuple[Path, ...] = ()) -> Iterator[str]:
        """Paths of what travels, sorted. :param inside: directories around this one: a link may lead back."""
        here = self._source / folder
        if real(here) in inside:
            return
        for entry in sorted(here.iterdir()):
            path = posixpath.join(folder, entry.name)
            if leads_out(self._source, entry) or entry.name in VERSIONS:
                continue
            if entry.is_dir():
                if self._travels(path, folder=True) or any(above(path, one) for one in self.named):
                    yield from self.files(path, (*inside, real(here)))
            elif entry.is_file() and (path in self.named or (self._travels(path) and not self._withheld(path))):
                yield path

    def is_read(self, path: str) -> bool:
        """Whether a container may read it: it is mounted, it lies below what is, or an image is built of it."""
        if any(above(one, path, True) for one in self._mounted):
            return True
        return any(above(one, path) and not rules(posixpath.relpath(path, one)) for one, rules in self._contexts)

    def _withheld(self, path: str) -> bool:
        """Whether it is a private key that nobody names, neither itself nor a directory that it is read from."""
        mounted = any(above(one, path) for one in self._read if one != ".")
        if mounted or self._ignored.last(path) is False or not is_key(self._source / path):
            return False
        self.keys[path] = None
        return True

    def _travels(self, path: str, folder: bool = False) -> bool:
        """:param folder: whether something below it may travel."""

        def around(one: str) -> bool:
            return above(one, path, True) or (folder and above(path, one))

        if is_ours(posixpath.basename(path)) and not any(around(one) for one in self._read if one != "."):
            return False
        if self._source / path in self._apart or (self._ignored(path) and not (folder and self._ignored.excepts)):
            return False
        if self.in_state(path):
            nearest = self._nearest(path)
            if not any(around(one) for one in self.seeds if above(nearest, one, True)):
                return False
        mine = [(one, rules) for one, rules in self._contexts if above(one, path, True)]
        out = [rules(posixpath.relpath(path, one)) and not (folder and rules.excepts) for one, rules in mine]
        return not mine or not all(out) or any(around(one) for one in self._read if one not in self.state)


def _ignored(context: Path, dockerfile: Optional[Path]) -> Ignored:
    """What a build leaves out: a file beside the Dockerfile goes before that of the context."""
    own = dockerfile.with_name(f"{dockerfile.name}.dockerignore") if dockerfile else context
    return ignoring.read(own if own.is_file() else context / ".dockerignore")
