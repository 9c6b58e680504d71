"""Clips as training wants them: what every visual token shows, and questions and narrations in token ids."""

import random
from dataclasses import dataclass, replace

import numpy as np

from stc_ros.synthetic import Clip, World
from stc_ros.synthetic.forms import TYPES
from stc_ros.synthetic.narration import PROMPT, facts, tell
from stc_ros.synthetic.questions import ask_about
from stc_ros.synthetic.render import COLOURS
from stc_ros.synthetic.truth import CLEAR_SHARE, DIRECTIONS, EDGES, PLACES, Seen
from training.tiny.architecture import IMAGE, PATCH, TOKENS
from training.tiny.frames import TOKEN_PIXELS, cover
from training.tiny.tokenizer import Coder

MOST_OBJECTS = 40  # in one clip
MOST_NAMED = 6  # objects that one question rests on
QUESTION_LENGTH, NARRATION_LENGTH = 24, 112  # tokens, padded
SINCE = (8, 16, 32)  # frames that a narration may look back
MOMENTS = 4  # at which a clip is asked
PER_MOMENT = 14
HEAD_START = 48  # most steps of a world before its clip begins

MOVES = ('still', *DIRECTIONS)
TIMES = ('entered', 'started', 'stopped', 'changed colour')  # events whose last frame a token is to know
MARKS = ('anchor', 'parting')  # the token with most of an object; an object that leaves in a moment
PARTING = 2  # frames before an object has left
CENSUS = ('objects', 'colour', 'shape', 'size', 'moving', 'entered', 'left', 'changed colour')  # what is counted
MOST_COUNTED = 7
HISTORY = {'moves': len(MOVES), 'before': len(COLOURS) + 1, 'origin': len(EDGES) + 1, 'first': len(PLACES)}


def record_clip(profile: str, seed: int, frames: int, size: int = IMAGE, backdrop=None) -> Clip:
    """A clip that begins at any moment of a stream; its frames and events are counted from its own beginning.

    Frames uint8 [T, size, size, 3], over a `Backdrop` if there is one; ids always [T, IMAGE, IMAGE].
    """
    world = World(profile, seed, backdrop)
    for _ in range(seed * 7919 % HEAD_START):
        world.step()
    pixels, ids, truths = [], [], []
    for t in range(frames):
        if t:
            world.step()
        truth = world.truth()
        events = tuple(replace(e, frame=t) for e in truth.events if e.frame == truth.frame)
        pixels.append(world.render(size))
        ids.append(world.ids(IMAGE))
        truths.append(replace(truth, frame=t, events=events))
    return Clip(profile, seed, np.stack(pixels), np.stack(ids), tuple(truths))


@dataclass
class Labels:
    """What the visual tokens of a clip show. -1 stands for nothing known."""

    covered: np.ndarray  # bool [MOST_OBJECTS, T, TOKENS]: the object shows there; row 0 is no object
    main: np.ndarray  # int16 [T, TOKENS]: the row of the object with the most pixels
    words: np.ndarray  # int16 [2, T, TOKENS]: ids of its colour word and its shape word
    history: np.ndarray  # int8 [len(HISTORY), T, TOKENS]: classes of what the object does and did
    times: np.ndarray  # int8 [len(TIMES), T, TOKENS]: the frame of the last such event of the object
    marks: np.ndarray  # bool [len(MARKS), T, TOKENS]
    census: np.ndarray  # int8 [len(CENSUS), T, TOKENS]: how many there are up to the object there, see `take_census`
    rows: dict[int, int]  # object id -> row of `covered`


def label_clip(clip: Clip, coder: Coder) -> Labels:
    """Labels of every token of every frame."""
    frames = len(clip)
    covered = np.zeros((MOST_OBJECTS, frames, TOKENS), bool)
    main = np.full((frames, TOKENS), -1, np.int16)
    words = np.full((2, frames, TOKENS), -1, np.int16)
    history = np.full((len(HISTORY), frames, TOKENS), -1, np.int8)
    times = np.full((len(TIMES), frames, TOKENS), -1, np.int8)
    marks = np.zeros((len(MARKS), frames, TOKENS), bool)
    census = np.full((len(CENSUS), frames, TOKENS), -1, np.int8)
    leaves = {e.id: e.frame for e in clip.events if e.kind == 'left' and e.frame}
    last: dict[int, list[int]] = {}  # id -> frames of its last events, as TIMES
    rows: dict[int, int] = {}
    past: dict[int, list[int]] = {}  # id -> classes of "before", "origin", "first"
    happened = np.zeros((len(CENSUS), 1), int)  # since the scene began, of those that are events
    for t, truth in enumerate(clip.truths):
        for o in truth.objects:
            past.setdefault(o.id, [len(COLOURS), len(EDGES), PLACES.index(o.place)])
            last.setdefault(o.id, [-1] * len(TIMES))
        for e in truth.events if t else ():
            if e.kind == 'cut':
                happened[:] = 0
            elif e.kind in CENSUS:
                happened[CENSUS.index(e.kind)] += 1
            if e.kind in TIMES and e.id in last:
                last[e.id][TIMES.index(e.kind)] = t
            if e.kind == 'changed colour' and e.id in past:
                past[e.id][0] = list(COLOURS).index(e.detail)
            if e.kind == 'entered' and e.id in past:
                past[e.id][1] = list(EDGES.values()).index(e.detail)
        seen = {o.id: o for o in truth.objects}
        found, counts = cover(clip.ids[t], 2 * PATCH)
        most = counts.max(0) if len(found) else None
        anchors = {i: int(pixels.argmax()) for i, pixels in zip(found.tolist(), counts) if i in seen}
        for i, pixels in zip(found.tolist(), counts):
            o = seen.get(i)
            if o is None:
                continue
            row = rows.setdefault(i, min(len(rows) + 1, MOST_OBJECTS - 1))
            here = pixels >= TOKEN_PIXELS
            covered[row, t] |= here
            marks[0, t, anchors[i]] |= here.any()
            marks[1, t, here] |= 0 < leaves.get(i, -1) - t <= PARTING
            here = here & (pixels == most)
            main[t, here] = row
            words[:, t, here] = np.array([coder.ids[o.colour], coder.ids[o.shape]])[:, None]
            times[:, t, here] = np.array(last[i])[:, None]
            history[:, t, here] = np.array([MOVES.index(o.moves), *past[i]])[:, None]
            here[: anchors[i]] = False  # a token knows only what stands before it
            counted = take_census(seen, anchors, o, np.flatnonzero(here)) + happened
            census[:, t, here] = np.minimum(counted, MOST_COUNTED)
    return Labels(covered, main, words, history, times, marks, census, rows)


def take_census(seen: dict[int, Seen], anchors: dict[int, int], about: Seen, tokens: np.ndarray) -> np.ndarray:
    """How many objects have their anchor at or before each of `tokens` [n]: int [len(CENSUS), n].

    Of all objects, of the colour, shape and size of the one that it is `about`, and of those that move; 0 for what is
    counted in events. Only objects that show clearly count.
    """
    clear = [seen[i] for i in anchors if seen[i].share >= CLEAR_SHARE]
    at = np.array([anchors[o.id] for o in clear])
    alike = np.zeros((len(CENSUS), len(clear)), int)
    for n, o in enumerate(clear):
        alike[:5, n] = 1, o.colour == about.colour, o.shape == about.shape, o.size == about.size, o.moves != 'still'
    return alike @ (at[:, None] <= tokens)


def _pick_moments(frames: int, draw: random.Random) -> list[int]:
    """The newest frame and others before it, the later ones more often."""
    moments = [frames - 1]
    while len(moments) < min(MOMENTS, frames - 2):
        t = 1 + int((frames - 1) * draw.random() ** 0.7)
        if t not in moments and t < frames:
            moments.append(t)
    return moments


def ask_clip(clip: Clip, labels: Labels, coder: Coder, draw: random.Random) -> dict[str, np.ndarray]:
    """Questions and narrations of a clip, as arrays over a fixed number of pieces (unused ones have moment -1)."""
    moments = _pick_moments(len(clip), draw)
    count = MOMENTS * PER_MOMENT
    out = {
        'ids': np.full((count, QUESTION_LENGTH), coder.pad, np.int16),
        'start': np.zeros(count, np.int16),  # where the answer begins
        'length': np.zeros(count, np.int16),
        'moment': np.full(count, -1, np.int16),
        'evidence': np.zeros(count, np.int16),
        'type': np.zeros(count, np.int16),
        'objects': np.zeros((count, MOST_NAMED), np.int16),  # rows of Labels.covered, 0 for none
        'moments': np.array(moments, np.int16),
        'tell_ids': np.full((MOMENTS, NARRATION_LENGTH), coder.pad, np.int16),
        'tell_start': np.zeros(MOMENTS, np.int16),
        'tell_length': np.zeros(MOMENTS, np.int16),
        'tell_moment': np.full(MOMENTS, -1, np.int16),
        'tell_object': np.full((MOMENTS, NARRATION_LENGTH), -1, np.int16),  # the row each word is about, see below
        'tell_until': np.zeros((MOMENTS, NARRATION_LENGTH), np.int16),  # the frame that shows it
    }
    n = 0
    for at, t in enumerate(moments):
        for q in ask_about(clip, t, draw, PER_MOMENT):
            ask, answer = coder.question(q.text), coder.answer(q.answer)
            if len(ask) + len(answer) > QUESTION_LENGTH:
                continue
            _write(out, '', n, ask, answer, t)
            out['evidence'][n] = q.evidence
            out['type'][n] = TYPES.index(q.type)
            named = [labels.rows.get(i, 0) for i in q.objects[:MOST_NAMED]]
            out['objects'][n, : len(named)] = named
            n += 1
        since = draw.choice(SINCE)
        text = tell(clip, t, t - since)
        ask, answer = coder.question(PROMPT.format(frames=since)), coder.answer(text)
        if len(ask) + len(answer) <= NARRATION_LENGTH:
            _write(out, 'tell_', at, ask, answer, t)
            about = point_words(clip, labels, t, t - since)
            out['tell_object'][at, len(ask) : len(ask) + len(about)] = [row for row, _ in about]
            out['tell_until'][at, len(ask) : len(ask) + len(about)] = [frame for _, frame in about]
    return out


def point_words(clip: Clip, labels: Labels, t: int, since: int) -> list[tuple[int, int]]:
    """For each word of `tell`: the row of the object that it is about and the frame that shows it.

    A comma or a full stop points at what is narrated next. Row 0: there is no more; -1: nothing to point at.
    """
    narrated = facts(clip, t, since)
    where = [(labels.rows.get(f.id, -1) if f.id else -1, f.frame) for f in narrated]
    about = []
    for n, fact in enumerate(narrated):
        about += [where[n]] * len(fact.clause.text().split())
        about.append(where[n + 1] if n + 1 < len(narrated) else (0, t))
    return about if any(f.clause.kind == 'object' for f in narrated) else []  # "nothing ." has no clause to count from


def _write(out: dict, kind: str, n: int, ask: list[int], answer: list[int], t: int) -> None:
    out[kind + 'ids'][n, : len(ask) + len(answer)] = ask + answer
    out[kind + 'start'][n], out[kind + 'length'][n] = len(ask), len(ask) + len(answer)
    out[kind + 'moment'][n] = t


def make_clip(profile: str, seed: int, frames: int, coder: Coder) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Frames uint8 [T, S, S, 3] and all arrays of one clip."""
    clip = record_clip(profile, seed, frames)
    return clip.frames, describe_clip(clip, coder)


def describe_clip(clip: Clip, coder: Coder) -> dict[str, np.ndarray]:
    """All arrays of one clip: labels, questions and narrations."""
    labels = label_clip(clip, coder)
    arrays = {key: getattr(labels, key) for key in ('covered', 'words', 'history', 'times', 'marks', 'census')}
    return arrays | ask_clip(clip, labels, coder, random.Random(clip.seed))
