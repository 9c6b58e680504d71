"""Whether an image fits the shared memory through which Fast DDS sends it to other processes.

A best-effort image that is larger than the segment never arrives, and nothing says so.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping

from stc_ros.doctor.finding import Finding, Level
from stc_ros.doctor.machine import Machine

NAME = 'Fast DDS'
VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')  # the second: before Fast DDS 3
DECIDE = (*VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')
DEFAULT_SEGMENT = 512 << 10  # bytes; a message must fit into it as a whole
USUAL_IMAGE = 1280 * 720 * 3  # bytes
SET_IT = 'export FASTDDS_DEFAULT_PROFILES_FILE=$(ros2 pkg prefix stc_ros)/share/stc_ros/config/fastdds.xml'


def check(machine: Machine, image: int = USUAL_IMAGE) -> Iterator[Finding]:
    """image: bytes of the images that are to arrive."""
    if 'fastrtps' not in machine.rmw:
        return
    fine = True
    groups: dict[tuple[str, ...], list[str]] = {}  # processes by the variables that count
    for process in machine.ros_processes():
        if 'fastrtps' in process.rmw and process.environ is not None:
            groups.setdefault(tuple(process.environ.get(v, '') for v in DECIDE), []).append(str(process))
    own = tuple(machine.environ.get(v, '') for v in DECIDE)
    groups[own] = ['this environment', *groups.get(own, ())]
    for values, who in groups.items():
        for finding in _of_profile(machine, dict(zip(DECIDE, values)), ', '.join(who), image):
            fine = False
            yield finding
    whole, free = machine.space('/dev/shm')
    segment = _known_segment(machine)
    if whole and free < segment:
        fine = False
        yield Finding(
            NAME,
            Level.ERROR,
            f'/dev/shm has {free >> 20} of {whole >> 20} MiB free, less than the {segment >> 20} MiB of a process: '
            'images go by UDP, or not at all',
            'fastdds shm clean removes what killed processes left; a container: --ipc=host, or --shm-size=1g',
        )
    if fine:
        text = f'the segment of {segment >> 20} MiB holds images of {image / 2**20:.1f} MiB'
        yield Finding(NAME, Level.OK, text)


def _of_profile(machine: Machine, environ: Mapping[str, str], who: str, image: int) -> Iterator[Finding]:
    if environ.get('FASTDDS_BUILTIN_TRANSPORTS', '').startswith('LARGE_DATA'):
        return
    name = next((environ[v] for v in VARIABLES if environ.get(v)), '')
    try:
        segment = segment_size(machine, environ)
    except (ET.ParseError, ValueError) as error:
        text = f'the profile of {who}, {name}, cannot be read ({error}): Fast DDS goes on without it'
        yield Finding(NAME, Level.ERROR, text, f'correct it, or {SET_IT}')
        return
    if name and segment is None:
        text = f'the profile of {who}, {name}, is not there: Fast DDS goes on without it'
        yield Finding(NAME, Level.ERROR, text, SET_IT)
        return
    if (segment or DEFAULT_SEGMENT) < image:
        why = f'by {name}' if name else 'by default, since it names no profile'
        yield Finding(
            NAME,
            Level.WARN,
            f'{who} has a shared-memory segment of {(segment or DEFAULT_SEGMENT) >> 10} KiB ({why}): of images of '
            f'{image >> 10} KiB none arrives in another process',
            f'before it is started: {SET_IT}',
        )


def _known_segment(machine: Machine) -> int:
    try:
        return segment_size(machine, machine.environ) or DEFAULT_SEGMENT
    except (ET.ParseError, ValueError):
        return DEFAULT_SEGMENT


def segment_size(machine: Machine, environ: Mapping[str, str]) -> int | None:
    """Bytes of the segment by the profile that is named; None: none is named, or it is not there.

    Raises `ElementTree.ParseError` and `ValueError` for a profile that cannot be read.
    """
    name = next((environ[v] for v in VARIABLES if environ.get(v)), '')
    text = machine.read(name) if name else ''
    if not text:
        return None
    sizes = []
    for transport in ET.fromstring(text).iter():
        if transport.tag.rpartition('}')[2] == 'transport_descriptor':
            found = {child.tag.rpartition('}')[2]: (child.text or '').strip() for child in transport}
            if found.get('type') == 'SHM':
                sizes.append(int(found.get('segment_size') or DEFAULT_SEGMENT))
    return max(sizes, default=DEFAULT_SEGMENT)
