"""Whether the ROS processes of this machine speak to each other: the same middleware, the same domain."""

from __future__ import annotations

from collections.abc import Iterator

from stc_ros.doctor.finding import Finding, Level
from stc_ros.doctor.machine import Machine

NAME = 'middleware'


def check(machine: Machine) -> Iterator[Finding]:
    own, environ, fine = machine.rmw, machine.environ, True
    domain, reach = environ.get('ROS_DOMAIN_ID') or '0', environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    if reach == 'OFF':
        fine = False
        text = 'ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: no node finds another by itself'
        yield Finding(NAME, Level.WARN, text, 'unset it, or set it to LOCALHOST or SUBNET')
    processes = machine.ros_processes()
    for process in processes:
        if process.rmw.replace('_dynamic', '') != own.replace('_dynamic', ''):
            fine = False
            yield Finding(
                NAME,
                Level.WARN,
                f'{process} uses {process.rmw}, this environment {own}: large messages, services or all of it may '
                'not reach each other',
                f'start both with the same: export RMW_IMPLEMENTATION={process.rmw}',
            )
            continue
        other = domain if process.environ is None else process.environ.get('ROS_DOMAIN_ID') or '0'
        if other != domain and not any((p.environ or {}).get('ROS_DOMAIN_ID', '0') == domain for p in processes):
            fine = False
            text = (
                f'{process} is in the ROS_DOMAIN_ID {other}, this environment in {domain}: they do not see each other'
            )
            yield Finding(NAME, Level.WARN, text, f'if they should: export ROS_DOMAIN_ID={other}')
    if fine:
        others = f'; {len(processes)} ROS processes here use it, too' if processes else ''
        yield Finding(NAME, Level.OK, f'{own} in domain {domain}{others}')
