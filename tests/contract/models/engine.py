"""A model of the docker command line: volumes, networks, images and containers, with the engine's own refusals."""

# ruff: noqa: PTH103, PTH123
from __future__ import annotations

import os
import shutil
import sys
import time
import zlib

from state import dumps, fail, load, loads, options, save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VALUED = {
    "--format",
    "--filter",
    "--driver",
    "--name",
    "--opt",
    "--label",
    "--subnet",
    "--gateway",
    "--ip-range",
    "--input",
    "--tail",
    "--type",
    "--ipam-driver",
    "--scope",
    "-t",
    "--restart",
    "--alias",
    "--ip",
    "--time",
    "--output",
    "--change",
    "--pull",
    "--network",
    "--entrypoint",
    "--mount",
    "--user",
    "--volume",
    "--tmpfs",
    "-e",
}
HEALTHY_AFTER = 0.3  # seconds a container with a healthcheck is "starting"
KEEPS = ("volumes", "networks", "images", "containers")


def main(root: str, argv: list[str]) -> None:
    if argv[0].endswith("dockerd"):
        return validate(root, argv[2].partition("=")[2])
    state = load(root, "docker", {each: {} for each in KEEPS})
    if argv[1] == "compose":
        import composing

        return composing.main(root, state, argv[2:])
    if argv[1] == "create":
        import containers

        return containers.create(root, state, argv[2:])
    if argv[1] == "--config":
        import containers

        return containers.log_in_or_out(argv[2], argv[3:])
    found, rest = options(argv[1:], VALUED)
    if rest[1:2] == ["prune"]:
        import containers

        return containers.prune(root, state, rest[0], found)
    if rest[0] in ("start", "stop", "kill", "restart", "rm", "rename", "update", "wait"):
        import containers

        return containers.act(root, state, rest[0], rest[1:], found)
    verbs = {"volume": volume, "network": network, "image": image, "container": container}
    if rest[0] == "inspect" and found.get("--type") == ["container"]:
        return container(root, state, "inspect", rest[1:], found)
    if rest[0] in verbs:
        return verbs[rest[0]](root, state, rest[1], rest[2:], found)
    single = {"version": version, "info": info, "ps": ps, "pull": pull, "tag": tag, "load": load_images, "logs": logs}
    single |= {"save": save_images, "import": import_image, "exec": inside, "run": run, "diff": diff}
    return single[rest[0]](root, state, rest[1:], found)


def digest(value: Any) -> str:
    """64 hex digits, cheaply."""
    text = dumps(value).encode()
    return "".join(f"{zlib.crc32(text, start):08x}" for start in range(8))


def pairs(texts: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def matches(labels: dict[str, str], found: dict[str, list[str]]) -> bool:
    wanted = [one.partition("=")[2].partition("=") for one in found.get("--filter", []) if one.startswith("label=")]
    return all(labels.get(key) == value for key, _, value in wanted)


def volume(root: str, state: Any, verb: str, names: list[str], found: dict[str, list[str]]) -> None:
    volumes = state["volumes"]
    if verb == "ls":
        print("\n".join(name for name, row in volumes.items() if matches(row["Labels"] or {}, found)))
    elif verb == "inspect":
        print(dumps([volumes[name] for name in names]))
    elif verb == "create":
        add_volume(
            root,
            state,
            names[0],
            found.get("--driver", ["local"])[0],
            pairs(found.get("--opt", [])),
            pairs(found.get("--label", [])),
        )
    elif verb == "rm":
        for row in state["containers"].values():
            if names[0] in row["Volumes"]:
                fail(f"Error response from daemon: remove {names[0]}: volume is in use")
        shutil.rmtree(root + volumes.pop(names[0])["Mountpoint"].removesuffix("/_data"))  # with what is in it
        save(root, "docker", state)


def add_volume(root: str, state: Any, name: str, driver: str, opts: dict[str, str], labels: dict[str, str]) -> None:
    where = f"/var/lib/docker/volumes/{name}/_data"
    os.makedirs(root + where, exist_ok=True)
    row = {"Name": name, "Driver": driver, "Options": opts or None, "Labels": labels or None, "Mountpoint": where}
    state["volumes"].setdefault(name, row)
    save(root, "docker", state)


def network(root: str, state: Any, verb: str, names: list[str], found: dict[str, list[str]]) -> None:
    networks = state["networks"]
    if verb in ("connect", "disconnect"):
        import containers

        row = containers.named(state, names[1])
        if verb == "connect":
            containers.join(state, row, names[0], found.get("--alias", []), found.get("--ip", [""])[0])
        else:
            del row["NetworkSettings"]["Networks"][names[0]]
            row["Networks"].remove(names[0])
        save(root, "docker", state)
    elif verb == "ls":
        dangling = "dangling=true" in found.get("--filter", [])
        used = {name for row in state["containers"].values() for name in row["Networks"]} if dangling else set()
        rows = [row for name, row in networks.items() if name not in used and matches(row["Labels"], found)]
        print("\n".join(row["Id"][:12] for row in rows))
    elif verb == "inspect":
        print(dumps([row for row in networks.values() if row["Id"][:12] in names]))
    elif verb == "create":
        config = [{"Subnet": subnet} for subnet in found.get("--subnet", [])]
        for place, gateway in enumerate(found.get("--gateway", [])):
            config[place]["Gateway"] = gateway
        add_network(
            root, state, names[0], found["--driver"][0], config, pairs(found.get("--label", [])), "--internal" in found,
            pairs(found.get("--opt", [])),
        )  # fmt: skip
    elif verb == "rm":
        for row in state["containers"].values():
            if names[0] in row["Networks"]:
                fail(
                    f"Error response from daemon: error while removing network: network {names[0]} has active endpoints"
                )
        networks.pop(names[0])
        save(root, "docker", state)


def add_network(
    root: str, state: Any, name: str, driver: str, config: list[dict[str, str]], labels: dict[str, str],
    internal: bool = False, opts: Any = None,
) -> None:  # fmt: skip
    if name in state["networks"]:
        fail(f"Error response from daemon: network with name {name} already exists")
    for row in state["networks"].values() if config else ():
        import ipaddress

        for theirs in row["IPAM"]["Config"]:
            for mine in config:
                if ipaddress.ip_network(mine["Subnet"]).overlaps(ipaddress.ip_network(theirs["Subnet"])):
                    fail("Error response from daemon: Pool overlaps with other one on this address space")
    state["networks"][name] = {
        "Name": name, "Id": digest([name, config]), "Driver": driver, "Options": opts or {}, "Labels": labels,
        "Internal": internal, "Attachable": False, "IPAM": {"Driver": "default", "Config": config},
    }  # fmt: skip
    save(root, "docker", state)


def image(root: str, state: Any, verb: str, names: list[str], found: dict[str, list[str]]) -> None:
    if verb == "ls" and ("-q" in found or "--quiet" in found):
        labels = load(root, "image_labels", {})
        print("\n".join(id for ref, id in state["images"].items() if matches(labels.get(ref, {}), found)))
    elif verb == "ls":
        for ref, id in state["images"].items():
            name, mark, tag = ref.rpartition("@" if "@" in ref else ":")
            known = {"Tag": "<none>", "Digest": tag} if mark == "@" else {"Tag": tag, "Digest": "<none>"}
            print(dumps({"Repository": name, "ID": id, **known}))
    elif verb == "inspect":
        ids = {**state["images"], **{id: id for id in state["images"].values()}}
        if missing := [name for name in names if name not in ids]:
            fail(f"Error: No such image: {missing[0]}")
        envs, layers = load(root, "image_env", {}), load(root, "image_layers", {})
        print(
            dumps(
                [
                    {
                        "Id": ids[name],
                        "RootFS": {"Layers": layers.get(ids[name], [ids[name]])},
                        "Config": {"Env": envs.get(name), "WorkingDir": ""},
                    }
                    for name in names
                ]
            )
        )
    elif verb == "rm":
        refs = [ref for ref, id in state["images"].items() if names[0] in (ref, id)]
        if not refs:
            fail(f"Error response from daemon: No such image: {names[0]}")
        for ref in refs:
            del state["images"][ref]
        save(root, "docker", state)


def pull(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    registry = load(root, "registry", {})
    if names[0] not in registry:
        fail(f"Error response from daemon: manifest for {names[0]} not found")
    state["images"][names[0]] = registry[names[0]]
    save(root, "docker", state)


def tag(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    ids = {**state["images"], **{id: id for id in state["images"].values()}}
    if names[0] not in ids:
        fail(f"Error response from daemon: No such image: {names[0]}")
    state["images"][names[1]] = ids[names[0]]
    save(root, "docker", state)


def load_images(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    """An archive of this model is a JSON object: image -> id."""
    with open(root + found["--input"][0]) if "--input" in found else sys.stdin as file:
        state["images"].update(loads(file.read()))
    save(root, "docker", state)


def save_images(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    with open(root + found["--output"][0], "w") as file:
        ids = {**state["images"], **{id: id for id in state["images"].values()}}
        file.write(dumps({name: ids[name] for name in names}))


def import_image(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    state["images"][names[1]] = "sha256:" + digest(names[1])
    label = found["--change"][0].partition(" ")[2]
    save(root, "image_labels", {**load(root, "image_labels", {}), names[1]: pairs([label])})
    save(root, "docker", state)


def inside(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    """What a program in a container says is not this engine's."""


def diff(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    """What a container wrote into its own layer, as ``diffs`` has it."""
    print("\n".join(load(root, "diffs", {}).get(names[0], [])))


def run(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    """The words that containers of this image say, as ``said`` has them: always these, or by a word of the command."""
    name = names[0].partition(":")[0]
    if "tries-whether" in str(found.get("--entrypoint")):
        broken = load(root, "broken", {}).get(names[0], "")
        fail(f"docker: Error response from daemon: {broken or 'no such file or directory'}", 125 if broken else 127)
    sys.stdin.read()
    for word, code in load(root, "refuses", {}).get(names[0], {}).items():
        if word in " ".join(names):
            fail("docker: Error response from daemon: it cannot", code)
    said = load(root, "said", {}).get(name, "")
    words = " ".join([*names, *found])
    print(said if isinstance(said, str) else next((text for word, text in said.items() if word in words), ""))


def container(root: str, state: Any, verb: str, names: list[str], found: dict[str, list[str]]) -> None:
    known = {row["Name"][1:]: row for row in state["containers"].values()}
    rows = [known.get(name) or state["containers"].get(name) for name in names]
    print(dumps([seen(row) for row in rows if row]))
    if not all(rows):
        fail("Error response from daemon: No such container", 1)


def seen(row: dict[str, Any]) -> dict[str, Any]:
    """A container as it is now: health comes with time."""
    state = {**row["State"], "Running": row["State"]["Status"] == "running"}
    if row["Health"] and state["Status"] == "running":
        early = time.time() - row["Started"] < HEALTHY_AFTER
        state["Health"] = {"Status": "starting" if early else row["Health"], "Log": [{"Output": row["Checked"]}]}
    return {**row, "State": state}


def ps(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    for id, row in state["containers"].items():
        ids = {name: state["networks"][name]["Id"] for name in row["Networks"] if name in state["networks"]}
        wanted = [one.partition("=")[2] for one in found.get("--filter", []) if one.startswith("network=")]
        named = [one.partition("=")[2] for one in found.get("--filter", []) if one.startswith("name=")]
        is_named = all(row["Name"] == "/" + one[3:-1].replace("\\", "") for one in named)  # ^/?NAME$
        statuses = [one.partition("=")[2] for one in found.get("--filter", []) if one.startswith("status=")]
        is_named = is_named and (not statuses or row["State"]["Status"] in statuses)
        in_them = all(one in ids.values() or one in ids for one in wanted)
        mounted = [one.partition("=")[2] for one in found.get("--filter", []) if one.startswith("volume=")]
        ends = {end for mount in row.get("Mounts", []) for end in (mount.get("Name"), mount["Source"])}
        is_named = is_named and all(one in ends for one in mounted)
        if is_named and matches(row["Config"]["Labels"], found) and in_them:
            name, form = row["Name"].lstrip("/"), found.get("--format", [])
            labels = ",".join(f"{key}={value}" for key, value in row["Config"]["Labels"].items())
            print(dumps({"Names": name, "Labels": labels}) if form == ["json"] else name if form else id)


def logs(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    print("\n".join(state["containers"][names[0]]["Log"].splitlines()[-int(found["--tail"][0]) :]))


def version(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    print(dumps({"Version": load(root, "versions", {}).get("engine", "26.1.5+dfsg1")}))


def info(root: str, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    told = {"ServerVersion": "26.1.5", "DockerRootDir": "/var/lib/docker", "ID": "an-engine"}
    print(dumps(told) if found.get("--format") == ["json"] else told["DockerRootDir"])


def validate(root: str, path: str) -> None:
    with open(root + path) as file:
        unknown = set(loads(file.read())) - {
            "live-restore",
            "log-driver",
            "log-opts",
            "data-root",
            "debug",
            "default-address-pools",
        }
    if unknown:
        fail(f"unable to configure the Docker daemon with file {path}: unknown options: {', '.join(unknown)}")
    print("configuration OK", file=sys.stderr)
