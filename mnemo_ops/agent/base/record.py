"""Records: classes whose fields are their annotations, as :mod:`dataclasses` has them, for programs that start often.

The standard library writes the methods of every class as source text and compiles it: a millisecond a class and,
with what it imports, a third of the time an agent takes to start. Here they are the same closures for every class. The
names and their meaning are those of the standard library, as far as this project uses them; annotations must be
strings (``from __future__ import annotations``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Generic, List, Mapping, Optional, Tuple, Type, TypeVar, overload

if TYPE_CHECKING:
    from typing import dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda decorator: decorator


T = TypeVar("T")

_FIELDS = "__record_fields__"
_MUTABLE = (list, dict, set)


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class FrozenInstanceError(AttributeError):
    """A field of a frozen record was assigned to."""


class Field(Generic[T]):
    """One field. :param type: its annotation, as text. :param default: :data:`MISSING` when it must be given."""

    __slots__ = ("default", "default_factory", "metadata", "name", "repr", "type")

    def __init__(self, default: Any, default_factory: Any, repr: bool, metadata: Mapping[str, Any]) -> None:
        self.name = self.type = ""
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.metadata = metadata


def field(
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    repr: bool = True,
    metadata: Optional[Mapping[str, Any]] = None,
) -> Any:
    """What stands behind a field that needs more than a default."""
    return Field(default, default_factory, repr, metadata or {})


@overload
def dataclass(cls: Type[T]) -> Type[T]: ...
@overload
def dataclass(*, frozen: bool = False, repr: bool = True, kw_only: bool = False) -> Callable[[Type[T]], Type[T]]: ...


@dataclass_transform(field_specifiers=(field, Field))
def dataclass(cls: Any = None, *, frozen: bool = False, repr: bool = True, kw_only: bool = False) -> Any:
    """Give a class ``__init__``, ``__eq__``, ``__repr__`` and, when ``frozen``, ``__hash__``, from its annotations.

    :raises ValueError: a default that all instances would share.
    """

    def made(cls: Any) -> Any:
        known: Dict[str, Field[Any]] = {}
        for base in cls.__mro__[-1:0:-1]:
            known.update(getattr(base, _FIELDS, {}))
        known.update(_own(cls))
        setattr(cls, _FIELDS, known)
        cls.__init__ = _init(cls.__name__, known, () if kw_only else tuple(known), hasattr(cls, "__post_init__"))
        names = tuple(known)
        if "__eq__" not in cls.__dict__:
            cls.__eq__ = _eq(names)
        if repr and "__repr__" not in cls.__dict__:
            cls.__repr__ = _repr(tuple(name for name, one in known.items() if one.repr))
        if frozen:
            cls.__hash__ = _hash(names)
            cls.__setattr__ = cls.__delattr__ = _frozen
        elif "__hash__" not in cls.__dict__:
            cls.__hash__ = None
        return cls

    return made if cls is None else made(cls)


def _own(cls: Any) -> Dict[str, Field[Any]]:
    """The fields a class adds; what it says behind ``=`` becomes the class's attribute or goes away."""
    found = {}
    for name, hint in vars(cls).get("__annotations__", {}).items():
        if hint.startswith("ClassVar"):
            continue
        value = cls.__dict__.get(name, MISSING)
        one = value if isinstance(value, Field) else Field(value, MISSING, True, {})
        if isinstance(one.default, _MUTABLE):
            raise ValueError(f"{cls.__name__}.{name}: all would share this default: use default_factory")
        one.name, one.type = name, hint
        if isinstance(value, Field):
            if one.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, one.default)
        found[name] = one
    return found


def _init(cls: str, known: Mapping[str, Field[Any]], positional: Tuple[str, ...], after: bool) -> Callable[..., None]:
    names = frozenset(known)
    defaults = {name: one.default for name, one in known.items() if one.default is not MISSING}
    factories = [(name, one.default_factory) for name, one in known.items() if one.default_factory is not MISSING]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        values = self.__dict__
        values.update(defaults)
        if args:
            if len(args) > len(positional) or not kwargs.keys().isdisjoint(positional[: len(args)]):
                raise TypeError(f"{cls}() was given too many values, or one of them twice")
            values.update(zip(positional, args))
        values.update(kwargs)
        for name, make in factories:
            if name not in values:
                values[name] = make()
        if values.keys() != names:
            raise TypeError(_mismatch(cls, list(known), values))
        if after:
            self.__post_init__()

    return __init__


def _mismatch(cls: str, names: List[str], values: Mapping[str, Any]) -> str:
    unknown = [name for name in values if name not in names]
    if unknown:
        return f"{cls}() got an unexpected keyword argument {unknown[0]!r}"
    return f"{cls}() needs {', '.join(name for name in names if name not in values)}"


def _eq(names: Tuple[str, ...]) -> Callable[[Any, Any], Any]:
    def __eq__(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        mine, theirs = self.__dict__, other.__dict__
        return all(mine[name] == theirs[name] for name in names)

    return __eq__


def _hash(names: Tuple[str, ...]) -> Callable[[Any], int]:
    return lambda self: hash(tuple(self.__dict__[name] for name in names))


def _repr(names: Tuple[str, ...]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return __repr__


def _frozen(self: Any, name: str, *_: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def is_dataclass(thing: Any) -> bool:
    """Whether it is a record, or the class of one."""
    return hasattr(thing, _FIELDS)


def fields(thing: Any) -> Tuple[Field[Any], ...]:
    """The fields of a record or of its class, bases first."""
    return tuple(getattr(thing, _FIELDS).values())


def replace(record: T, **changes: Any) -> T:
    """A record like this one but for these fields."""
    given = {name: record.__dict__[name] for name in getattr(record, _FIELDS)}
    return type(record)(**{**given, **changes})


def asdict(record: Any) -> Dict[str, Any]:
    """The fields and their values; records in them, also in lists, tuples and mappings, become mappings too."""
    return {name: _plain(record.__dict__[name]) for name in getattr(record, _FIELDS)}


def _plain(value: Any) -> Any:
    if hasattr(value, _FIELDS):
        return asdict(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(one) for one in value)
    if isinstance(value, dict):
        return type(value)((_plain(key), _plain(one)) for key, one in value.items())
    return value
