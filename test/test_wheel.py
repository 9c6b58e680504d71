"""What `pip install .` brings: all that needs no ROS, and nothing else."""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from email.parser import HeaderParser

import pytest
from conftest import ROOT

BUILD = 'import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])'
NOT_SOURCES = shutil.ignore_patterns(
    '.*', '__pycache__', 'build', 'install', 'log', 'site', 'runs', 'out', '*.egg-info'
)

USE = """
import sys
from importlib.util import find_spec

import stc_ros.engine.worker, stc_ros.evaluation.run, stc_ros.io.video, stc_ros.models.real_eye
from stc_ros.models import load_model
from stc_ros.stream import open_stream
from stc_ros.synthetic import record

stream = open_stream(load_model())
for number, frame in enumerate(record('busy', 7, frames=4).frames):
    stream.see(frame, number)
assert ''.join(stream.ask('what is moving ?')).strip()
assert stc_ros.__path__ == [sys.argv[1] + '/stc_ros'], stc_ros.__path__
assert not [name for name in ('stc_ros.ros', 'training', 'demo', 'benchmarks') if find_spec(name)]
assert not [name for name in sys.modules if name.startswith(('rclpy', 'rosidl'))]
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel, unpacked. It is built of a copy: setuptools would mix its files with those of colcon in build/."""
    pytest.importorskip('setuptools', minversion='77', reason='an older one does not read this pyproject.toml')
    source, made = tmp_path_factory.mktemp('source') / 'stc_ros', tmp_path_factory.mktemp('wheel')
    shutil.copytree(ROOT, source, ignore=NOT_SOURCES)
    done = subprocess.run([sys.executable, '-c', BUILD, str(made)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = made.glob('*.whl')
    with zipfile.ZipFile(file) as archive:
        archive.extractall(made / 'unpacked')
    return made / 'unpacked'


def test_it_holds_all_of_the_package_but_what_needs_ros(wheel):
    found = {p.relative_to(wheel) for p in wheel.rglob('*') if p.is_file()}
    found = {path for path in found if not path.parts[0].endswith('.dist-info')}
    files = {p.relative_to(ROOT) for p in (ROOT / 'stc_ros').rglob('*') if p.is_file() and '__pycache__' not in p.parts}
    assert found == {path for path in files if path.parts[1] != 'ros'}


def test_its_metadata_come_from_the_manifest_and_the_requirements(wheel):
    (file,) = wheel.glob('*.dist-info/METADATA')
    about, package = HeaderParser().parsestr(file.read_text()), ET.parse(ROOT / 'package.xml')
    assert about['Version'] == package.findtext('version')
    assert about['Summary'] == ' '.join(package.findtext('description').split())
    assert about['License-Expression'] == package.findtext('license')
    lines = (ROOT / 'requirements' / 'core.txt').read_text().splitlines()
    needed = [each for each in about.get_all('Requires-Dist') if 'extra ==' not in each]
    assert len(needed) == sum(bool(line.split('#')[0].strip()) for line in lines)
    extras = {'ros', 'evaluation', 'tune', 'ray', 'datasets', 'training', 'quantised', 'mcp', 'all'}
    assert set(about.get_all('Provides-Extra')) == extras


def test_no_extra_brings_a_second_ros(wheel):
    (file,) = wheel.glob('*.dist-info/METADATA')
    needed = HeaderParser().parsestr(file.read_text()).get_all('Requires-Dist')
    assert not [each for each in needed if each.startswith(('ros-', 'rclpy', 'numpy<', 'opencv-python;'))]


def test_without_ros_it_answers(wheel, tmp_path):
    environment = {**os.environ, 'PYTHONPATH': str(wheel)}
    done = subprocess.run(
        [sys.executable, '-c', USE, str(wheel)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
