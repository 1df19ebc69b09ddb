"""A few decoders with one to spare, so that a file that kills one does not make the next file wait for a new one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from .decoder import Decoder

_SPARE = 1


class DecoderPool:
    """Lends each decoder to one thread at a time. `size` threads never wait."""

    def __init__(self, size: int, *, timeout_seconds: float, memory_mb: int) -> None:
        """Start `size` decoders and the spare, without waiting for them; limits as `Decoder` takes them."""
        self._decoders = deque(
            Decoder(timeout_seconds=timeout_seconds, memory_mb=memory_mb) for _ in range(size + _SPARE)
        )
        self._free = threading.Condition()
        for decoder in self._decoders:
            decoder.start()

    @contextmanager
    def lend(self) -> Iterator[Decoder]:
        """A decoder that has had the most time to start."""
        with self._free:
            while not self._decoders:
                self._free.wait()
            decoder = self._decoders.popleft()
        try:
            yield decoder
        finally:
            self._take_back(decoder)

    def close(self) -> None:
        """End those that are not lent; to be called when none is."""
        with self._free:
            for decoder in self._decoders:
                decoder.close()
            self._decoders.clear()

    def _take_back(self, decoder: Decoder) -> None:
        lost = decoder.process_id is None
        if lost:
            decoder.start()
        with self._free:
            if lost:
                self._decoders.append(decoder)  # its imports take a while: last
            else:
                self._decoders.appendleft(decoder)
            self._free.notify()
