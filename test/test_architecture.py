"""The house: imports point down, nothing goes in circles, ROS stays in its room, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / 'stc_ros'
LAYERS = [  # the lowest first; what stands in one line may import what stands in lines above it, and its own kind
    ('parameter_spec', 'timing', 'transfer', 'background_stream', 'parent_watchdog', 'client'),
    ('registry', 'watch_parameters'),
    ('parameters',),
    ('settings',),
    ('settings_export',),
    ('io',),
    ('synthetic',),
    ('models',),
    ('vision',),
    ('pruning', 'memory'),
    ('report', 'answer'),
    ('stream',),
    ('self_test',),
    ('engine',),
    ('watches',),
    ('doctor',),
    ('evaluation', 'ros'),
    ('realtime', 'cli_doctor', 'cli_models', 'cli_mcp'),
    ('__main__',),
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
CORE = ('stream.py', 'answer.py', 'report.py', 'vision', 'pruning', 'memory', 'engine')
CORE_MODELS = ('base', 'decoder', 'attention', 'tower', 'chat_template', 'narration_style', 'families/llava_onevision')
GENERATED = ('stc_ros.msg', 'stc_ros.srv', 'stc_ros.action')


def modules():
    return sorted(p for p in PACKAGE.rglob('*.py'))


def name_of(file):
    parts = file.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(file, top_only=False):
    """Modules that a file imports; not those under TYPE_CHECKING or `if __name__ == ...`."""
    found = set()

    def visit(nodes):
        for node in nodes:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module)
                found.update(f'{node.module}.{alias.name}' for alias in node.names)
            elif isinstance(node, ast.If) and ast.unparse(node.test).startswith(('TYPE_CHECKING', '__name__')):
                continue
            elif not (top_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
                visit(ast.iter_child_nodes(node))

    visit(ast.parse(file.read_text()).body)
    return found


def room(module):
    return module.split('.')[1]


@pytest.mark.parametrize('file', modules(), ids=name_of)
def test_imports_point_down(file):
    name = name_of(file)
    if name == 'stc_ros':
        return
    for module in imports(file):
        if module.startswith('stc_ros.') and not module.startswith(GENERATED):
            assert LEVEL[room(module)] < LEVEL[room(name)] or room(module) == room(name), f'{name} imports {module}'
        assert not module.startswith(('training', 'demo', 'benchmarks')), f'{name} imports {module}'
        if module.split('.')[0] in ('rclpy', 'sensor_msgs', 'rcl_interfaces', 'std_msgs', 'ament_index_python'):
            assert room(name) == 'ros', f'{name} imports {module}'


def test_nothing_goes_in_circles():
    graph = {name_of(f): {m for m in imports(f, top_only=True) if m.startswith('stc_ros.')} for f in modules()}
    done, path = set(), []

    def visit(name):
        assert name not in path, ' -> '.join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for module in (graph[name] & graph.keys()) - {name}:
            visit(module)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_no_file_is_longer_than_300_lines_and_the_core_stays_small():
    files = subprocess.run(['git', 'ls-files', '*.py'], cwd=ROOT, capture_output=True, text=True)
    listed = [ROOT / f for f in files.stdout.split() if (ROOT / f).is_file()]
    if not listed:
        pytest.skip('no git here')
    long = {str(f.relative_to(ROOT)): n for f in listed if (n := len(f.read_text().splitlines())) > 300}
    assert not long
    core = [f for f in listed if f.is_relative_to(PACKAGE) and f.relative_to(PACKAGE).parts[0] in CORE]
    core += [PACKAGE / 'models' / f'{name}.py' for name in CORE_MODELS]
    lines = sum(bool(line.strip()) for f in core for line in f.read_text().splitlines())
    assert lines <= 3700, f'{lines} lines that are not blank'


def test_the_engine_and_the_messages_need_neither_torch_nor_rclpy():
    code = (
        'import sys, stc_ros.engine.worker, stc_ros.engine.narrator, stc_ros.settings; '
        'print([m for m in ("torch", "rclpy") if m in sys.modules])'
    )
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == '[]'
