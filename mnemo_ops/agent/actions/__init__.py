"""What flows do on a host: one idea a file, in the registry of :mod:`mnemo_ops.agent.engine.action`.

Offers every module in it.
"""
