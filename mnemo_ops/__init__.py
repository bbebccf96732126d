"""mnemo_ops: idempotent provisioning, backup and migration of Compose stacks over SSH."""

__version__ = "0.2.0"
