"""The doctor names what is wrong with machines that are not there, and says nothing of those that are well."""

import json
import os
import re
import time

import pytest
from conftest import ROOT
from doctor.fake_machine import ORIN, THOR, XAVIER, make, process, with_gpu

from stc_ros.__main__ import main
from stc_ros.doctor import CHECKS, Finding, Level, Machine, examine
from stc_ros.doctor.fast_dds import DEFAULT_SEGMENT, segment_size
from stc_ros.doctor.finding import as_json, as_text
from stc_ros.settings import Settings

CPU = {'torch': '2.13.0+cpu'}
CU13 = {'torch': '2.13.0+cu130', 'cuda': '13.0'}
CU12 = {'torch': '2.9.1+cu128', 'cuda': '12.8'}
ORINS = {'torch': '2.8.0', 'cuda': '12.6'}  # jetson-ai-lab's
NO_NODE = {k: v for k, v in with_gpu().items() if not k.startswith('/dev')}
BAD = {  # files, PyTorch: check, level, words of the cause, words of the remedy
    'CUDA lost to pip': (with_gpu(), CPU, 'PyTorch', 'ERROR', r'without CUDA.*RTX 4060.*pip', 'whl/cu130'),
    'CUDA lost, old driver': (with_gpu('550.54.15'), CPU, 'PyTorch', 'ERROR', 'without CUDA', 'whl/cu128'),
    'driver too old': (with_gpu('550.54.15'), CU13, 'PyTorch', 'ERROR', 'from 580 on; this one is 550', 'update'),
    'container without GPU': (NO_NODE, CU13, 'PyTorch', 'ERROR', 'no device to reach it', '--gpus all'),
    'no PyTorch': ({}, {'torch': ''}, 'PyTorch', 'ERROR', 'not installed', './dev build'),
    'PyPI torch on Orin': ({'/etc/nv_tegra_release': ORIN}, {}, 'JetPack', 'ERROR', 'no CUDA', 'jp6/cu126'),
    "servers' torch on Orin": ({'/etc/nv_tegra_release': ORIN}, {'torch': '2.9.1+cu126', 'cuda': '12.6'}, 'JetPack',
        'WARN', "pytorch.org's for ARM servers", 'jp6/cu126'),
    'CUDA 13 on Orin': ({'/etc/nv_tegra_release': ORIN}, CU13, 'JetPack', 'ERROR', 'built for CUDA 13.0', 'jp6/cu126'),
    'CUDA 12 on Thor': ({'/etc/nv_tegra_release': THOR}, CU12, 'JetPack', 'ERROR', 'JetPack 7.*CUDA 13', 'whl/cu130'),
    'JetPack 5': ({'/etc/nv_tegra_release': XAVIER}, ORINS, 'JetPack', 'ERROR', 'JetPack 5', 'update to JetPack 6'),
    'unknown Jetson': ({'/etc/nv_tegra_release': ORIN.replace('R36', 'R99')}, ORINS, 'JetPack', 'WARN', 'R99', 'hand'),
    'little memory': ({'/proc/meminfo': 'MemTotal: 900000 kB\nMemAvailable:  260000 kB\n'}, {}, 'memory', 'ERROR',
        'only 254 MiB are free', 'smaller model'),
    'little memory at these settings': ({'/proc/meminfo': 'MemAvailable:  530000 kB\n'}, {}, 'memory', 'ERROR',
        'embedded model in float32 needs about', 'memory.max_tokens:='),
    'a container with little memory': ({'/proc/meminfo': 'MemAvailable: 9000000 kB\n',
        '/sys/fs/cgroup/memory.max': '300000000\n', '/sys/fs/cgroup/memory.current': '90000000\n'}, {}, 'memory',
        'ERROR', 'only 200 MiB', 'smaller'),
    'unreadable memory': ({'/proc/meminfo': ''}, {}, 'memory', 'WARN', 'cannot be read', 'by hand'),
    'another RMW': (process(31, 'camera_driver', 'rmw_cyclonedds_cpp'), {}, 'middleware', 'WARN',
        r'camera_driver \(process 31\) uses rmw_cyclonedds_cpp', 'RMW_IMPLEMENTATION=rmw_cyclonedds_cpp'),
    'zenoh': (process(31, 'camera', 'rmw_zenoh_cpp'), {}, 'middleware', 'WARN', 'rmw_zenoh_cpp', 'rmw_zenoh_cpp'),
    'another domain': (process(7, 'camera', 'rmw_fastrtps_cpp', ROS_DOMAIN_ID='42'), {}, 'middleware', 'WARN',
        'ROS_DOMAIN_ID 42, this environment in 0', 'export ROS_DOMAIN_ID=42'),
    'no discovery': ({}, {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}, 'middleware', 'WARN', 'is OFF', 'LOCALHOST'),
    'no profile': ({}, {}, 'Fast DDS', 'WARN', '512 KiB .by default', 'export FASTDDS_DEFAULT_PROFILES_FILE'),
    'a small segment': ({'/p.xml': '<dds><profiles><transport_descriptors><transport_descriptor><type>SHM</type>'
        '<segment_size>1048576</segment_size></transport_descriptor></transport_descriptors></profiles></dds>'},
        {'FASTDDS_DEFAULT_PROFILES_FILE': '/p.xml'}, 'Fast DDS', 'WARN', '1024 KiB .by /p.xml', 'fastdds.xml'),
    'a lost profile': ({}, {'FASTDDS_DEFAULT_PROFILES_FILE': '/gone.xml'}, 'Fast DDS', 'ERROR', 'gone.xml, is',
        'fastdds.xml'),
    'a broken profile': ({'/p.xml': '<dds><pro'}, {'FASTDDS_DEFAULT_PROFILES_FILE': '/p.xml'}, 'Fast DDS', 'ERROR',
        'cannot be read', 'correct it'),
    "the camera's profile": ({'/p.xml': (ROOT / 'config' / 'fastdds.xml').read_text(),
        **process(9, 'usb_cam', 'rmw_fastrtps_cpp', LANG='C')}, {'FASTDDS_DEFAULT_PROFILES_FILE': '/p.xml'}, 'Fast DDS',
        'WARN', r'usb_cam \(process 9\) has .* 512 KiB', 'before it is started'),
}  # fmt: skip
MEMORY = {'/proc/meminfo': 'MemAvailable: 9000000 kB\n'}
PROFILE = {'/p.xml': (ROOT / 'config' / 'fastdds.xml').read_text()}
NAMED = {'FASTDDS_DEFAULT_PROFILES_FILE': '/p.xml'}
GOOD = {
    'a desktop without GPU': ({}, CPU),
    'a desktop with GPU': (with_gpu(), CU13),
    'an older CUDA on a newer driver': (with_gpu(), CU12),
    'an Orin': ({'/etc/nv_tegra_release': ORIN}, ORINS),
    'a Thor': ({'/etc/nv_tegra_release': THOR}, CU13),
    'a camera of the same kind': (process(9, 'usb_cam', 'rmw_fastrtps_cpp', **NAMED), CPU),
    'tcp for large data': (process(9, 'usb_cam', 'rmw_fastrtps_cpp', FASTDDS_BUILTIN_TRANSPORTS='LARGE_DATA'), CPU),
}


@pytest.mark.parametrize('case', BAD)
def test_what_is_wrong_is_named_with_its_remedy(tmp_path, case):
    files, about, check, level, cause, remedy = BAD[case]
    found = [f for f in examine(make(tmp_path, files, **about), Settings()) if f.check == check]
    bad = [f for f in found if f.level > Level.OK]
    assert len(bad) == 1 and bad[0].level is Level[level], found
    assert re.search(cause, bad[0].text) and re.search(remedy, bad[0].remedy), bad[0]


@pytest.mark.parametrize('case', GOOD)
def test_of_what_is_well_nothing_is_said(tmp_path, case):
    files, about = GOOD[case]
    machine = make(tmp_path, MEMORY | PROFILE | files, **about, **NAMED)
    # how much a GPU of its own has free only nvidia-smi knows, which no file can fake
    found = [f for f in examine(machine, Settings({'model.device': 'cpu'})) if f.level > Level.OK]
    assert not found


def test_only_the_variables_of_ros_are_kept_of_a_process(tmp_path):
    machine = make(tmp_path, process(9, 'usb_cam', 'rmw_fastrtps_cpp', ROS_DOMAIN_ID='3'))
    (found,) = machine.ros_processes()
    assert found.environ == {'ROS_DOMAIN_ID': '3'} and found.rmw == 'rmw_fastrtps_cpp'


def test_a_gpu_that_is_asked_for_and_missing_is_an_error(tmp_path):
    machine = make(tmp_path, MEMORY, **CPU)
    found = list(CHECKS['PyTorch'](machine, Settings({'model.device': 'cuda'}), 1))
    assert [f.level for f in found] == [Level.ERROR] and 'no NVIDIA GPU' in found[0].text


def test_a_larger_image_needs_a_larger_segment(tmp_path):
    machine = make(tmp_path, PROFILE, **NAMED)
    levels = [[f.level for f in CHECKS['Fast DDS'](machine, Settings(), size)] for size in (60 << 20, 70 << 20)]
    assert levels == [[Level.OK], [Level.WARN]] and segment_size(machine, machine.environ) == 64 << 20


def test_a_check_that_fails_does_not_end_the_others(tmp_path, monkeypatch):
    def breaks(*_):
        raise KeyError('x')

    monkeypatch.setitem(CHECKS, 'JetPack', breaks)
    found = list(examine(make(tmp_path, MEMORY), Settings()))
    assert {'PyTorch', 'JetPack', 'middleware'} <= {f.check for f in found}
    assert next(f for f in found if f.check == 'JetPack').level is Level.WARN


def test_this_machine_is_examined_in_time():
    for check in CHECKS.values():
        began = time.monotonic()
        assert all(isinstance(f, Finding) for f in check(Machine(), Settings(), DEFAULT_SEGMENT))
        assert time.monotonic() - began < 4  # two seconds, on a busy machine twice


def test_findings_are_written_for_people_and_for_programs():
    findings = [Finding('a', Level.OK, 'fine'), Finding('b', Level.ERROR, 'bad ' * 60, 'mend it')]
    text, coloured = as_text(findings), as_text(findings, colours=True)
    assert text.startswith('OK    a: fine\nERROR b: bad') and '   -> mend it' in text and '\033[31mERROR' in coloured
    assert all(len(line) <= 110 for line in text.splitlines())
    said = json.loads(as_json(findings))
    assert said['level'] == 'ERROR' and said['findings'][1] == {
        'check': 'b', 'level': 'ERROR', 'text': 'bad ' * 60, 'remedy': 'mend it'}  # fmt: skip


@pytest.mark.parametrize(('files', 'code'), [(MEMORY, 0), (MEMORY | {'/proc/meminfo': 'MemAvailable: 9 kB\n'}, 1)])
def test_the_command_ends_with_1_where_something_is_red(tmp_path, files, code, capsys, monkeypatch):
    for name in [n for n in os.environ if n.startswith('FAST')]:
        monkeypatch.delenv(name)
    arguments = ['doctor', '--no-ros', '--root', str(make(tmp_path, files).root)]
    assert main([*arguments, '--json']) == code
    assert (json.loads(capsys.readouterr().out)['level'] == 'ERROR') is bool(code)
    assert main(arguments) == code
    assert ('ERROR memory' in capsys.readouterr().out) is bool(code)
