"""How well watches tell: events matched with the truth, one to one, within a tolerance.

Measures: event F1 at tolerance; time differences of the matched; early rate, the fires before the span begins
(PhoStream); duplicate rate, further fires inside one span (ProactiveVideoQA); false alarms per hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TOLERANCE_S = 1.0


@dataclass(slots=True)
class Tally:
    """Sums over watches and streams. delays: s, of the matched events, below 0 before the onset."""

    onsets: int = 0
    fires: int = 0
    matched: int = 0
    early: int = 0
    duplicates: int = 0
    false_alarms: int = 0
    hours: float = 0.0  # watched while the truth was known
    delays: list[float] = field(default_factory=list)

    @property
    def f1(self) -> float:
        """Of onsets and fires; 1 where there is neither."""
        return 2 * self.matched / (self.onsets + self.fires) if self.onsets + self.fires else 1.0


@dataclass(frozen=True, slots=True)
class Span:
    """A condition is true from frame `first` to before `behind`. onset: the frames in which it may have become so."""

    first: int
    behind: int
    onset: tuple[int, int]  # the last frame at which it was certainly false, the first at which it is certainly true


def spans_of(truth: Sequence[bool | None]) -> list[Span]:
    """Spans of a truth per frame, None where nothing is certain: such frames belong to whatever lies around them.

    What is true from the beginning on has its onset there.
    """
    spans, first, last_false = [], None, -1
    for t, true in enumerate([*truth, False]):
        if true and first is None:
            first = t
        elif true is False:
            if first is not None:
                spans.append(Span(first, t, (max(last_false, 0), first)))
                first = None
            last_false = t
    return spans


def count(
    tally: Tally, truth: Sequence[bool | None], fires: Iterable[int], frame_s: float, tolerance_s: float = TOLERANCE_S
) -> None:
    """Add one watch on one stream: its truth per frame, and the frames at which it fired.

    A fire matches the first onset without one that lies at most `tolerance_s` away. Another one inside of a span is a
    duplicate, or late where nothing fired there in time; it is not counted where since the last one the truth was
    unknown for a while, because the condition may have ended and begun anew. One outside of all is a false alarm unless
    the truth is unknown there. A matched one is early in the last frame at which the condition was certainly false, or
    before.
    """
    spans = spans_of(truth)
    fires = sorted(fires)
    tally.onsets += len(spans)
    tally.hours += sum(true is not None for true in truth) * frame_s / 3600
    taken: dict[int, int] = {}  # span -> its latest fire
    for fire in fires:
        near = [i for i, s in enumerate(spans) if i not in taken and _away(fire, s) * frame_s <= tolerance_s]
        inside = next((i for i, s in enumerate(spans) if s.onset[0] <= fire < s.behind), None)
        if near:
            index = min(near, key=lambda i: _away(fire, spans[i]))
            taken[index] = fire
            tally.fires += 1
            tally.matched += 1
            tally.early += fire <= spans[index].onset[0] and spans[index].onset[0] > 0
            tally.delays.append((fire - spans[index].first) * frame_s)
        elif inside in taken and None in truth[taken[inside] : fire + 1]:
            taken[inside] = fire
        elif inside is not None:
            tally.fires += 1
            tally.duplicates += inside in taken
        elif truth[fire] is not None:
            tally.fires += 1
            tally.false_alarms += 1


def _away(fire: int, span: Span) -> int:
    """Frames between a fire and an onset, 0 within it."""
    return max(span.onset[0] - fire, fire - span.onset[1], 0)
