"""What the agent and the controller both speak: records, the protocol, validators.

What a deed may report is said with them in ``transport/answers.py``.

Offers ``data_places``, ``finding``, ``lines``, ``progress``, ``protocol``, ``record``, ``run_id``, ``secrecy``,
``state``, ``validators``.
"""
