"""The job queue in redis, as a Celery broker keeps it: one list, oldest job at its right end."""

from __future__ import annotations

import json
import sys
import uuid

import redis

QUEUE = "celery"


def enqueue(queue: redis.Redis, identifier: str) -> None:
    """Ask for a document to be processed; without a broker it waits for beat to find it."""
    job = {"id": str(uuid.uuid4()), "task": "process_document", "args": [identifier]}
    try:
        queue.lpush(QUEUE, json.dumps(job))
    except redis.RedisError as error:
        print(f"{identifier} is not queued: {error}", file=sys.stderr, flush=True)


def dequeue(queue: redis.Redis, seconds: int) -> str | None:
    """Take the oldest job off the queue and return its document's id; None when none came within `seconds`."""
    taken = queue.brpop([QUEUE], timeout=seconds)
    return str(json.loads(taken[1])["args"][0]) if taken else None
