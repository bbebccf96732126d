"""The same templates, the same values as with ansible-core."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_expressions import REFUSED, VALUES, VARS

from mnemo_ops.core.secret_text import revealed
from mnemo_ops.errors import TemplateError
from mnemo_ops.templates.render import Scope, render


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=[text for text, _ in VALUES])
def test_value(text: str, expected: Any) -> None:
    found = render(text, Scope().plus(VARS))
    assert found == expected and type(revealed(found)) is type(expected)


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        render(text, Scope().plus(VARS))
