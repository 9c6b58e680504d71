"""What makes it a package: manifest, requirements, and ./dev on machines that lack something."""

import ast
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import ROOT

# ---------------------------------------------------------------- manifest and requirements


def test_manifest_is_valid_and_names_the_licence():
    package = pytest.importorskip('catkin_pkg.package', reason='catkin_pkg comes with ROS and with ./dev')
    manifest = package.parse_package(str(ROOT / 'package.xml'))
    manifest.validate()
    assert manifest.licenses == ['Apache-2.0'] and manifest.get_build_type() == 'ament_cmake'
    assert (ROOT / 'LICENSE').read_text().lstrip().startswith('Apache License')
    assert f'## {manifest.version}\n' in (ROOT / 'CHANGELOG.md').read_text()


def test_manifest_names_every_ros_package_that_is_imported():
    depends = {e.text for tag in ('depend', 'exec_depend') for e in ET.parse(ROOT / 'package.xml').findall(tag)}
    ours = {'rclpy', 'launch', 'launch_ros', 'action_msgs', 'ament_index_python'}
    imported = {
        name
        for path in [*ROOT.glob('stc_ros/ros/**/*.py'), *ROOT.glob('launch/*.py')]
        for name in imports(path)
        if name in ours or name.endswith(('_msgs', '_srvs', '_interfaces'))
    }
    assert imported <= depends, imported - depends


def imports(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split('.')[0])
    return names


def test_only_the_ros_room_knows_ros():
    for path in ROOT.glob('stc_ros/**/*.py'):
        if 'ros' not in path.relative_to(ROOT / 'stc_ros').parts[:1]:
            found = {n for n in imports(path) if n.startswith(('rclpy', 'launch', 'ament')) or n.endswith('_msgs')}
            assert not found, f'{path}: {found}'


def test_the_interfaces_can_be_imported_without_torch():
    pytest.importorskip('stc_ros.msg', reason='the interfaces are not built: run ./dev build')
    code = 'import sys, stc_ros.msg, stc_ros.srv, stc_ros.action; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def test_every_executable_finds_its_program():
    for script in ROOT.glob('scripts/*'):
        first, *_ = script.read_text().splitlines()
        assert first == '#!/usr/bin/env python3' and os.access(script, os.X_OK)
        module = re.search(r'from (\S+) import main', script.read_text()).group(1)
        path = ROOT / Path(*module.split('.')).with_suffix('.py')
        assert 'def main(' in path.read_text()
        assert f'scripts/{script.name}' in (ROOT / 'CMakeLists.txt').read_text()


def test_colcon_test_runs_every_launch_test():
    files = [
        path.stem for path in ROOT.glob('test/launch/*.py') if '\ndef generate_test_description' in path.read_text()
    ]
    (listed,) = re.findall(r'set\(launch_tests ([^)]*)\)', (ROOT / 'CMakeLists.txt').read_text())
    assert listed.split() == sorted(files)


def test_every_constraint_is_an_exact_version_and_covers_what_is_required():
    def names(file):
        lines = (line.split('#')[0].strip() for line in (ROOT / 'requirements' / file).read_text().splitlines())
        return {re.split(r'[\[<>=~;! ]', line)[0].lower().replace('_', '-'): line for line in lines if line}

    constraints = names('constraints.txt')
    assert all('==' in line for line in constraints.values())
    assert constraints['torch'] == 'torch==2.13.0'
    for file in ('core.txt', 'ros.txt', 'test.txt'):
        assert names(file).keys() <= constraints.keys()


def test_contributing_names_what_is_there():
    paths = re.findall(r'`((?:stc_ros|test|docs|benchmarks)/[\w/.]*)`', (ROOT / 'CONTRIBUTING.md').read_text())
    assert len(paths) > 10 and not [path for path in paths if not (ROOT / path).exists()]


# ---------------------------------------------------------------- ./dev

TOOLS = ('bash', 'env', 'dirname', 'cat', 'grep', 'cut', 'sha256sum', 'df', 'awk', 'uname', 'make', 'cc', 'c++', 'true')


@pytest.fixture
def bare(tmp_path):
    """A fresh clone's ./dev on a machine that has `TOOLS` and this Python; `bare.bin` is its PATH."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        pytest.skip('for this Python PyPI has no ROS: ./dev takes it only with a sourced one')
    clone = tmp_path / 'clone'
    clone.mkdir()
    shutil.copy(ROOT / 'dev', clone)
    shutil.copytree(ROOT / 'requirements', clone / 'requirements')
    commands = tmp_path / 'bin'
    commands.mkdir()
    for tool in TOOLS:
        (commands / tool).symlink_to(shutil.which(tool))
    return Machine(clone, commands)


class Machine:
    def __init__(self, clone: Path, commands: Path):
        self.clone, self.bin = clone, commands
        self.give('python3', f'exec {sys.executable} "$@"')

    def give(self, tool: str, script: str) -> None:
        self.lose(tool)
        (self.bin / tool).write_text(f'#!{shutil.which("bash")}\n{script}\n')
        (self.bin / tool).chmod(0o755)

    def lose(self, tool: str) -> None:
        (self.bin / tool).unlink(missing_ok=True)

    def refuses(self, **environment: str) -> str:
        """What `./dev build` says when it gives up; it must leave nothing behind."""
        done = subprocess.run(
            [shutil.which('bash'), str(self.clone / 'dev'), 'build'],
            capture_output=True,
            text=True,
            env={'PATH': str(self.bin), **environment},
            timeout=60,
        )
        assert done.returncode == 1, done
        assert done.stderr.startswith('./dev: '), done.stderr
        assert not (self.clone / '.venv').exists()
        return done.stderr


def test_without_a_python_it_says_which_to_install(bare):
    bare.give('python3', 'exit 1')  # as one that is too old
    assert 'no Python 3.10 to 3.13 found' in (said := bare.refuses()) and 'apt install python3' in said
    bare.lose('python3')
    assert 'no Python 3.10 to 3.13 found' in bare.refuses()
    assert '/my/python' in bare.refuses(PYTHON='/my/python')


def test_without_the_venv_module_it_says_how_to_get_it(bare):
    bare.give('python3', f'[[ $2 == *ensurepip* ]] && exit 1; exec {sys.executable} "$@"')
    assert 'python3-venv' in bare.refuses()


@pytest.mark.parametrize('tool', ['cc', 'c++', 'make'])
def test_without_a_compiler_it_says_how_to_get_it(bare, tool):
    bare.lose(tool)
    assert f"no '{tool}' found" in (said := bare.refuses()) and 'build-essential' in said


def test_without_python_headers_it_says_how_to_get_them(bare):
    bare.give('python3', f'[[ $2 == *Python.h* ]] && exit 1; exec {sys.executable} "$@"')
    assert 'python3-dev' in bare.refuses()


def test_without_disk_space_it_says_how_much_is_needed(bare):
    bare.give(
        'df',
        "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'\n"
        "echo '/dev/sda1 10000000 7000000 3000000 70% /'",
    )
    assert 'only 2 GiB free' in (said := bare.refuses()) and '4 GiB are needed' in said


def test_where_pypi_has_no_ros_it_says_to_source_one(bare):
    bare.give('uname', 'echo Linux aarch64')
    assert 'this is Linux aarch64' in (said := bare.refuses()) and 'source' in said


def test_a_sourced_ros_of_another_python_is_named(bare):
    bare.give('python3', f'[[ $2 == *rclpy* ]] && exit 1; exec {sys.executable} "$@"')
    assert 'cannot import its rclpy' in (said := bare.refuses(ROS_DISTRO='jazzy')) and 'jazzy' in said


def dev(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(ROOT / 'dev'), *arguments], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


def test_help_names_every_command():
    said = dev('--help')
    assert said.returncode == 0
    commands = re.findall(r'^  ([a-z-]+)\)(?: |$)', (ROOT / 'dev').read_text(), re.MULTILINE) + ['bench']
    assert {'demo', 'test', 'build', 'train-tiny', 'quality', 'docs', 'lint', 'types', 'run'} <= set(commands)
    assert all(re.search(rf'^  {command}\b', said.stdout, re.MULTILINE) for command in commands)


def test_a_command_that_is_not_there_is_named():
    said = dev('dance')
    assert said.returncode == 1 and "no command 'dance'" in said.stderr


needs_environment = pytest.mark.skipif(
    not (ROOT / '.venv' / 'stamp').exists(), reason='the environment was not made by ./dev'
)


@needs_environment
def test_a_later_run_needs_no_network_and_passes_exit_codes_on():
    nowhere = {'PIP_INDEX_URL': 'http://127.0.0.1:9/', 'PIP_NO_INDEX': '1'}
    assert dev('run', 'true', **nowhere).returncode == 0
    assert dev('run', 'bash', '-c', 'exit 7', **nowhere).returncode == 7


@needs_environment
def test_what_the_user_has_set_is_respected():
    names = ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    said = dev('run', 'printenv', *names, **dict(zip(names, ('SUBNET', '/my.xml'))))
    assert said.stdout.split() == ['SUBNET', '/my.xml']
    without = {k: v for k, v in os.environ.items() if k not in names}
    said = subprocess.run([str(ROOT / 'dev'), 'run', 'printenv', *names], capture_output=True, text=True, env=without)
    assert said.stdout.split() == ['LOCALHOST', str(ROOT / 'config' / 'fastdds.xml')]


@pytest.mark.parametrize('fails', ['', 'lint', 'types', 'test'])
def test_ci_runs_all_of_it_and_fails_where_anything_does(tmp_path, fails):
    (tmp_path / '.ci').mkdir()
    shutil.copy(ROOT / '.ci' / 'run', tmp_path / '.ci')
    (tmp_path / 'dev').write_text(f'#!/bin/sh\necho "$@" >>"$0.log"\n[ "$1" != "{fails}" ]\n')
    (tmp_path / 'dev').chmod(0o755)
    done = subprocess.run([tmp_path / '.ci' / 'run'], capture_output=True, text=True)
    assert done.returncode == bool(fails) and done.stderr.endswith(f'failed: {fails}\n' if fails else '')
    assert (tmp_path / 'dev.log').read_text().split() == ['lint', 'types', 'test']


def test_with_a_sourced_ros_the_systems_packages_keep_their_version(tmp_path):
    """Its messages are built with the system's numpy; ours must not take its place."""
    constraints = tmp_path / 'constraints.txt'
    constraints.write_text('# comment\nPyTest==0.1\nno_such-package==1.0\n')
    said = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'own_constraints.py'), str(constraints)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == '# comment\nno_such-package==1.0\n'
