"""Parts of a Debian system: packages, keys, HTTP, commands.

Offers ``command_run``, ``dpkg``, ``http``, ``openpgp``, ``python_versions``, ``request_args``, ``ssh_keys``.
"""
