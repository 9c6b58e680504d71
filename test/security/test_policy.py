"""The SROS 2 policies: of the format that `ros2 security` reads, and no wider than they must be."""

import shutil
import subprocess

import pytest
from conftest import ROOT
from security.policy import read

FILE = ROOT / 'config' / 'sros2' / 'stc_ros.policy.xml'
TEXT = FILE.read_text()


def test_it_is_a_policy():
    allowed = read(TEXT)
    assert {enclave for enclave, _ in allowed} == {'/stc_stream', '/stc_client', '/stc_operator'}
    if shutil.which('xmllint'):
        subprocess.run(['xmllint', '--noout', str(FILE)], check=True)


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('version="0.2.0"', 'version="0.1.0"'),
        ('<topic>/image</topic>', '<topic>/image*</topic>'),
        ('<topic>/image</topic>', '<service>/image</service>'),
        ('publish="ALLOW"', 'publish="YES"'),
        ('ns="/" node="stc_stream"', 'node="stc_stream"'),
        ('<topics subscribe="ALLOW">', '<topics>'),
    ],
)
def test_what_is_no_policy_is_refused(old, new):
    """The control of the reader."""
    assert old in TEXT
    with pytest.raises(ValueError):
        read(TEXT.replace(old, new, 1))


def test_who_asks_can_neither_set_parameters_nor_switch_the_node_off():
    (rules,) = (rules for (enclave, _), rules in read(TEXT).items() if enclave == '/stc_client')
    assert rules['services request'] == {'/ask'} and rules['actions call'] == {'/ask_stream'}
    assert not any(topic.startswith('/stc_stream') for topic in rules['topics publish'])


def test_whoever_publishes_images_is_not_the_node():
    rules = read(TEXT)['/stc_stream', 'stc_stream']
    assert '/image' in rules['topics subscribe'] and not {'/image', '/clock'} & rules['topics publish']
    assert 'services request' not in rules and 'actions call' not in rules


@pytest.mark.skipif(not shutil.which('ros2'), reason='ros2 security is not installed here')
def test_ros2_security_makes_keys_of_it(tmp_path):
    probe = subprocess.run(['ros2', 'security', '--help'], capture_output=True)
    if probe.returncode:
        pytest.skip('this ROS has no ros2 security')
    keys = tmp_path / 'keys'
    subprocess.run(['ros2', 'security', 'create_keystore', str(keys)], check=True)
    subprocess.run(['ros2', 'security', 'generate_artifacts', '-k', str(keys), '-p', str(FILE)], check=True)
    for enclave in ('stc_stream', 'stc_client', 'stc_operator'):
        assert (keys / 'enclaves' / enclave / 'permissions.p7s').is_file()
