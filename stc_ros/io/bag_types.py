"""The message types that a bag defines: of topics, and of what services and actions publish of themselves.

rosbag2 writes of a service's events not the type of the message but the service it belongs to: a part headed
`SRV: package/srv/Name`, with `ACTION:` for an action (rosbag2#2365), or nothing where it finds no file. What the event
then looks like follows from it, as rosidl makes it.
"""

from __future__ import annotations

import re
from pathlib import Path

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys import get_types_from_idl, get_types_from_msg

OWN = Path(__file__).resolve().parents[2]  # of a checkout: our own interfaces lie beside the package
RULE = '=' * 80 + '\n'
EVENT = 'service_msgs/ServiceEventInfo info\n{name}_Request[<=1] request\n{name}_Response[<=1] response\n'
GOAL_ID = 'unique_identifier_msgs/UUID goal_id\n'
_INTERFACE = re.compile(r'(\w+)/(srv|action)/(\w+?)(?:_Event|_SendGoal_Event|_GetResult_Event|_FeedbackMessage)?')


def definitions(connection: Connection) -> dict:
    """The types that a connection defines, with all that they hold; none where the bag does not say."""
    text, type = connection.msgdef.data, connection.msgtype
    interface = _INTERFACE.fullmatch(type)
    if interface and (not text or text.startswith((RULE + 'SRV: ', RULE + 'ACTION: '))):
        return _of_interface(type, text.split('\n', 2)[2] if text else _own(*interface.groups()), *interface.groups())
    if connection.msgdef.format == MessageDefinitionFormat.MSG:
        return _named(type, get_types_from_msg(text, type))
    if connection.msgdef.format == MessageDefinitionFormat.IDL:
        parts = [part.split('\n', 1)[1] for part in text.split(RULE + 'IDL: ')[1:]] or [text]
        return {name: fields for part in parts for name, fields in get_types_from_idl(part).items()}
    return {}


def _named(wanted: str, types: dict) -> dict:
    """rosbags calls what is defined first a msg; a topic may call it a srv's or an action's."""
    return types if wanted in types else {**types, wanted: next(iter(types.values()))}


def _of_interface(wanted: str, text: str, package: str, kind: str, name: str) -> dict:
    """Of a .srv or .action file's text, behind which other types may stand. {} where there is none."""
    own, *others = text.split(RULE)
    parts = re.split(r'^---\s*$', own, flags=re.M)
    if kind == 'srv' and len(parts) == 2:
        made = {f'{name}_Request': parts[0], f'{name}_Response': parts[1], f'{name}_Event': EVENT.format(name=name)}
    elif kind == 'action' and len(parts) == 3:
        made = {
            **dict(zip((f'{name}_Goal', f'{name}_Result', f'{name}_Feedback'), parts)),
            f'{name}_FeedbackMessage': f'{GOAL_ID}{name}_Feedback feedback\n',
            f'{name}_SendGoal_Request': f'{GOAL_ID}{name}_Goal goal\n',
            f'{name}_SendGoal_Response': 'bool accepted\nbuiltin_interfaces/Time stamp\n',
            f'{name}_SendGoal_Event': EVENT.format(name=f'{name}_SendGoal'),
            f'{name}_GetResult_Request': GOAL_ID,
            f'{name}_GetResult_Response': f'int8 status\n{name}_Result result\n',
            f'{name}_GetResult_Event': EVENT.format(name=f'{name}_GetResult'),
        }
    else:
        return {}
    top = wanted.rsplit('/', 1)[1]
    if not (first := made.pop(top, '')):
        return {}
    inner = [f'MSG: {package}/msg/{each}\n{fields}\n' for each, fields in made.items()]
    others = [part for part in others if part.startswith('MSG: ')]
    return _named(wanted, get_types_from_msg(RULE.join([f'{first}\n', *inner, *others]), f'{package}/msg/{top}'))


def _own(package: str, kind: str, name: str) -> str:
    """The file's text and that of our messages, where the interface is this package's and its file is here."""
    file = OWN / kind / f'{name}.{kind}'
    if package != 'stc_ros' or not file.is_file():
        return ''
    messages = (f'MSG: stc_ros/msg/{m.stem}\n{m.read_text("utf-8")}\n' for m in sorted((OWN / 'msg').glob('*.msg')))
    return RULE.join([file.read_text('utf-8') + '\n', *messages])
