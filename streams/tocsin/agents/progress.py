"""What a route worker says on `marks`: which signals lifecycle has worked off."""

import time
from typing import Final

from tocsin.agents.lifecycle import Lifecycle
from tocsin.agents.outbox import Outbox
from tocsin.agents.transport import BatchApp
from tocsin.engine.route.marks import Marks
from tocsin.schemas.codec import encode
from tocsin.schemas.mark import WorkedOff, mark_key
from tocsin.schemas.topics import Topics

_PROGRESS_S: Final = 0.25


class ProgressWriter:
    """Lifecycle's marks of one worker, written only where other marks wait for them."""

    def __init__(self, app: BatchApp, outbox: Outbox, topics: Topics, lifecycle: Lifecycle, marks: Marks) -> None:
        self._app, self._outbox, self._topics = app, outbox, topics
        self._lifecycle, self._marks = lifecycle, marks
        self._last: dict[int, tuple[int, float]] = {}  # by partition: what was said, and when

    async def write(self) -> None:
        """Say how far lifecycle is; where it is busy, now and then."""
        now_s, sent = time.monotonic(), []
        for tp in sorted(self._app.reader.assignment()):
            if tp.topic != self._topics.signals:
                continue
            wanted, position = self._marks.wanted(tp.partition), self._lifecycle.worked_off(tp.partition)
            last, last_s = self._last.get(tp.partition, (-1, 0.0))
            is_due = now_s - last_s >= _PROGRESS_S  # said before, too: another that stood still may have set it back
            if not wanted or position <= self._marks.stated(tp.partition):
                continue
            if is_due or last < wanted <= position:
                self._last[tp.partition] = position, now_s
                mark = encode(WorkedOff(position))
                sent.append(await self._outbox.send(self._topics.marks, mark, mark_key("lifecycle", tp.partition), 0))
        await self._outbox.acknowledged(sent)
