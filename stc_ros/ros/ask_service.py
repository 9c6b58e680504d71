"""Who asks, and when the request arrived: what rclpy takes off the wire and its callbacks do not get to see."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.action import ActionServer
from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.qos import QoSProfile
from rclpy.type_support import check_for_type_support
from rclpy.waitable import NumberOfEntities, Waitable

LATEST_S = 3600.0  # that a request can have waited; more is a clock that was set meanwhile
GUID = 16  # bytes of rmw_request_id_t: the client's identity; a sequence number, int64, follows


@dataclass(frozen=True, slots=True)
class Origin:
    """Of a request. client: '' where it is not known. arrived: in s of `time.monotonic`."""

    client: str = ''
    arrived: float = field(default_factory=time.monotonic)


class OriginService(Waitable):
    """A service whose callback is a coroutine (request, origin) -> response."""

    def __init__(
        self, node, kind, name: str, serve: Callable[[Any, Origin], Awaitable], group: CallbackGroup, depth: int
    ):
        super().__init__(group)
        self._node, self._kind, self._serve, self._index = node, kind, serve, None
        check_for_type_support(kind)  # loads it
        with node.handle:
            self._service = rclpy_implementation.Service(
                node.handle, kind, name, QoSProfile(depth=depth).get_c_qos_profile()
            )
        group.add_entity(self)
        node.add_waitable(self)

    def destroy(self) -> None:
        self._node.remove_waitable(self)
        self._service.destroy_when_not_in_use()

    def configure_introspection(self, clock, qos: QoSProfile, state) -> None:
        """As of an rclpy service."""
        with self._service:
            self._service.configure_introspection(clock.handle, qos.get_c_qos_profile(), state)

    def __enter__(self) -> None:
        self._service.__enter__()

    def __exit__(self, *error) -> None:
        self._service.__exit__(*error)

    def get_num_entities(self) -> NumberOfEntities:
        return NumberOfEntities(num_services=1)

    def add_to_wait_set(self, wait_set) -> None:
        self._index = wait_set.add_service(self._service)

    def is_ready(self, wait_set) -> bool:
        return wait_set.is_ready('service', self._index)

    def take_data(self):
        with self._service:
            return self._service.service_take_request(self._kind.Request)

    async def execute(self, taken) -> None:
        request, header = taken
        if header is None:  # another executor was faster
            return
        late = (time.time_ns() - header.received_timestamp) / 1e9 if header.received_timestamp > 0 else 0.0
        late = late if 0 <= late < LATEST_S else 0.0
        response = await self._serve(request, Origin(client_of(header.request_id), time.monotonic() - late))
        with self._service:
            self._service.service_send_response(response, header.request_id)


class OriginActionServer(ActionServer):
    """An action server that knows the origin of its goals: `origin_of`, once for each."""

    def __init__(self, *arguments, **options):
        self._origins: dict[bytes, Origin] = {}
        super().__init__(*arguments, **options)

    def take_data(self):
        data = super().take_data()
        if 'goal' in data:
            header, goal = data['goal']
            self._origins[bytes(goal.goal_id.uuid)] = Origin(client_of(header))
        return data

    def origin_of(self, goal) -> Origin:
        return self._origins.pop(bytes(goal.goal_id.uuid), None) or Origin()


def client_of(request_id) -> str:
    """Which client a request came from, from its rmw_request_id_t; '' where that cannot be read.

    rclpy keeps the identity to itself. It stands before the sequence number, which rclpy does show, and by which is
    checked that what is read is what it should be: the C struct behind a pybind11 object without holders.
    """
    if type(request_id).__basicsize__ != object.__basicsize__ + 5 * ctypes.sizeof(ctypes.c_void_p):
        return ''
    address = ctypes.c_void_p.from_address(id(request_id) + object.__basicsize__).value
    raw = ctypes.string_at(address, GUID + 8) if address else bytes(GUID + 8)
    known = int.from_bytes(raw[GUID:], sys.byteorder, signed=True) == request_id.sequence_number
    return raw[:GUID].hex() if known else ''
