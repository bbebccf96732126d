"""A model of update-alternatives: names in alternatives.json."""

from __future__ import annotations

from state import fail, load, save


def main(root: str, argv: list[str]) -> None:
    verb, *words = argv[1:]
    groups = load(root, "alternatives", {})
    name = words[1] if verb == "--install" else words[0]
    if verb != "--install" and name not in groups:
        fail(f"update-alternatives: error: no alternatives for {name}", 2)
    if verb == "--install":
        group = groups.setdefault(name, {"link": words[0], "mode": "auto", "value": "", "paths": {}})
        group["paths"][words[2]] = int(words[3])
    group = groups[name]
    if verb == "--remove":
        group["paths"].pop(words[1], None)
        if group["value"] == words[1]:
            group["mode"] = "auto"
    elif verb == "--set":
        group.update(mode="manual", value=words[1])
    elif verb == "--auto":
        group["mode"] = "auto"
    elif verb == "--query":
        print(f"Name: {name}\nLink: {group['link']}\nStatus: {group['mode']}\nValue: {group['value']}")
        for path, priority in group["paths"].items():
            print(f"\nAlternative: {path}\nPriority: {priority}")
        return
    if group["mode"] == "auto":
        group["value"] = max(group["paths"], key=lambda path: int(group["paths"][path]), default="")
    if not group["paths"]:
        del groups[name]
    save(root, "alternatives", groups)
