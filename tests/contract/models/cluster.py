"""A model of gluster: peers and volumes of the one daemon it is asked of; every host answers but those that are off."""

from __future__ import annotations

from state import load, save

DEFAULTS = {"transport.address-family": "inet", "nfs.disable": "on"}


def main(root: str, argv: list[str]) -> None:
    words = [word for word in argv[1:] if not word.startswith("--")]
    peers, volumes = load(root, "peers", []), load(root, "gluster", {})
    if words[:2] == ["peer", "status"]:
        row = "<peer><hostname>{0}</hostname><hostnames><hostname>{0}</hostname></hostnames><connected>1</connected>"
        return answer("".join(row.format(peer) + "<state>3</state></peer>" for peer in peers))
    if words[:2] == ["peer", "probe"]:
        if words[2] in load(root, "off", []):
            return answer(why="Probe returned with Transport endpoint is not connected")
        save(root, "peers", [*peers, words[2]])
        return answer()
    if words[:2] == ["volume", "info"]:
        return answer("".join(volume(name, one) for name, one in volumes.items()))
    return change(root, volumes, words[1], words[2], words[3:])


def change(root: str, volumes: dict[str, dict[str, object]], verb: str, name: str, words: list[str]) -> None:
    one = volumes.get(name)
    if (one is None) != (verb == "create"):
        return answer(why=f"Volume {name} {'does not exist' if one is None else 'already exists'}")
    if one is None:
        copies = int(words[1]) if words[0] == "replica" else 1
        bricks = [word for word in words if ":/" in word]
        if any(":/root" in brick for brick in bricks) and words[-1] != "force":
            return answer(why="The brick is being created in the root partition.")
        volumes[name] = {"status": 0, "copies": copies, "bricks": bricks, "options": dict(DEFAULTS)}
    elif verb == "set":
        one["options"][words[0]] = words[1]  # type: ignore[index]
    else:
        wanted = 1 if verb == "start" else 2
        if one["status"] == wanted or (verb == "stop" and one["status"] == 0):
            return answer(why=f"Volume {name} is in that state")
        one["status"] = wanted
    save(root, "gluster", volumes)
    return answer()


def volume(name: str, one: dict[str, object]) -> str:
    bricks = "".join(f"<brick>{each}<name>{each}</name></brick>" for each in one["bricks"])  # type: ignore[attr-defined]
    rows = one["options"].items()  # type: ignore[attr-defined]
    options = "".join(f"<option><name>{key}</name><value>{value}</value></option>" for key, value in rows)
    about = f"<name>{name}</name><status>{one['status']}</status><replicaCount>{one['copies']}</replicaCount>"
    return f"<volume>{about}<bricks>{bricks}</bricks><options>{options}</options></volume>"


def answer(said: str = "", why: str = "") -> None:
    print(f"<cliOutput><opRet>{-1 if why else 0}</opRet><opErrstr>{why}</opErrstr>{said}</cliOutput>")
