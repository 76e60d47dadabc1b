"""The sums over all replicas, also over those that are gone. No Ray: who calls it passes the clock."""

import pickle  # nosec B403 - of what a ledger itself has packed
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from deployments.errors import UnavailableError
from deployments.metrics.snapshot import Series, Snapshot, lasting, settled, total

# How often a replica pushes while something happens in it, and while nothing does.
PUSH_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
# How things stand in a replica that has been silent for so long is not known any more.
STANDS_SECONDS = 3 * HEARTBEAT_SECONDS
# A checkpoint that nobody has confirmed for so long is lost with those who were given it: another is cut.
UNCONFIRMED_SECONDS = 3 * PUSH_SECONDS
# A replica that has been silent for so long is gone for good: its counts go to those of all that are gone.
GONE_SECONDS = 600.0
# A ledger that has just begun hears all that live within this time, and does not tell half of a sum before.
SETTLE_SECONDS = HEARTBEAT_SECONDS + 2 * PUSH_SECONDS
# So many replicas keep what the ledger needs to go on where it died.
KEEPERS = 3


class Version(NamedTuple):
    """Of a checkpoint: later ones have greater numbers, also over the ledgers that followed each other."""

    number: int
    ledger: str


class Checkpoint(NamedTuple):
    """What a replica keeps for the ledger, and need not understand."""

    version: Version
    packed: bytes


@dataclass(frozen=True)
class Push:
    """What a replica has measured since it began; `number` grows with each push. `keeps`: which checkpoint it has.

    `checkpoint`: the one that it keeps, where the ledger has asked for it.
    """

    replica: str
    number: int
    snapshot: Snapshot
    keeps: Version | None = None
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True)
class Receipt:
    """`keep`: a checkpoint in the place of the one that the replica has. `asks`: send yours along with the push.

    `again`: push with the next second too, whether or not something happens until then.
    """

    keep: Checkpoint | None = None
    asks: bool = False
    again: bool = False


@dataclass(frozen=True)
class _Heard:
    number: int
    snapshot: Snapshot
    at: float


class _Kept(NamedTuple):
    """A checkpoint's content: the counts of those who are gone together, and of each who may still be there."""

    gone: Snapshot
    replicas: dict[str, tuple[int, Snapshot]]


@dataclass(frozen=True)
class _Cut:
    checkpoint: Checkpoint
    shown: Snapshot
    at: float
    given_to: set[str] = field(default_factory=set)


class Ledger:
    """Adds up what the replicas push, so that no counter ever goes down, also when this process dies.

    What it knows is cut into a checkpoint, with each second in which something happens, and the replicas that push next
    keep it. Shown is only what another process keeps already: a new ledger, given that back, begins at no less.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._name = uuid4().hex
        self._replicas: dict[str, _Heard] = {}
        self._series: dict[Series, Series] = {}
        self._gone: Snapshot = {}
        self._recovered: Checkpoint | None = None
        self._settles_at: float | None = None
        self._settled = False
        self._cut: _Cut | None = None
        self._changed = True
        self._shown: Snapshot | None = None

    def hear(self, push: Push) -> Receipt:
        """Take a replica's measurements in."""
        now = self._clock()
        if self._settles_at is None:
            self._settles_at = now + SETTLE_SECONDS
        last = self._replicas.get(push.replica)
        if last is None or push.number >= last.number:
            self._changed |= last is None or settled(last.snapshot) != settled(push.snapshot)
            self._replicas[push.replica] = _Heard(push.number, self._with_known_series(push.snapshot), now)
        if not self._settled and now < self._settles_at:
            return self._recover(push)
        if not self._settled:
            self._settle(now)
        self._note_kept(push)
        self._cut_if_due(now)
        return self._receipt(push)

    def shown(self) -> Snapshot:
        """The sums. Raises `UnavailableError` until they are whole."""
        if self._shown is None:
            raise UnavailableError("The metrics are being gathered: try again in a few seconds.", None, SETTLE_SECONDS)
        return self._shown

    def _with_known_series(self, snapshot: Snapshot) -> Snapshot:
        """Replicas measure the same things: their names, held once, make a checkpoint several times smaller."""
        known = self._series.setdefault
        return {
            name: family._replace(values={known(series, series): value for series, value in family.values.items()})
            for name, family in snapshot.items()
        }

    def _recover(self, push: Push) -> Receipt:
        """Ask for what a ledger before this one left with the replica, where it is newer than what came already.

        Where it is older, the replica gets the newer one: this ledger may die before it has one of its own.
        """
        if push.checkpoint is not None and push.checkpoint.version.number > self._recovered_number:
            self._recovered = push.checkpoint
        kept = 0 if push.keeps is None else push.keeps.number
        return Receipt(
            keep=self._recovered if kept < self._recovered_number else None,
            asks=kept > self._recovered_number,
            again=True,
        )

    @property
    def _recovered_number(self) -> int:
        return 0 if self._recovered is None else self._recovered.version.number

    def _settle(self, now: float) -> None:
        self._settled = True
        if self._recovered is None:
            return
        kept = _unpack(self._recovered)
        left = {name: _Heard(number, snapshot, now) for name, (number, snapshot) in kept.replicas.items()}
        self._replicas = left | self._replicas
        self._gone = kept.gone

    def _note_kept(self, push: Push) -> None:
        """What is in the cut is shown as soon as another process has it."""
        if self._cut is not None and push.keeps == self._cut.checkpoint.version:
            self._shown = self._cut.shown

    def _cut_if_due(self, now: float) -> None:
        last = self._cut
        if last is not None and not self._is_outdated(last, now):
            return
        self._bury(now)
        self._changed = False
        number = 1 + (self._recovered_number if last is None else last.checkpoint.version.number)
        kept = _Kept(self._gone, {name: (h.number, lasting(h.snapshot)) for name, h in self._replicas.items()})
        self._cut = _Cut(Checkpoint(Version(number, self._name), pickle.dumps(kept)), self._sums(now), now)

    def _is_outdated(self, cut: _Cut, now: float) -> bool:
        """Never before it is kept by somebody, unless all who were given it seem gone."""
        if self._shown is not cut.shown:
            return now >= cut.at + UNCONFIRMED_SECONDS
        return self._changed or now >= cut.at + HEARTBEAT_SECONDS

    def _bury(self, now: float) -> None:
        gone = [name for name, heard in self._replicas.items() if now >= heard.at + GONE_SECONDS]
        if gone:
            self._gone = total([self._gone, *(lasting(self._replicas.pop(name).snapshot) for name in gone)])

    def _sums(self, now: float) -> Snapshot:
        each = (
            heard.snapshot if now < heard.at + STANDS_SECONDS else lasting(heard.snapshot)
            for heard in self._replicas.values()
        )
        return total([self._gone, *each])

    def _receipt(self, push: Push) -> Receipt:
        """Return what a push is answered with: the checkpoint, for the first replicas that push after it was cut."""
        cut = self._cut
        if cut is None or push.keeps == cut.checkpoint.version:
            return Receipt()
        if push.replica not in cut.given_to and len(cut.given_to) >= KEEPERS:
            return Receipt()
        cut.given_to.add(push.replica)
        return Receipt(keep=cut.checkpoint, again=True)


def _unpack(checkpoint: Checkpoint) -> _Kept:
    # It was packed by a ledger, and came by the same way as every call in the cluster: Ray's own pickles.
    kept: _Kept = pickle.loads(checkpoint.packed)  # noqa: S301 # nosec B301
    return kept
