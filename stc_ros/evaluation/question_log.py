"""What a robot was asked while a bag was recorded, and what it answered: questions with proposals, for a question file.

Three things in a bag tell of it, each found by its type: what the service `ask` publishes of itself
(`/ask/_service_event`), what the action `ask_stream` does (`.../send_goal/_service_event`, `.../get_result/...`), both
with the node's parameter `query.introspection`, and the node's `~/events`, whose rise or fall says yes or no to the
condition of a watch.

A question's time is the stamp of the newest frame that its answer knew, so that a replay knows the same; where there is
no answer, the time of the request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stc_ros.engine.questions import Error
from stc_ros.evaluation.question_edit import entry, seconds
from stc_ros.io.bag_files import BagError

if TYPE_CHECKING:
    from stc_ros.io.bags import Bag

ASK, WATCH = 'stc_ros/srv/Ask_Event', 'stc_ros/msg/WatchEvent'
SEND, RESULT = 'stc_ros/action/AskStream_SendGoal_Event', 'stc_ros/action/AskStream_GetResult_Event'
TYPES = (ASK, SEND, RESULT, WATCH)
SERVER, RESPONSES = (1, 2), (2, 3)  # event_type of service_msgs/ServiceEventInfo
REFUSED = (Error.EMPTY_QUESTION, Error.QUESTION_TOO_LONG, Error.INVALID_REQUEST)
RISING, FALLING = 1, 2  # kind of a WatchEvent
ONLY = 'camera'  # the name that a node of one camera gives it
REMEDY = (
    'start the node with query.introspection:=true, and record its service events: '
    'ros2 bag record --all, or --services /ask beside --topics of the images'
)


@dataclass(frozen=True, slots=True)
class Logged:
    """A question that a robot was asked. stamp: ns; camera: as the node names it; answer: '' where there was none."""

    stamp: int
    camera: str
    question: str
    answer: str
    source: str  # 'ask', 'ask_stream' or 'watch'


@dataclass
class Log:
    """What a bag tells: questions by time, and by reason how many of them are left out."""

    questions: list[Logged] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_log(bag: Bag) -> Log:
    """Raises `BagError` for a bag that tells of no question, which says what to record."""
    topics = {name: type for name, type, _ in bag.topics() if type in TYPES}
    if not topics:
        raise BagError(f'{_names(bag)}: there is no topic of questions; {REMEDY}')
    calls = {name: _Calls() for name, type in topics.items() if type != WATCH}
    found = []
    for each in bag.messages(list(topics)):
        if each.type == WATCH:
            found += _of_watch(each.message)
        else:
            calls[each.topic].take(each.message)
    log = Log()
    results = {}
    for name in (name for name, type in topics.items() if type == RESULT):
        results |= {bytes(c.request.goal_id.uuid): c.response.result for c in calls[name] if c.request and c.response}
    for name, type in topics.items():
        for call in calls[name] if type in (ASK, SEND) else ():
            if call.request is None:
                log.left_out['without their request: recorded too late, or introspection gives METADATA only'] += 1
                continue
            request, response = call.request, call.response
            if type == SEND:
                request, response = request.goal, results.get(bytes(request.goal_id.uuid))
            found += _of_ask(call.stamp, request, response, 'ask' if type == ASK else 'ask_stream', log.left_out)
    log.questions = sorted(dict.fromkeys(found), key=lambda each: each.stamp)
    log.left_out['asked twice of the same frames'] = len(found) - len(log.questions)
    for each in [each for each in log.questions if not bag.start_ns <= each.stamp <= bag.end_ns]:
        log.questions.remove(each)
        log.left_out["outside of the images' time"] += 1
    log.left_out = +log.left_out
    if not log.questions:
        why = ', '.join(f'{count} {what}' for what, count in log.left_out.items()) or 'there is none'
        raise BagError(f'{_names(bag)}: no question on {", ".join(topics)} can be used: {why}; {REMEDY}')
    return log


@dataclass
class _Call:
    """A call of a service."""

    stamp: int  # ns; of the request
    request: Any = None
    response: Any = None


class _Calls:
    """The calls that the events on one topic tell of. Where the server tells of them, clients need not be heard."""

    def __init__(self):
        self._by: dict[bool, dict[tuple[bytes, int], _Call]] = {True: {}, False: {}}

    def take(self, event: Any) -> None:
        info = event.info
        calls = self._by[info.event_type in SERVER]
        call = calls.setdefault((bytes(info.client_gid), info.sequence_number), _Call(_ns(info.stamp)))
        if info.event_type in RESPONSES:
            call.response = next(iter(event.response), None)
        else:
            call.request = next(iter(event.request), None)

    def __iter__(self) -> Iterator[_Call]:
        return iter((self._by[True] or self._by[False]).values())


def _of_ask(stamp: int, request: Any, response: Any, source: str, left_out: Counter[str]) -> Iterator[Logged]:
    """A question for each camera that was asked."""
    if response is None:
        yield Logged(stamp, request.camera, request.question.strip(), '', source)
        return
    error = list(Error)[response.error_code] if response.error_code < len(Error) else Error.NONE
    if error in REFUSED:
        left_out[f'refused as {error.name}'] += 1
        return
    if response.answers:
        for each in response.answers:
            yield Logged(
                _ns(each.last_stamp) or stamp, each.camera, request.question.strip(), each.answer.strip(), source
            )
    else:
        answered = _ns(response.last_stamp) or stamp
        yield Logged(answered, request.camera, request.question.strip(), response.answer.strip(), source)


def _of_watch(event: Any) -> Iterator[Logged]:
    if event.kind in (RISING, FALLING):
        condition, answer = event.condition.strip(), 'yes' if event.kind == RISING else 'no'
        question = condition if condition.endswith('?') else f'{condition}: yes or no ?'
        yield Logged(_ns(event.header.stamp), event.camera, question, answer, 'watch')


def topics_of(bag: Bag, log: Log, given: Iterable[str]) -> dict[str, str]:
    """The image topic of each camera that the log names; '' where the bag has only one.

    given: TOPIC, of all of them, or NAME=TOPIC. Raises `BagError` where a topic cannot be told.
    """
    known = {}
    for each in given:
        name, _, topic = each.rpartition('=')
        known[name] = bag.choose(topic)
    filled = [topic.name for topic in bag.image_topics() if topic.count]
    found = {}
    for name in dict.fromkeys(each.camera for each in log.questions):
        named = [topic for topic in filled if name in topic.split('/')]
        if name in known or '' in known:
            found[name] = known.get(name) or known['']
        elif len(filled) == 1 and name in ('', ONLY):
            found[name] = ''
        elif len(named) == 1:
            found[name] = named[0]
        else:
            what = f'the camera {name!r}' if name else 'questions of no named camera'
            option = f'--camera {name}=TOPIC' if name else '--camera TOPIC'
            raise BagError(
                f'{_names(bag)}: which images belong to {what}? Give {option}; its image topics: {", ".join(filled)}'
            )
    return found


def write_file(bag: Bag, log: Log, topics: Mapping[str, str], command: str) -> str:
    """The text of a question file. command: with which it is labelled."""
    lines = [f'# What was asked while {_names(bag)} was recorded. `proposed` is what the robot answered; nothing is\n',
             f'# scored before it is labelled: {command}\n', 'questions:\n']  # fmt: skip
    counts: Counter[str] = Counter()
    for each in log.questions:
        counts[each.source] += 1
        fields = {'id': f'{each.source}-{counts[each.source]}', 'at': seconds(each.stamp - bag.start_ns)}
        if topic := topics[each.camera]:
            fields['camera'] = topic
        lines.append(entry(fields | {'question': each.question, 'proposed': each.answer, 'tags': [each.source]}))
    return ''.join(lines)


def _ns(stamp: Any) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def _names(bag: Bag) -> str:
    return ', '.join(str(path) for path in bag.paths)
