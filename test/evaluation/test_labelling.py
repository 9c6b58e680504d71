"""Labelling: what is saved stands in the file at once, nothing else changes, and no other page can do it."""

import http.client
import io
import re
import signal
import subprocess
import sys
import threading
from html import unescape
from urllib.parse import urlencode

import numpy as np
import pytest
from evaluation.test_html_report_browser import CHROMIUM, OPTIONS
from PIL import Image
from small_bags import TOPIC, make, pixels

from stc_ros.__main__ import main
from stc_ros.evaluation.label_form import LabelError, as_form, expectation
from stc_ros.evaluation.label_server import make_server
from stc_ros.evaluation.labelling import Labelling
from stc_ros.evaluation.question_edit import inline
from stc_ros.evaluation.questions import read_questions
from stc_ros.io.bags import Bag

FILE = """\
# of the robot
questions:
  - {id: first, at: 0.25, question: 'is it <b>red</b> ?', proposed: 'Yes, it is.'}  # said
  - id: second
    at: 2.0
    question: how many ?
    proposed: '3'
  - {id: third, at: 2.5, question: 'what ?', expect: {choice: B, of: {A: dog, B: cat}}, tags: [animal]}
require: accuracy >= 0.5 on tag:animal
"""


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """Three seconds of frames, each of which is another picture."""
    with Bag([make(tmp_path_factory.mktemp('label') / 'bag', range(31), size=64)]) as bag:
        yield bag


@pytest.fixture
def file(tmp_path):
    (tmp_path / 'q.yaml').write_text(FILE)
    return tmp_path / 'q.yaml'


@pytest.fixture
def labelling(bag, file):
    with Labelling(bag, file) as labelling:
        yield labelling


@pytest.fixture
def page(labelling):
    server = make_server(labelling)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Page(server.server_port)
    server.shutdown()
    server.server_close()
    thread.join()


class Page:
    """What a browser does."""

    def __init__(self, port):
        self.port = port

    def ask(self, address, fields=None, host=None):
        """-> (status, body or where to go)."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=20)
        headers = {'Host': host or f'127.0.0.1:{self.port}'}
        if fields is None:
            connection.request('GET', address, headers=headers)
        else:
            headers['Content-Type'] = 'application/x-www-form-urlencoded'
            connection.request('POST', address, urlencode(fields), headers)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, reply.getheader('Location') or body

    def text(self, address):
        status, body = self.ask(address)
        assert status == 200, body
        return body.decode()

    def send(self, address, **fields):
        """Send the page's form with these fields changed."""
        text = self.text(address)
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
        return self.ask(address, {'do': 'label', **hidden, **fields})


# The page


def test_the_page_shows_the_question_the_answer_and_a_guess_of_what_is_right(page):
    assert page.ask('/')[:2] == (303, '/q/1')  # the first that nobody has labelled
    text = page.text('/q/1')
    assert '<h1>is it &lt;b&gt;red&lt;/b&gt; ?</h1>' in text and '<blockquote>Yes, it is.</blockquote>' in text
    assert 'value="yes/no" checked' in text and '>yes</textarea>' in text and '1 of 3 labelled' in text
    text = page.text('/q/3')
    assert 'value="choice" checked' in text and '>cat</textarea>' in text and '>A: dog\nB: cat</textarea>' in text
    assert page.ask('/q/4')[0] == page.ask('/elsewhere')[0] == page.ask('/q/0')[0] == 404


def test_a_save_is_in_the_file_at_once_and_leads_to_the_next(page, file):
    status, where = page.send('/q/1', kind='yes/no', value='No', tags='door, night')
    assert (status, where.split('?')[0]) == (303, '/q/2')
    assert file.read_text() == FILE.replace("proposed: 'Yes, it is.'", 'expect: {yes/no: no}, tags: [door, night]')
    assert 'what the robot answered scores 0' in page.text(where)
    status, where = page.send('/q/2', kind='number', value='3', tolerance='1')
    assert (status, where.split('?')[0]) == (303, '/q/3')  # all are labelled
    assert 'scores 1' in page.text(where) and 'Every question is labelled' in page.text(where)
    first, second, third = read_questions(file).questions
    assert first.expect.describe() == {'yes/no': 'no'} and first.tags == ('door', 'night')
    assert second.expect.describe() == {'number': 3.0, 'tolerance': 1.0} and third.tags == ('animal',)


@pytest.mark.parametrize(
    'fields, word',
    [
        ({'kind': 'number', 'value': 'three'}, "number has to be a number, not 'three'"),
        ({'kind': 'yes/no', 'value': 'perhaps'}, 'has to be yes or no'),
        ({'kind': 'pattern', 'value': '(a'}, 'no regular expression'),
        ({'kind': 'choice', 'value': 'red', 'of': 'blue\ngreen'}, 'none of the options'),
        ({'kind': 'exact', 'value': ' \n '}, 'nothing is entered'),
        ({'kind': '', 'value': 'a'}, ''),
        ({'kind': 'number', 'value': '3}, tags: [x', 'tolerance': ''}, 'number has to be a number'),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(page, file, fields, word):
    status, body = page.send('/q/2', **fields)
    assert status == 400 and word in unescape(body.decode()) and file.read_text() == FILE
    assert f'>{fields["value"].strip()}</textarea>'[:8] in unescape(body.decode())  # what was entered is still there
    assert [each.name for each in file.parent.iterdir()] == ['q.yaml']  # nothing is left behind


def test_a_tag_that_is_required_cannot_be_lost(page, file):
    """The file would be wrong: evaluate would refuse it."""
    status, body = page.send('/q/3', kind='exact', value='cat', tags='')
    assert status == 400 and b'no question names the tag' in body and file.read_text() == FILE


def test_questions_are_removed_and_added(page, file):
    assert page.send('/q/2', do='remove')[0] == 303
    assert [q.id for q in read_questions(file).unlabelled] == ['first']
    status, where = page.send('/q/1', do='add', question=' what else: "so" ? ')
    assert (status, where.split('?')[0]) == (303, '/q/2')
    added = read_questions(file).unlabelled[1]
    assert (added.id, added.text, added.at.ns) == ('first-2', 'what else: "so" ?', 250_000_000)
    assert 'there is no answer of the robot' in page.text('/q/2')
    assert page.ask('/picture/2/0.jpg')[0] == 200  # of the same time


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(page, file):
    text = page.text('/q/1')
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
    file.write_text(changed := FILE.replace('how many', 'how few'))
    status, body = page.ask('/q/1', {**hidden, 'do': 'label', 'kind': 'exact', 'value': 'a'})
    assert status == 400 and b'has changed' in body and file.read_text() == changed
    assert 'how few' in page.text('/q/2')
    file.write_text('questions: [')  # while somebody types
    assert page.ask('/q/1')[0] == 500
    file.write_text(FILE)
    assert page.ask('/q/1')[0] == 200


def test_other_pages_can_neither_read_nor_write(page, file):
    text = page.text('/q/1')
    digest = re.search(r'name="digest" value="([^"]*)"', text)[1]
    fields = {'do': 'label', 'kind': 'exact', 'value': 'a', 'digest': digest}
    assert page.ask('/q/1', fields)[0] == page.ask('/q/1', {**fields, 'token': 'guessed'})[0] == 403
    for host in ('evil.example', f'evil.example:{page.port}', ''):
        assert page.ask('/q/1', host=host)[0] == 403 or not host
    assert page.ask('/q/1', host='localhost:8000')[0] == 200  # ssh -L 8000:...
    assert page.ask('/q/1', {'token': 'x' * (1 << 17)})[0] == 413
    assert page.ask('/picture/../../../etc/passwd')[0] == 404 and file.read_text() == FILE


def test_it_listens_on_this_machine_only(labelling):
    server = make_server(labelling)
    assert server.server_address[0] == '127.0.0.1'
    server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason='there is no chromium: apt install chromium')
def test_a_real_browser_loads_the_pictures(page, labelling, tmp_path):
    """The page's policy lets it, and connections that it opens and does not use hold nothing up."""
    seen = []
    labelling.pictures = lambda row, really=labelling.pictures: seen.append(row.place) or really(row)
    where = [f'--user-data-dir={tmp_path}/profile', '--dump-dom', f'http://127.0.0.1:{page.port}/q/2']
    done = subprocess.run([CHROMIUM, *OPTIONS, *where], capture_output=True, text=True, timeout=120)
    assert '<h1>how many ?</h1>' in done.stdout, done.stderr
    assert seen == [1] + [1] * 3  # the page, and each of its three pictures


# The pictures


def number_of(body):
    """Which frame of the bag a JPEG shows."""
    seen = np.asarray(Image.open(io.BytesIO(body)).convert('L'), float)
    return max(range(31), key=lambda n: np.corrcoef(seen.ravel(), pixels(n, 64).mean(2).ravel())[0, 1])


def test_the_frames_are_those_that_the_question_knows(page):
    """Newest up to it, never a later one; then those before, as far as there are some."""

    def shown(place):
        listed = re.findall(rf'/picture/{place}/([\d.]+)\.jpg', page.text(f'/q/{place}'))
        return {back: number_of(page.ask(f'/picture/{place}/{back}.jpg')[1]) for back in listed}

    assert shown(1) == {'0': 2}
    assert shown(2) == {'0': 20, '1': 10, '2': 0}
    assert shown(3) == {'0': 25, '1': 15, '2': 5}
    assert page.ask('/picture/1/8.jpg')[0] == page.ask('/picture/9/0.jpg')[0] == 404


# The file


def test_an_anchor_that_others_use_is_left_to_its_owner(bag, tmp_path):
    text = 'questions:\n  - {at: 1, question: a, expect: &same {exact: x}}\n  - {at: 2, question: b, expect: *same}\n'
    (tmp_path / 'q.yaml').write_text(text)
    with Labelling(bag, tmp_path / 'q.yaml') as labelling:
        for place in range(2):
            with pytest.raises(LabelError):
                labelling.label(place, {'kind': 'exact', 'value': 'y'}, labelling.digest)
        assert (tmp_path / 'q.yaml').read_text() == text


def test_a_link_and_the_rights_stay(bag, tmp_path):
    (tmp_path / 'real.yaml').write_text(FILE)
    (tmp_path / 'real.yaml').chmod(0o640)
    (tmp_path / 'q.yaml').symlink_to('real.yaml')
    with Labelling(bag, tmp_path / 'q.yaml') as labelling:
        labelling.label(0, {'kind': 'exact', 'value': 'y'}, labelling.digest)
    assert (tmp_path / 'q.yaml').is_symlink() and 'exact: y' in (tmp_path / 'real.yaml').read_text()
    assert (tmp_path / 'real.yaml').stat().st_mode & 0o777 == 0o640


def test_a_form_of_what_is_expected_says_the_same(file, tmp_path):
    kinds = ('exact: [a, "b: c"]', 'contains: red', 'number: 2.5, tolerance: 0.5', 'number: -3', 'pattern: "a|b"',
             'choice: dark red, of: [red, dark red]', 'choice: A, of: {A: x, B: y}', 'yes/no: no')  # fmt: skip
    listed = '\n'.join(f'  - {{at: {n}, question: x, expect: {{{kind}}}}}' for n, kind in enumerate(kinds))
    file.write_text(f'questions:\n{listed}\n')
    for each in read_questions(file).questions:
        one = tmp_path / 'one.yaml'
        one.write_text(f'questions:\n  - {{at: 0, question: x, expect: {inline(expectation(as_form(each)))}}}\n')
        assert read_questions(one).questions[0].expect == each.expect


def test_the_command_says_what_is_wrong(bag, tmp_path, capsys):
    assert main(['questions', 'label', str(bag.paths[0]), '--questions', str(tmp_path / 'none.yaml')]) == 2
    assert 'none.yaml: cannot be read' in capsys.readouterr().err
    assert bag.choose() == TOPIC


def test_the_command_serves_until_it_is_interrupted(bag, file):
    words = ['questions', 'label', str(bag.paths[0]), '--questions', str(file), '--no-browser']
    process = subprocess.Popen([sys.executable, '-m', 'stc_ros', *words], stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline()
        page = Page(int(re.match(r'http://127\.0\.0\.1:(\d+)/', address)[1]))
        assert page.send('/q/1', kind='exact', value='a')[0] == 303
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0].strip() == f'{file}: 2 of 3 questions labelled'
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
