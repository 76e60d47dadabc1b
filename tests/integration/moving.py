"""What the tests of moving share: a tenant with everything in it, and the command."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deployments.storage.tenants import erasure
from deployments.storage.transfer import snapshots
from jobs.tenants import main
from jobs.transfer import importing
from tests.integration.many_messages import alike
from tests.paths import ROOT

Json = dict[str, Any]
# How many messages go together, so that a few are many parts.
SMALL = 20
COUNT = 40
VECTOR = "(SELECT array_agg(random() - 0.5 + 0 * (n + d)) FROM generate_series(1, 256) AS d)::real[]"
# Everything that a message can be: pending, failed and embedded, archived, named, odd in its text, its time and its
# metadata, scored by hand, sent from other zones, in another language, in parts; several of one moment, which only
# their ids put into order.
EVERY_KIND = f"""
    WITH rows AS (
        SELECT gen_random_uuid() AS id, n, (ARRAY['pending', 'failed', 'completed', 'completed'])[1 + n % 4] AS status,
               (ARRAY['user', 'assistant', 'system', 'tool'])[1 + n / 3 % 4] AS role,
               'apples and pear' || n || E'\\n\\t"\\\\ \\u2028 Zoë 🍐' AS said,
               timestamptz '2023-05-07 12:34:56.123456Z' + make_interval(secs => n / 5) AS said_at
        FROM generate_series(1, $1) AS n
    ), stored AS (
        INSERT INTO messages (id, tenant_id, conversation_id, role, name, content, metadata, importance,
                              importance_override, embedding, embedding_status, terms, archived, created_at, updated_at,
                              utc_offset, language, chat, external_id, user_id, agent_id, ttl_seconds, expires_at)
        SELECT id, 'acme', 'c ' || n % 7, role, CASE WHEN n % 3 = 0 THEN 'Ana' END, said,
               CASE WHEN n % 2 = 0 THEN '{{}}'
                    ELSE '{{"z": 1.5, "a": [1e300, null, "é"], "big": 18446744073709551615}}' END::jsonb,
               CASE WHEN status <> 'pending' THEN random() END, CASE WHEN n % 5 = 0 THEN 0.25 END,
               CASE WHEN status = 'completed' THEN l2_normalize({VECTOR}::halfvec) END,
               status, message_terms('english', CASE WHEN n % 3 = 0 THEN 'Ana' END, said, said_at),
               n % 6 = 0, said_at, said_at + interval '1 day',
               (n % 3 - 1) * 330, CASE WHEN n % 4 = 0 THEN 'de' END,
               CASE WHEN n % 7 = 0 THEN '{{"role": "user", "content": [{{"type": "text", "text": "é"}}]}}'::jsonb END,
               CASE WHEN n % 3 = 1 THEN 'crm/' || n || ' ß' END,
               (ARRAY['ada', 'Zoë/1'])[1 + n % 3], CASE WHEN n % 5 = 1 THEN 'scout' END,
               CASE WHEN n % 6 = 1 THEN 86400 * 365 END,
               CASE WHEN n % 6 < 2 THEN date_trunc('second', now()) + interval '364 days' END
        FROM rows
    )
    INSERT INTO embedding_jobs (message_id, tenant_id, bytes, failed, last_error, attempts)
    SELECT id, 'acme', octet_length(said), status = 'failed', CASE WHEN n % 8 < 5 THEN 'away: "for now"' END, 3
    FROM rows WHERE status <> 'completed'
"""  # noqa: S608 - constants
# The last tenth of them, without a conversation; each follows from the first that has no user, and each second one is
# superseded.
SOME_ARE_FACTS = """
    WITH facts AS (
        SELECT id, row_number() OVER newest_first AS n, lead(id) OVER newest_first AS next
        FROM messages WHERE tenant_id = 'acme'
        WINDOW newest_first AS (ORDER BY created_at DESC, id)
        ORDER BY created_at DESC, id LIMIT $1::int / 10
    ), made AS (
        UPDATE messages m
        SET kind = 'fact', conversation_id = '', valid_from = created_at, valid_to = created_at + interval '1 year',
            superseded_by = CASE WHEN n % 2 = 0 THEN next END, superseded_at = CASE WHEN n % 2 = 0 THEN created_at END
        FROM facts WHERE m.id = facts.id RETURNING m.id
    )
    INSERT INTO fact_sources (fact_id, message_id)
    SELECT made.id,
           (SELECT id FROM messages WHERE tenant_id = 'acme' AND user_id IS NULL ORDER BY created_at, id LIMIT 1)
    FROM made
"""


def fill(url: str, count: int) -> None:
    """Messages of every kind and facts for acme, and some of another tenant."""
    execute(url, EVERY_KIND, count)
    execute(url, SOME_ARE_FACTS, count)
    execute(url, alike("globex", "plums", 5))


def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next commands take a few messages at a time."""
    monkeypatch.setattr(snapshots, "PAGE", SMALL)
    monkeypatch.setattr(importing, "BATCH", SMALL)
    monkeypatch.setattr(erasure, "BATCH", SMALL)


def execute(url: str, statement: str, *parameters: object) -> list[Any]:
    """Run a statement behind the service's back."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(statement, *parameters))
        finally:
            await connection.close()

    return asyncio.run(run())


def at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next commands work on a database."""
    monkeypatch.setenv("MEMORY_DATABASE_URL", url)


def run(*arguments: object) -> int:
    """The command, in this process."""
    return main([str(each) for each in arguments])


def lines_of(path: Path) -> list[bytes]:
    """A file's lines behind its header, in the order of their bytes."""
    return sorted(gzip.decompress(path.read_bytes()).splitlines()[1:])


def header_of(path: Path) -> Json:
    """A file's header."""
    header: Json = json.loads(gzip.decompress(path.read_bytes()).splitlines()[0])
    return header


def killed(url: str, module: str, owner: str, method: str, times: int, *arguments: object) -> None:
    """Run the command in a process that kills itself, as hard as can be, at the end of a method's call."""
    code = f"""
import os, signal, sys
import {module} as module
from deployments.storage.tenants import erasure
from deployments.storage.transfer import snapshots
from jobs.transfer import importing
from jobs.tenants import main
snapshots.PAGE = importing.BATCH = erasure.BATCH = {SMALL}
original, calls = module.{owner}.{method}, []
def deadly(*given, **named):
    calls.append(1)
    result = original(*given, **named)
    if len(calls) == {times}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
module.{owner}.{method} = deadly
sys.exit(main(sys.argv[1:]))
"""
    done = _in_a_process(url, code, arguments)
    assert done.returncode == -signal.SIGKILL, done.stderr


def on_a_full_disk(url: str, room: int, *arguments: object) -> tuple[int, str]:
    """Run the command in a process whose files may have `room` bytes. Returns its status, and what it told."""
    code = f"""
import resource, sys
import deployments.storage.transfer.snapshots
from jobs.tenants import main
deployments.storage.transfer.snapshots.PAGE = {SMALL}
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
sys.exit(main(sys.argv[1:]))
"""
    done = _in_a_process(url, code, arguments)
    return done.returncode, done.stderr


def _in_a_process(url: str, code: str, arguments: Sequence[object]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MEMORY_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def summary(capsys: pytest.CaptureFixture[str]) -> tuple[int, int, int]:
    fields = json.loads(capsys.readouterr().out.splitlines()[-1])
    return fields["stored"], fields["present"], fields["refused"]


def in_a_thread(url: str, statement: str) -> None:
    """Run a statement where an event loop runs already."""
    thread = threading.Thread(target=execute, args=(url, statement))
    thread.start()
    thread.join()
