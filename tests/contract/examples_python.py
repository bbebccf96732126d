"""Python packages."""

from __future__ import annotations

from collections.abc import Callable

from example import Example
from world import World

PIP = ("pip3", "pip")


def python(packages: dict[str, str] | None = None, **files: str) -> Callable[[World], None]:
    """A host with these packages, and an index that offers newer ones."""

    def prepare(world: World) -> None:
        world.model("pips", {"/usr": packages or {}})
        world.model("python", {"flask": "3.1", "redis": "5.2", "idna": "3.10"})
        for name, text in files.items():
            world.write(f"srv/{name}.txt", text)

    return prepare


EXAMPLES: tuple[Example, ...] = (
    Example("installs", "pip", {"name": ["flask", "redis==5.0"]}, python(), tools=PIP),
    Example("at-least", "pip", {"name": "flask>=3,<4,idna"}, python({"flask": "2.0"}), tools=PIP),
    Example("version", "pip", {"name": "redis", "version": "4.6"}, python({"redis": "5.2"}), tools=PIP),
    Example("latest", "pip", {"name": "flask", "state": "latest"}, python({"flask": "3.0"}), tools=PIP),
    Example("absent", "pip", {"name": "flask", "state": "absent"}, python({"flask": "3.0"}), tools=PIP),
    Example("again", "pip", {"name": "flask", "state": "forcereinstall"}, python(), deed=True, tools=PIP),
    Example(
        "in-an-environment",
        "pip",
        {"requirements": "/srv/all.txt", "virtualenv": "/venv", "break_system_packages": True},
        python(all="# all\nflask==3.0\n-r more.txt\n", more="idna ; python_version > '3'\n"),
        tools=("virtualenv",),
    ),
    Example("environment-only", "pip", {"virtualenv": "/venv"}, python(), tools=("virtualenv",)),
    Example(
        "what-only-pip-knows",
        "pip",
        {"requirements": "/srv/all.txt"},
        python({"flask": "3.0"}, all="flask\nidna ; python_version > '3'\n"),
        tools=PIP,
    ),
)
