"""Reads an SROS 2 policy, and refuses what its format does not have (design.ros2.org, access control policies)."""

import re
import xml.etree.ElementTree as ET

CHILDREN = {
    'policy': {'enclaves'},
    'enclaves': {'enclave'},
    'enclave': {'profiles'},
    'profiles': {'profile'},
    'profile': {'topics', 'services', 'actions'},
    'topics': {'topic'},
    'services': {'service'},
    'actions': {'action'},
    'topic': set(),
    'service': set(),
    'action': set(),
}
ATTRIBUTES = {
    'policy': {'version'},
    'enclave': {'path'},
    'profile': {'ns', 'node'},
    'topics': {'publish', 'subscribe'},
    'services': {'reply', 'request'},
    'actions': {'call', 'execute'},
}
NAME = re.compile(r'(/[A-Za-z_][A-Za-z0-9_]*)+')


def read(text):
    """{(enclave, node): {'topics publish': {names}, ...}}. Raises `ValueError`."""
    root = ET.fromstring(text)
    if root.tag != 'policy' or root.get('version') != '0.2.0':
        raise ValueError('no policy of version 0.2.0')
    _check(root)
    allowed = {}
    for enclave in root.iter('enclave'):
        for profile in enclave.iter('profile'):
            rules = allowed.setdefault((enclave.get('path'), profile.get('node')), {})
            for part in profile:
                for kind, rule in part.attrib.items():
                    if rule != 'ALLOW':
                        raise ValueError(f'{kind}={rule}')
                    rules.setdefault(f'{part.tag} {kind}', set()).update(each.text for each in part)
    return allowed


def _check(element):
    if not CHILDREN[element.tag]:
        if not NAME.fullmatch(element.text or ''):
            raise ValueError(f'{element.tag} {element.text!r} is no full name')
    elif not len(element):
        raise ValueError(f'an empty {element.tag}')
    if extra := set(element.attrib) - ATTRIBUTES.get(element.tag, set()):
        raise ValueError(f'{element.tag} has {extra}')
    if element.tag in ('topics', 'services', 'actions'):
        if not element.attrib:
            raise ValueError(f'{element.tag} without a rule')
    elif missing := ATTRIBUTES.get(element.tag, set()) - set(element.attrib):
        raise ValueError(f'{element.tag} without {missing}')
    for child in element:
        if child.tag not in CHILDREN[element.tag]:
            raise ValueError(f'{child.tag} in {element.tag}')
        _check(child)
