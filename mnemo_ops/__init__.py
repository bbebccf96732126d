"""mnemo_ops: idempotent provisioning, backup and migration of Mnemosyne servers over SSH."""

__version__ = "0.2.0"
