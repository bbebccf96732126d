"""The front door: ``invoke --list``."""

from mnemo_ops.cli.program import namespace

ns = namespace()
