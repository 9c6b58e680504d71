"""The report of an evaluation: what stands in the file is what the results say, and nothing else is loaded."""

import argparse
import html
import json
import os
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import sample_results as sample
from PIL import Image

from stc_ros.evaluation import cli_report, report_plots
from stc_ros.evaluation.html_report import Pictures, write_report
from stc_ros.evaluation.report_data import Columns, ReportError, read_run
from stc_ros.evaluation.thumbnails import save_pictures
from stc_ros.report import FrameReport


class Page(HTMLParser):
    """All tags with their attributes, and the visible text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.words, self._inside = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {'script', 'style'} & set(self._inside):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r'\s+', ' ', ' '.join(self.words))


def report(tmp_path, *folders, **options) -> str:
    write_report(folders, tmp_path / 'report.html', **options)
    return (tmp_path / 'report.html').read_text('utf-8')


def frames_of(page: str) -> dict:
    return json.loads(re.search(r'id="frames">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture
def two(tmp_path):
    passed = (False, True, False, True)
    folders = (
        sample.write_run(tmp_path / 'A', pictures=True),
        sample.write_run(tmp_path / 'B', passed=passed, pictures=True, settings={'prune_ratio': 0.8}),
    )
    return report(tmp_path, *folders)


def cards_of(page: str) -> list[str]:
    return re.findall(r'<article class="question .*?</article>', page, re.DOTALL)


# ---------------------------------------------------------------- what it shows


def test_nothing_is_loaded_from_outside(two):
    page = Page(two)
    attributes = [value for tag, attrs in page.tags for name, value in attrs.items() if name in ('src', 'href')]
    assert len(attributes) > 20 and all(value.startswith(('#', 'data:image/jpeg;base64,')) for value in attributes)
    assert not [tag for tag, _ in page.tags if tag in ('link', 'iframe', 'object', 'embed', 'base')]
    assert not re.findall(r'url\((?!#)|@import', two)
    policy = next(attrs['content'] for tag, attrs in page.tags if attrs.get('http-equiv') == 'Content-Security-Policy')
    assert "default-src 'none'" in policy and 'img-src data:' in policy


def test_failures_come_first(two):
    verdicts = [re.match(r'<article class="question (\w+)', card)[1] for card in cards_of(two)]
    assert verdicts == ['failed', 'failed', 'failed', 'passed']  # B failed the 1st and 3rd question, A the 2nd
    times = [int(t) for t in re.findall(r'<article class="question [^>]*data-t="(\d+)"', two)]
    assert times == [1000, 1700, 2400, 3100]
    open_ones = [bool(re.search(r'<details open>', card)) for card in cards_of(two)]
    assert open_ones == [True, True, True, False]


def test_each_card_shows_every_answer_beside_the_expected_one(two):
    first = Page(cards_of(two)[0])
    assert 'number 0?' in first.text and 'expected (contains) red' in first.text
    assert first.text.index('a red circle') < first.text.index('a blue square')  # A, B
    assert sum(tag == 'img' for tag, _ in first.tags) == 5  # the frame once, for each an overlay and a frame before
    assert first.text.count('−2.5 s') == 2
    assert '0.08 s to the first token' in first.text and 'newest frame only ✓' in first.text


def test_numbers_are_those_of_the_results(tmp_path, two):
    records = [json.loads(line) for line in (tmp_path / 'A' / 'result.jsonl').read_text().splitlines()]
    times = [json.loads(line) for line in (tmp_path / 'A' / 'timing.jsonl').read_text().splitlines()]
    frames = [r for r in records if r['kind'] == 'frame']
    totals = [t['total_ms'] for t in times if 'total_ms' in t]

    table = re.search(r'<table class="side">.*?</table>', two, re.DOTALL)[0]
    rows = dict(re.findall(r'<th scope="row">([^<]+)</th>\s*<td[^>]*>([^<]*)</td>', table))
    recomputed = sum(f['patches_recomputed'] for f in frames) / sum(f['patches'] for f in frames)
    assert rows['patches recomputed'] == f'{100 * recomputed:.1f} %'
    kept = sum(f['visual_tokens_kept'] for f in frames) / sum(f['visual_tokens'] for f in frames)
    assert rows['visual tokens kept'] == f'{100 * kept:.1f} %'
    assert rows['accuracy'] == '75.0 %' and rows['processed'] == '120' and rows['scene changes'] == '2'
    assert rows['control: last four frames whole, no memory'] == '50.0 %'
    assert rows['median'] == f'{np.median(totals):#.3g}' and rows['longest'] == f'{max(totals):#.3g}'

    track = frames_of(two)['tracks'][0]
    assert np.cumsum(track['t']).tolist() == [100 * n for n in range(120)]
    assert track['kept'] == [f['visual_tokens_kept'] for f in frames]
    assert track['memory'] == [f['memory_tokens'] for f in frames]
    assert track['recomputed'] == [round(f['patches_recomputed'], 2) for f in frames]
    assert track['latency'] == [round(ms, 2) for ms in totals]


def test_accuracy_and_its_interval_stand_at_each_tag(two):
    text = Page(two).text
    assert 'accuracy >= 0.5 on tag:door is 0.750' in text
    assert 'all questions 4 75.0 % [55–90]' in text  # as the summary says, not computed anew
    assert 'door 2 100.0 % [80–100] 50.0 % [30–65]' in text


def test_settings_that_differ_are_marked(two):
    row = re.search(r'<tr[^>]*>\s*<th scope="row"><code>prune_ratio.*?</tr>', two, re.DOTALL)[0]
    assert 'differs' in row and '0.6' in row and '0.8' in row


def test_hostile_text_stays_text(tmp_path):
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\'"&'
    q = sample.question(
        0, False, question=evil, answer=evil, tags=[evil], id=evil, expected={'exact': evil}, camera=evil
    )
    said = sample.narration(1, evil, camera=evil, checks=[{'must': 'say', 'text': evil, 'passed': False}])
    frames = [sample.frame(n, np.random.default_rng(0), camera=evil) for n in range(3)]
    event = {'kind': 'event', 'camera': evil, 'stamp': sample.START, 'event': evil, 'text': evil}
    expectation = {'kind': 'expectation', 'camera': evil, 'between': [sample.START] * 2, 'must': evil, 'text': evil,
                   'passed': False, 'tags': [evil]}  # fmt: skip
    head = {'kind': 'run', 'bag': [evil], 'settings': {evil: evil}, 'name': evil, 'questions': evil, 'model': evil}
    records = [head, *frames, q, said, event, expectation, sample.summary([q]) | {'problems': [evil]}]
    text = report(tmp_path, sample.write(tmp_path / 'A', records, []))
    page = Page(text)
    assert sum(tag == 'script' for tag, _ in page.tags) == 2 and not [a for _, a in page.tags if 'onerror' in a]
    assert not [attrs for tag, attrs in page.tags if tag == 'img' and 'x' == attrs.get('src')]
    assert html.escape(evil, quote=False)[:20] in text and page.text.count('alert(1)') > 8
    card = next(attrs for tag, attrs in page.tags if tag == 'article' and 'data-tags' in attrs)
    assert json.loads(card['data-tags']) == [evil] and card['data-camera'] == evil


def test_a_picture_outside_the_folder_is_not_taken(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'secret.jpg')
    q = sample.question(0, True, thumbnail='../secret.jpg', overlay='frames/none.jpg')
    frames = [sample.frame(0, np.random.default_rng(0))]
    text = report(tmp_path, sample.write(tmp_path / 'A', [{'kind': 'run'}, *frames, q, sample.summary([q])], []))
    assert 'data:image' not in text and '2 pictures could not be read' in text


# ---------------------------------------------------------------- size, time, memory


def test_a_result_of_20000_frames_stays_small_and_quick(tmp_path):
    folder = sample.write_run(tmp_path / 'A', frames=20_000, passed=[n % 7 > 0 for n in range(200)])
    began = time.process_time()
    text = report(tmp_path, folder)
    assert time.process_time() - began < 10
    assert len(text.encode()) < 3e6
    assert len(frames_of(text)['tracks'][0]['t']) == 20_000


def test_pictures_are_left_out_beyond_the_limit_those_of_passed_questions_first(tmp_path):
    folder = sample.write_run(tmp_path / 'A', passed=(True, True, False), pictures=True)
    size = sum(len(Pictures(10**9).uri(folder, f'frames/q2{end}.jpg')) for end in ('', '-overlay'))
    text = report(tmp_path, folder, most_bytes=size)
    cards = cards_of(text)
    assert [card.count('<img') for card in cards] == [2, 0, 0] and 'number 2?' in cards[0]
    assert '7 pictures are left out' in text and '--max-mb' in text


def test_a_long_stream_is_held_in_bounded_memory():
    columns = Columns(('t', 'x'), most=64)
    for n in range(10_000):
        columns.append(n, 2 * n)
    assert len(columns) < 64 and columns.count == 10_000
    assert list(columns['t']) == list(range(0, 10_000, columns.stride)) and columns['x'][-1] == 2 * columns['t'][-1]


# ---------------------------------------------------------------- results that are not whole


def test_a_killed_run_is_shown_as_far_as_it_came(tmp_path):
    folder = sample.write_run(tmp_path / 'A')
    lines = (folder / 'result.jsonl').read_text().splitlines()[:-1]
    (folder / 'result.jsonl').unlink()
    (folder / 'result.jsonl.part').write_text('\n'.join(lines) + '\n{"kind": "fra')
    (folder / 'timing.jsonl').unlink()
    text = Page(report(tmp_path, folder)).text
    assert 'unfinished' in text and '75.0 %' in text  # of the questions that were asked
    assert 'cut short' in text and 'latencies are not shown' in text


def test_a_broken_line_is_named(tmp_path):
    folder = sample.write_run(tmp_path / 'A')
    lines = (folder / 'result.jsonl').read_text().splitlines()
    (folder / 'result.jsonl').write_text('\n'.join([*lines[:4], 'no json', *lines[4:]]) + '\n')
    with pytest.raises(ReportError, match=r'result\.jsonl:5: not JSON .* evaluate anew'):
        read_run(folder)
    (folder / 'result.jsonl').write_text('{"kind": "frame", "camera": "a"}\n')
    with pytest.raises(ReportError, match=r'result\.jsonl:1: a frame without a proper'):
        read_run(folder)


def test_a_result_without_questions_frames_or_plots_is_a_page_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(report_plots, 'available', lambda: False)
    text = report(tmp_path, sample.write(tmp_path / 'A', [{'kind': 'run'}, sample.summary([])], []))
    assert 'No questions were asked' in text and 'No frames were processed' in text
    text = report(tmp_path, sample.write_run(tmp_path / 'B'))
    assert 'install matplotlib' in text and '<svg' not in text


# ---------------------------------------------------------------- the command


def command(*arguments) -> int:
    parser = argparse.ArgumentParser()
    cli_report.add_parser(parser.add_subparsers())
    options = parser.parse_args(['report', *map(str, arguments)])
    return options.run(options)


def test_the_command_takes_a_folder_of_folders(tmp_path, capsys):
    for name in ('A', 'B'):
        sample.write_run(tmp_path / 'out' / name)
    sample.write_run(tmp_path / 'other' / 'A')
    assert command(tmp_path / 'out', tmp_path / 'other', '--out', tmp_path / 'sub' / 'r.html') == 0
    page = (tmp_path / 'sub' / 'r.html').read_text()
    assert '<title>out/A / B / other/A – evaluation</title>' in page
    assert capsys.readouterr().out.strip() == str(tmp_path / 'sub' / 'r.html')


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    for folder in ('empty', 'nowhere'):
        assert command(tmp_path / folder, '--out', tmp_path / 'r.html') == 2
        said = capsys.readouterr().err
        assert folder in said and '`stc_ros evaluate --out`' in said
    assert not (tmp_path / 'r.html').exists()


# ---------------------------------------------------------------- pictures of a question


def frame_report() -> FrameReport:
    recomputed = np.zeros(16, np.float32)
    recomputed[5] = 1
    return FrameReport(
        stamp=0, grid=(4, 4), token_grid=(2, 2), recomputed=recomputed, kept=np.array([1]), patches=16,
        patches_recomputed=1.0, similarity=0.99, visual_tokens=4, visual_tokens_kept=1, ms={}, scene_change=False,
        first_stamp=0, memory_tokens=4, tokens_waiting=0, memory_bytes=0,
    )  # fmt: skip


def test_pictures_are_small_and_named_apart(tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (72, 128, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    thumbnail, overlay = save_pictures(tmp_path, 'door/1', picture, frame_report())
    other, _ = save_pictures(tmp_path, 'door_1', picture, frame_report())
    assert len({thumbnail, overlay, other}) == 3 and all(p.startswith('frames/') for p in (thumbnail, overlay))
    with Image.open(tmp_path / thumbnail) as small, Image.open(tmp_path / overlay) as drawn:
        assert small.size == (320, 180) and small.format == drawn.format == 'JPEG'
        assert drawn.width == 597 and drawn.height > 336  # a legend below
    before = (tmp_path / overlay).read_bytes()
    save_pictures(tmp_path, 'door/1', picture, frame_report())
    assert (tmp_path / overlay).read_bytes() == before


def test_a_large_picture_is_made_smaller(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'big.jpg', quality=95)
    assert len(Pictures(10**9).uri(tmp_path, 'big.jpg')) < os.path.getsize(tmp_path / 'big.jpg') / 5
