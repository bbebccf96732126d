"""The front door: ``invoke --list``."""

from mnemo_ops.cli.program import namespace, outlive_readers

outlive_readers()
ns = namespace()
