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
from threading import Condition, Lock, Thread
from typing import TypeVar
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch
from transformers import PreTrainedModel

from .fixed_shapes import power_of_two
from .kv_cache import KVCache
from .passes import answers, hosted
from .requests import ForwardRequest, ForwardResult

T = TypeVar("T")


def generate_together(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """What the tasks return, which write texts side by side; each needs a decoder of its own.

    The seconds of a text count what it waited for the others. Torch's threads are one setting
    for all, so decoders that are joined must agree on them. Raises what the first of the tasks
    that failed raised, after the others have ended.
    """
    if len(tasks) == 1:
        return [tasks[0]()]
    meeting = BatchScheduler(len(tasks))
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}

    def work(number: int, task: Callable[[], T]) -> None:
        try:
            with hosted(Slot(meeting, number)):
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
    meeting.give_back()
    for number in sorted(errors):
        raise errors[number]
    return [results[number] for number in range(len(tasks))]


@dataclass(eq=False)
class Wish:
    """A pass that one text waits for."""

    model: PreTrainedModel
    want: ForwardRequest
    told: ForwardResult | None = None
    error: Exception | None = None


class Slot:
    """The host of one text's thread."""

    def __init__(self, meeting: BatchScheduler, number: int) -> None:
        self.texts = meeting.texts
        self._meeting, self._number = meeting, number
        self._known: dict[int, list[ReferenceType[KVCache]]] = {}

    def home(self, model: PreTrainedModel, own: KVCache) -> tuple[KVCache, int]:
        """The text's own cache, or one that holds a text of each seat and is read at once."""
        if not own.fixed:
            return own, 0
        known = [one for one in self._known.get(id(model), []) if one() is not None]
        if not any(one() is own for one in known):
            known.append(ref(own))
        self._known[id(model)] = known
        turn = next(turn for turn, one in enumerate(known) if one() is own)
        return self._meeting.cache(model, turn), self._number

    def read(self, model: PreTrainedModel, want: ForwardRequest) -> ForwardResult:
        """A pass once all others wait too."""
        return self._meeting.read(self._number, model, want)


_free: WeakKeyDictionary[PreTrainedModel, dict[tuple[int, int], KVCache]] = WeakKeyDictionary()
"""Caches that meetings left behind, by texts and turn, with the passes captured over them."""

_desk = Lock()


class BatchScheduler:
    """Where texts meet that wait for a pass.

    texts    how many there are
    working  those that neither wait nor have ended
    waiting  the wishes of those that wait, by number of the text
    """

    def __init__(self, texts: int) -> None:
        self.texts = texts
        self.working = texts
        self.waiting: dict[int, Wish] = {}
        self._door = Condition()
        self._sizes: dict[int, int] = {}
        self._caches: WeakKeyDictionary[PreTrainedModel, dict[tuple[int, int], KVCache]] = (
            WeakKeyDictionary()
        )

    def cache(self, model: PreTrainedModel, turn: int) -> KVCache:
        """The cache of all texts that are a text's number `turn` on this model.

        It is this meeting's alone until it is given back.
        """
        key = power_of_two(self.texts), turn
        with _desk:
            mine = self._caches.setdefault(model, {})
            if key not in mine:
                known = _free.get(model, {})
                mine[key] = known.pop(key) if key in known else KVCache(model, key[0], fixed=True)
            return mine[key]

    def give_back(self) -> None:
        """Leave the caches to the next meeting of as many texts."""
        with _desk:
            for model, mine in self._caches.items():
                _free.setdefault(model, {}).update(mine)

    def read(self, number: int, model: PreTrainedModel, want: ForwardRequest) -> ForwardResult:
        """A pass for text `number`, once all others wait too."""
        wish = Wish(model, want)
        with self._door:
            if id(model) not in self._sizes:
                self._sizes[id(model)] = model.num_parameters()
            self.waiting[number] = wish
            self.working -= 1
            self._serve()
            self._door.wait_for(lambda: wish.told is not None or wish.error is not None)
        if wish.told is None:
            assert wish.error is not None
            raise wish.error
        return wish.told

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
            for wish, told in zip(wishes, found, strict=True):
                wish.told = told
        except Exception as error:
            for wish in wishes:
                wish.error = error
        self._door.notify_all()
