"""The page on which questions are labelled: Python's own web server, on this machine's loopback only.

What changes the file has to bring a token that only the page knows, and a host that is this machine: no other page of
the browser can do it, under whatever name it is reached. To label on a robot from elsewhere: `ssh -L`.
"""

from __future__ import annotations

import re
import secrets
import threading
import webbrowser
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stc_ros.evaluation.html_report import TEMPLATES
from stc_ros.evaluation.label_form import as_form
from stc_ros.evaluation.labelling import Labelling
from stc_ros.evaluation.question_fields import KINDS
from stc_ros.evaluation.report_tables import clock

HOST = '127.0.0.1'
MOST_BYTES = 1 << 16  # of a form
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def serve(labelling: Labelling, port: int = 0, browse: bool = True) -> None:
    """Serve until it is interrupted. Raises `OSError` where the port is taken."""
    server = make_server(labelling, port)
    address = f'http://{HOST}:{server.server_port}/'
    print(f'{address}  (Ctrl-C ends it; every label is in {labelling.file} at once)', flush=True)
    if browse:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()


def make_server(labelling: Labelling, port: int = 0) -> ThreadingHTTPServer:
    """Threads, since browsers open connections that they do not use; one at a time has the file."""
    handler = partial(_Handler, Site(labelling))
    server = ThreadingHTTPServer((HOST, port), handler)
    server.daemon_threads = True
    return server


class Site:
    """Addresses and what stands there: /, /q/3, /picture/3/8.jpg, /style.css."""

    def __init__(self, labelling: Labelling):
        self._labelling, self._lock, self._token = labelling, threading.Lock(), secrets.token_urlsafe(16)
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        environment.filters.update(clock=lambda seconds: clock(1000 * seconds))
        self._template = environment.get_template('label.html.j2')

    def get(self, address: str) -> tuple[HTTPStatus, str, bytes]:
        """(status, type of the content or where to go, content)."""
        parts = urlsplit(address)
        with self._lock:
            if parts.path == '/':
                return HTTPStatus.SEE_OTHER, f'/q/{self._next(-1)}', b''
            if parts.path == '/style.css':
                return HTTPStatus.OK, 'text/css', (TEMPLATES / 'label.css').read_bytes()
            if found := re.fullmatch(r'/q/(\d+)', parts.path):
                said = parse_qs(parts.query).get('said', [''])[0]
                return self._page(int(found[1]) - 1, said=said)
            if found := re.fullmatch(r'/picture/(\d+)/([\d.]+)\.jpg', parts.path):
                return self._picture(int(found[1]) - 1, float(found[2]))
        return _text(HTTPStatus.NOT_FOUND, 'there is nothing here')

    def post(self, address: str, form: dict[str, str]) -> tuple[HTTPStatus, str, bytes]:
        """Save, remove or add, then go on to the next question; or the same page with what is wrong."""
        found = re.fullmatch(r'/q/(\d+)', address)
        if not found or not secrets.compare_digest(form.get('token', '').encode(), self._token.encode()):
            return _text(HTTPStatus.FORBIDDEN, 'this form is not of this page: load the page anew')
        place, digest = int(found[1]) - 1, form.get('digest', '')
        with self._lock:
            try:
                if form.get('do') == 'remove':
                    said, go = self._labelling.remove(place, digest), max(place - 1, -1)
                elif form.get('do') == 'add':
                    said = self._labelling.add(place, form.get('question', ''), digest)
                    return HTTPStatus.SEE_OTHER, f'/q/{place + 2}?said={quote(said)}', b''
                else:
                    said, go = self._labelling.label(place, form, digest), place
            except (ValueError, OSError) as error:
                return self._page(place, str(error), form)
            return HTTPStatus.SEE_OTHER, f'/q/{self._next(go)}?said={quote(said)}', b''

    def _next(self, place: int) -> int:
        """The next question behind `place` that nobody has labelled, else the next one; as in addresses, from 1 on."""
        rows = self._labelling.rows()
        order = [*range(place + 1, len(rows)), *range(place + 1)]
        return next((each for each in order if not rows[each].labelled), min(place + 1, len(rows) - 1)) + 1

    def _page(
        self, place: int, error: str = '', form: dict[str, str] | None = None, said: str = ''
    ) -> tuple[HTTPStatus, str, bytes]:
        try:
            rows = self._labelling.rows()
        except ValueError as problem:  # somebody is writing it by hand
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR, str(problem))
        if not 0 <= place < len(rows):
            return _text(HTTPStatus.NOT_FOUND, f'there is no question {place + 1}')
        row = rows[place]
        content = self._template.render(
            row=row,
            rows=rows,
            left=sum(not each.labelled for each in rows),
            pictures=[f'{back:g}' for back, _ in self._labelling.pictures(row)],
            form=as_form(row.question) | (form or {}),
            kinds=KINDS,
            error=error,
            said=said,
            token=self._token,
            digest=self._labelling.digest,
            file=self._labelling.file,
        )
        return HTTPStatus.BAD_REQUEST if error else HTTPStatus.OK, 'text/html; charset=utf-8', content.encode()

    def _picture(self, place: int, back: float) -> tuple[HTTPStatus, str, bytes]:
        rows = self._labelling.rows()
        found = dict(self._labelling.pictures(rows[place])) if 0 <= place < len(rows) else {}
        if back not in found:
            return _text(HTTPStatus.NOT_FOUND, 'there is no such picture')
        return HTTPStatus.OK, 'image/jpeg', found[back].read_bytes()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *given: Any):
        self._site = site
        super().__init__(*given)

    def do_GET(self) -> None:
        if self._is_ours():
            self._reply(*self._site.get(self.path))

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        size = self.headers.get('Content-Length', '')
        if not size.isdecimal() or int(size) > MOST_BYTES:
            self._reply(*_text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f'a form has at most {MOST_BYTES} bytes'))
            return
        text = self.rfile.read(int(size)).decode('utf-8', 'replace')
        form = {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
        self._reply(*self._site.post(self.path, form))

    def _is_ours(self) -> bool:
        """Whether the page was asked for by a name of this machine: a foreign one may have been pointed here."""
        host = self.headers.get('Host', '').rsplit(':', 1)[0]
        if host not in (HOST, 'localhost'):
            self._reply(*_text(HTTPStatus.FORBIDDEN, f'ask for http://{HOST}:{self.server.server_port}/'))
        return host in (HOST, 'localhost')

    def _reply(self, status: HTTPStatus, what: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header('Location' if status is HTTPStatus.SEE_OTHER else 'Content-Type', what)
        self.send_header('Content-Length', str(len(content)))
        self.send_header('Content-Security-Policy', POLICY)
        self.send_header('X-Content-Type-Options', 'nosniff')
        self.send_header('Referrer-Policy', 'no-referrer')
        self.send_header('Cross-Origin-Resource-Policy', 'same-origin')
        self.send_header('Cache-Control', 'no-store')
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None: ...


def _text(status: HTTPStatus, text: str) -> tuple[HTTPStatus, str, bytes]:
    return status, 'text/plain; charset=utf-8', f'{text}\n'.encode()
