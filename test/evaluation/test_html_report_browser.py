"""The report in a real browser: scrubbing, links from the address, filters, and that nothing asks for the network."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import sample_results as sample

from stc_ros.evaluation.html_report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
OPTIONS = (
    '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
    '--disable-component-update --disable-sync --virtual-time-budget=3000'
).split()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='there is no chromium: apt install chromium')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    passed = (True, False, True, True)
    runs = [sample.write_run(folder / 'A', pictures=True), sample.write_run(folder / 'B', passed=passed[::-1])]
    write_report(runs, folder / 'report.html')
    return folder


def dom(folder, address: str = '', script: str = '', options: tuple = ()) -> str:
    """The page after `script` ran at `address` behind the file's name. The policy would refuse it: it gets its own."""
    page = folder / 'report.html'
    if script:
        text = page.read_text('utf-8').replace("script-src 'sha256", "script-src 'nonce-test' 'sha256")
        page = folder / 'with_script.html'
        page.write_text(text.replace('</body>', f'<script nonce="test">{script}</script></body>'), 'utf-8')
    where = ['--user-data-dir=' + str(folder / 'profile'), '--dump-dom', f'{page.as_uri()}{address}']
    done = subprocess.run([CHROMIUM, *OPTIONS, *options, *where], capture_output=True, text=True, timeout=120)
    assert '</html>' in done.stdout, done.stderr
    return done.stdout


def readout(page: str, field: str) -> list[str]:
    """What the timeline's table says, a text per run."""
    cells = re.findall(rf'<td data-run="\d" data-field="{field}">(.*?)</td>', page, re.DOTALL)
    return [re.sub('<.*?>', '', cell).strip() for cell in cells]


def test_the_address_moves_the_scrubber(folder):
    page = dom(folder, '#t=4.26')
    assert readout(page, 'frame') == ['0:04.3', '0:04.3']
    memory = 43 * 12  # what the sample says of the 43rd frame
    assert readout(page, 'memory') == [str(memory)] * 2
    assert readout(page, 'narration') == ['0:02.0 a red circle moves left'] * 2
    assert all('number 3?' in text for text in readout(page, 'question'))
    now = re.findall(r'<article class="question [^"]*\bnow\b[^>]*data-t="(\d+)"', page)
    assert now == ['3100']
    assert re.search(r'<output id="clock">0:04\.3</output>', page)
    assert re.search(r'--at: ?0\.35', page)  # 4.26 s of 11.9


def test_moving_the_scrubber_moves_all_that_follows_it(folder):
    move = "const s = document.getElementById('time'); s.value = 1700; s.dispatchEvent(new Event('input'));"
    page = dom(folder, script=move)
    assert readout(page, 'frame') == ['0:01.7'] * 2
    assert readout(page, 'narration') == ['–', '–']
    assert [text[0] for text in readout(page, 'question')] == ['✗', '✓']
    shown = re.search(r'data-field="question"><img src="(.*?)"', page)[1]  # A has pictures: the newest frame's
    card = next(each for each in re.findall(r'<article.*?</article>', page, re.DOTALL) if 'data-t="1700"' in each)
    before, newest = re.findall(r'<img src="(.*?)" alt="what A', card)
    assert shown == newest != before


def test_keys_step_over_frames(folder):
    press = (
        "const s = document.getElementById('time');"
        "const right = () => new KeyboardEvent('keydown', {key: 'ArrowRight', cancelable: true});"
        'for (let i = 0; i < 3; i++) s.dispatchEvent(right());'
    )
    assert readout(dom(folder, script=press), 'frame') == ['0:00.3'] * 2


def test_filters_hide_what_does_not_fit(folder):
    click = "document.querySelector('[data-filter=failed]').click();"
    page = dom(folder, script=click)
    hidden = re.findall(r'<article class="question (\w+)[^>]*\bhidden\b', page)
    assert hidden == ['passed', 'passed']


def test_an_address_of_a_question_opens_it(folder):
    page = dom(folder, '#q4')
    assert len(re.findall(r'<details open', re.search(r'id="q4".*?</article>', page, re.DOTALL)[0])) == 1


def test_nothing_is_asked_for_and_nothing_is_wider_than_a_small_window(folder):
    watch = (
        "const names = performance.getEntriesByType('resource').map((each) => each.name);"
        "document.body.dataset.asked = names.filter((name) => !name.startsWith('data:')).length;"
        'document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth;'
        'document.body.dataset.small = innerWidth < 640;'
    )
    page = dom(folder, script=watch, options=('--window-size=500,900',))
    assert 'data-asked="0"' in page and 'data-small="true"' in page and 'data-wide="false"' in page


def test_every_camera_follows_the_one_time(folder):
    rng = np.random.default_rng(0)
    left = [sample.frame(n, rng, '/left', memory_tokens=n) for n in range(50)]
    right = [sample.frame(n, rng, '/right', memory_tokens=1000 + n) for n in range(0, 50, 2)]
    question = sample.question(0, True, camera='/right')
    frames = sorted([*left, *right], key=lambda each: each['stamp'])
    cameras = folder / 'cameras'
    sample.write(cameras / 'A', [{'kind': 'run'}, *frames, question, sample.summary([question])], [])
    write_report([cameras / 'A'], cameras / 'report.html')
    page = dom(cameras, '#t=3.1')
    assert readout(page, 'memory') == ['31', '1030']
    assert [text[0] for text in readout(page, 'question')] == ['–', '✓']
