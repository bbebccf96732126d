"""Templates rendered, and one sentence for whatever goes wrong in them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError
from jinja2 import TemplateError as JinjaError
from jinja2.exceptions import UndefinedError

from mnemo_ops.core.paths import shown
from mnemo_ops.core.secret_text import hidden
from mnemo_ops.core.suggest import suggest
from mnemo_ops.errors import MnemoError, TemplateError
from mnemo_ops.templates.engine import ENVIRONMENT, Scope, compiled, evaluate, is_template, run, run_file
from mnemo_ops.templates.file_search import find
from mnemo_ops.templates.lookups.table import LOOKUPS
from mnemo_ops.templates.plugin_names import UNKNOWN
from mnemo_ops.templates.undefined import OMIT, Missing, NoValue, Unready, copied, without_omitted

__all__ = [
    "ENVIRONMENT",
    "LOOKED",
    "OMIT",
    "NoValue",
    "Scope",
    "Unready",
    "condition",
    "copied",
    "find",
    "is_template",
    "misspelt",
    "render",
    "render_file",
    "without_omitted",
]


# what Jinja stumbles over, and what was meant
MEANT = {
    ", got '='": "did you mean '=='?",
    "unexpected char '&'": "did you mean 'and'?",
    "got '|'": "did you mean 'or'?",
    "unexpected char '!'": "did you mean 'not'?",
}
LOOKED = "it is looked for in templates/ of the role or beside the playbook, and beside the template"


def render(value: Any, scope: Scope, where: str = "") -> Any:
    """Render every template in a value; ``{{ expression }}`` alone keeps the type of the expression.

    :raises TemplateError: undefined variable, bad syntax or a failing expression (2).
    :raises VaultError: no password opens an encrypted value (2).
    :raises NoValue: it reads a variable that has none yet (:class:`Unready` where nobody can know it).
    """
    return _told(lambda: evaluate(value, scope), scope, where)


def condition(text: str, scope: Scope, where: str = "") -> bool:
    """Whether a ``when`` expression holds. Errors as :func:`render`."""
    value = _told(lambda: run(compiled("{{ " + text + " }}"), scope), scope, where)
    if not isinstance(value, str):
        return bool(value)
    if value.lower() in ("true", "yes", "on", "1"):
        return True
    if value.lower() in ("false", "no", "off", "0", ""):
        return False
    raise TemplateError(
        f"'{text}' is the text {hidden(value)!r}, not true or false", where=where, hint="compare it to a text"
    )


def render_file(path: Path, scope: Scope, options: Optional[Mapping[str, Any]] = None) -> str:
    """Render a template file; its errors name the file's own line. Errors as :func:`render`.

    :param options: of Jinja's, by the names the kind ``template`` has for them.
    """
    found = _told(lambda: run_file(path, scope, options or {}), scope, shown(path))
    return "" if found is None else found if isinstance(found, str) else str(found)


def _told(work: Callable[[], Any], scope: Scope, where: str) -> Any:
    scope.unread.clear()
    scope.failed.clear()
    try:
        return work()
    except NoValue:
        raise
    except Exception as problem:  # an expression may raise anything
        if scope.unread:  # a filter that met what has no value yet
            raise scope.unread[-1] from None
        if scope.failed and not isinstance(problem, (MnemoError, UndefinedError)):  # or what a lookup did not find
            problem = scope.failed[-1]
        raise _explained(problem, scope, _line(problem) or where) from None


def _line(problem: Exception) -> str:
    """``file:line`` of the innermost template file a problem passed through; empty when it is not in a file."""
    if isinstance(problem, TemplateSyntaxError):
        return f"{shown(Path(problem.filename))}:{problem.lineno}" if problem.filename else ""
    where = ""
    for frame, line in traceback.walk_tb(problem.__traceback__):
        template = frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template) and template.filename not in (None, "<template>"):
            where = f"{shown(Path(str(template.filename)))}:{template.get_corresponding_lineno(line)}"
    return where


def _explained(problem: Exception, scope: Scope, where: str) -> MnemoError:
    """The one sentence for whatever went wrong in a template."""
    if isinstance(problem, MnemoError):
        problem.where, quoted = problem.where or where, scope.secrets()
        problem.message, problem.hint = hidden(problem.message, quoted), hidden(problem.hint, quoted)
        return problem
    if isinstance(problem, Missing):
        hint = suggest(problem.name, scope if problem.variable else problem.known, few=0)
        instead = "define it, pass --vars, or use default()" if problem.variable else ""
        return TemplateError(str(problem), where=where, hint=hint or instead)
    if isinstance(problem, TemplateNotFound) or (isinstance(problem, TypeError) and "no loader" in str(problem)):
        named = f" '{problem.name}'" if isinstance(problem, TemplateNotFound) else ""
        return TemplateError(f"the template{named} to include does not exist", where=where, hint=LOOKED)
    if isinstance(problem, JinjaError) and not isinstance(problem, UndefinedError):
        return misspelt(problem, where)
    named = "" if isinstance(problem, UndefinedError) else f"{type(problem).__name__}: "
    return TemplateError(f"the template fails: {named}{hidden(str(problem), scope.secrets())}", where=where)


def misspelt(problem: JinjaError, where: str) -> TemplateError:
    """The error for text that is not a template."""
    message = str(problem.message)
    known = {"filter": ENVIRONMENT.filters, "test": ENVIRONMENT.tests, "lookup": LOOKUPS}
    for noun, names in known.items():
        if message.startswith(f"No {noun} named"):
            name = message.split("'")[1]
            own = [one for one in names if not one.startswith("ansible.")]
            if name.rpartition(".")[2] in UNKNOWN or name.count(".") > 1:
                return TemplateError(f"the {noun} '{name}' is not supported yet", where=where)
            return TemplateError(f"there is no {noun} '{name}'", where=where, hint=suggest(name, own))
    hint = next((hint for end, hint in MEANT.items() if end in message), "")
    return TemplateError(f"not a valid template: {message.rstrip('.')}", where=where, hint=hint)
