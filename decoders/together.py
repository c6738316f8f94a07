"""Several texts at once: the passes that they ask of one model are joined into one.

A pass over one token reads every weight, and so does a pass over the tokens of many users. So each
text is written by its own decoder, as ever, in a thread of its own that runs until it needs a pass;
when all threads wait, those who want the smallest model asked for (a draft, before its target) are
answered by one pass. No algorithm is written twice, prompts may have any lengths, and who guesses
well is not held back: it only joins the passes that it needs.

Who is joined with whom follows from the texts alone, not from the clock. The last bits of a
logit depend on it, as they depend on the size of any pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from .cache import KVCache
from .fixed import power_of_two
from .forward import Read
from .passes import Want, answers, hosted
from .reader import Reader

T = TypeVar("T")


def together(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """What the tasks return, which write texts side by side; each needs a decoder of its own.

    The seconds of a text count what it waited for the others. Torch's threads are one setting
    for all, so decoders that are joined must agree on them. Raises what the first of the tasks
    that failed raised, after the others have ended.
    """
    if len(tasks) == 1:
        return [tasks[0]()]
    meeting = Meeting(len(tasks))
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}

    def work(number: int, task: Callable[[], T]) -> None:
        try:
            with hosted(Seat(meeting, number)):
                results[number] = task()
        except BaseException as error:  # raised again where the tasks were given
            errors[number] = error
        finally:
            meeting.leave()

    threads = [
        Thread(target=work, args=item, daemon=True, name=f"text {item[0]}")
        for item in enumerate(tasks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in sorted(errors):
        raise errors[number]
    return [results[number] for number in range(len(tasks))]


@dataclass(eq=False)
class Wish:
    """A pass that one text waits for."""

    model: PreTrainedModel
    want: Want
    read: Read | None = None
    error: Exception | None = None


class Seat:
    """The host of one text's thread."""

    def __init__(self, meeting: Meeting, number: int) -> None:
        self._meeting, self._number = meeting, number
        self.texts = meeting.texts
        self._readers: dict[int, list[Reader]] = {}

    def home(self, reader: Reader) -> tuple[KVCache, int]:
        """The reader's own cache, or one that holds a text of each seat and is read at once."""
        if not reader.own.fixed:
            return reader.own, 0
        mine = self._readers.setdefault(id(reader.model), [])
        if reader not in mine:
            mine.append(reader)
        return self._meeting.cache(reader.model, mine.index(reader)), self._number

    def read(self, model: PreTrainedModel, want: Want) -> Read:
        """A pass once all others wait too."""
        return self._meeting.read(self._number, model, want)


_caches: WeakKeyDictionary[PreTrainedModel, dict[tuple[int, int], KVCache]] = WeakKeyDictionary()


class Meeting:
    """Where texts meet that wait for a pass.

    working  texts that neither wait nor have ended
    waiting  the wishes of those that wait, by number of the text
    """

    def __init__(self, texts: int) -> None:
        self.texts = texts
        self.working = texts
        self.waiting: dict[int, Wish] = {}
        self._door = Condition()
        self._sizes: dict[int, int] = {}

    def cache(self, model: PreTrainedModel, turn: int) -> KVCache:
        """The cache of all texts' readers that are number `turn` of their text on this model.

        It is kept for the next meeting of as many, with the passes that were captured over it.
        """
        size = power_of_two(self.texts)
        with self._door:
            known = _caches.setdefault(model, {})
            if (size, turn) not in known:
                known[size, turn] = KVCache(model, size, fixed=True)
            return known[size, turn]

    def read(self, number: int, model: PreTrainedModel, want: Want) -> Read:
        """A pass for text `number`, once all others wait too."""
        wish = Wish(model, want)
        with self._door:
            if id(model) not in self._sizes:
                self._sizes[id(model)] = model.num_parameters()
            self.waiting[number] = wish
            self.working -= 1
            self._serve()
            self._door.wait_for(lambda: wish.read is not None or wish.error is not None)
        if wish.read is None:
            assert wish.error is not None
            raise wish.error
        return wish.read

    def leave(self) -> None:
        """A text has ended."""
        with self._door:
            self.working -= 1
            self._serve()

    def _serve(self) -> None:
        """One pass for all who wait for the smallest model, unless somebody still works."""
        if self.working or not self.waiting:
            return
        numbers = sorted(self.waiting)
        model = min(
            (self.waiting[number].model for number in numbers),
            key=lambda model: self._sizes[id(model)],
        )
        wishes = [self.waiting[n] for n in numbers if self.waiting[n].model is model]
        self.waiting = {n: w for n, w in self.waiting.items() if w.model is not model}
        self.working = len(wishes)
        try:
            with torch.inference_mode():
                found = answers(model, [wish.want for wish in wishes])
            for wish, read in zip(wishes, found, strict=True):
                wish.read = read
        except Exception as error:
            for wish in wishes:
                wish.error = error
        self._door.notify_all()
