"""Disposable real Debian servers on this machine, for the demo and the tests (container tier).

Offers ``directory``, ``reference``, ``tier``.
"""
