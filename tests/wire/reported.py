"""What deeds may report, and lies about it, both made of the forms that are declared: transport/answers.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from liar import ANY, DIGESTS, ODD

from mnemo_ops.agent.base import validators
from mnemo_ops.agent.base.validators import Parse
from mnemo_ops.transport import answers

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhY"
RUNS = ("20261129T220719Z-f5d5", "20261128T220719Z-0001")
NAMES = st.sampled_from(["a", "postgres.dump", "api", "lightrag_data", "Grüße", *RUNS])
SUMS = st.sampled_from(DIGESTS)
SIZES = st.integers(0, 5) | st.integers(0, (1 << 63) - 1)
TREE = st.fixed_dictionaries({"kind": st.sampled_from(["files", "redis", "config"]), "bytes": SIZES, "sha256": SUMS})
DATABASE = st.fixed_dictionaries(
    {
        **{"kind": st.just("postgres"), "bytes": SIZES, "major": st.integers(13, 18)},
        **dict.fromkeys(("encoding", "collate", "ctype", "provider", "locale", "rules"), NAMES),
        **dict.fromkeys(("extensions", "tables", "sequences"), st.dictionaries(NAMES, NAMES, max_size=2)),
        **{"needed_roles": st.lists(NAMES, max_size=2), "matviews": st.just({})},
    }
)
_ONE = st.fixed_dictionaries(
    {
        **{"bytes": SIZES, "public": st.booleans()},
        **dict.fromkeys(("encoding", "collate", "ctype", "provider", "locale", "rules"), NAMES),
        "extensions": st.dictionaries(
            NAMES, st.fixed_dictionaries(dict.fromkeys(("name", "version", "schema", "owner"), NAMES)), max_size=2
        ),
    }
)
_COUNTS = st.dictionaries(
    NAMES.map("rows of {}".format) | NAMES, st.sampled_from(["7 (0:0)", "9" * 99, "x"]), max_size=3
)
CLUSTER = st.dictionaries(NAMES, _ONE, min_size=1, max_size=3).flatmap(
    lambda databases: st.fixed_dictionaries(
        {
            **{"kind": st.just("postgres"), "major": st.integers(13, 18), "checksums": st.booleans(), "cron": NAMES},
            **dict.fromkeys(("bytes", "segment", "uid", "gid"), SIZES),
            **dict.fromkeys(("version", "superuser", "user", "mode", "preloaded", "data", "programs"), NAMES),
            **{"roles": st.lists(NAMES, max_size=3), "secrets": NAMES},
            "databases": st.just({**databases, "template0": next(iter(databases.values()))}),
            "files": st.just(dict.fromkeys(databases, "postgres.dump")),
            "rows": st.dictionaries(st.sampled_from(sorted(databases)), _COUNTS),
        }
    )
)
# what fits each form that is made of no others; a new one has no line here, and fails the test that asks for it
LEAVES: dict[Parse, st.SearchStrategy[Any]] = {
    answers.words: ODD | NAMES | st.text(max_size=20),
    answers.flag: st.booleans(),
    answers.amount: SIZES | st.integers(0, answers.MOST - 1),
    answers.number: st.floats(-1e9, 1e9) | st.integers(-5, 5).map(float),
    answers.subnet: st.sampled_from(["172.17.0.0/16", "fd00::/64", "10.0.0.0/8"]),
    answers.image: st.sampled_from(["api:1", "ghcr.io/a/b@sha256:" + "5" * 64]),
    answers.content: SUMS | st.just(""),
    answers.inside: st.sampled_from(["a", "conf/web.conf", ".env", "Grüße/x"]),
    answers.encoded: st.sampled_from(["", "QQ==", "QUJD"]),
    answers.plain_name: st.sampled_from(["", "pg", "outer_data.1"]),
    answers.place: st.sampled_from(["", ".", "uploads", "/mnt/photos", "data/Grüße"]),
    answers.absolute: st.sampled_from(["/srv/notes", "/srv/notes/compose.yaml", "/data/Grüße"]),
    validators.sha256: SUMS,
    validators.size: SIZES,
    validators.part_name: NAMES,
    validators.port: st.integers(1, 65535),
    validators.run_id: st.sampled_from(RUNS),
    validators.public_key: st.just(KEY),
    validators.facts: TREE | DATABASE | CLUSTER,
}


def _parts(form: Any) -> tuple[str, tuple[Any, ...]]:
    """How a form is made of others, and of which."""
    return (form.func.__name__, form.args) if hasattr(form, "func") else ("", ())


def leaves(form: Parse) -> Iterator[Parse]:
    """Every form it is made of that is made of no others."""
    how, parts = _parts(form)
    if not how:
        yield form
    elif how != "_one_of":
        inner = {"_row": lambda: parts[0].values(), "_any_of": lambda: parts[0], "_table": lambda: parts}
        for one in inner.get(how, lambda: parts[:1])():
            yield from leaves(one)


def truths(form: Parse) -> st.SearchStrategy[Any]:
    """What fits a form."""
    how, parts = _parts(form)
    if not how:
        return LEAVES[form]
    if how == "_one_of":
        return st.sampled_from(parts[0])
    if how == "_any_of":
        return st.one_of(*map(truths, parts[0]))
    if how == "_row":
        return st.fixed_dictionaries({name: truths(one) for name, one in parts[0].items()})
    if how == "_table":
        return st.dictionaries(*map(truths, parts), max_size=3)
    if how == "_each":
        return st.lists(truths(parts[0]), min_size=parts[1], max_size=3)
    assert how == "_perhaps", how
    return st.none() | truths(parts[0])


@st.composite
def lies(draw: st.DrawFn, form: Parse) -> Any:
    """What fits a form but for one place, where something is of another type, or missing."""
    how, parts = _parts(form)
    if how in ("_perhaps", "_any_of"):
        return draw(lies(parts[0] if how == "_perhaps" else draw(st.sampled_from(parts[0]))))
    if how in ("", "_one_of") or (how == "_row" and not parts[0]) or draw(st.integers(0, 5)) == 0:
        return draw(ANY)
    if how == "_row":
        found, name = draw(truths(form)), draw(st.sampled_from(sorted(parts[0])))
        del found[name]
        return found if draw(st.integers(0, 3)) == 0 else {**found, name: draw(lies(parts[0][name]))}
    if how == "_table":
        return {**draw(truths(form)), draw(truths(parts[0]) | ODD): draw(lies(parts[1]))}
    assert how == "_each", how
    return [*draw(truths(form)), draw(lies(parts[0]))]
