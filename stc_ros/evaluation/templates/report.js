'use strict';
(() => {
  const { end, tracks } = JSON.parse(document.getElementById('frames').textContent);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const slider = document.getElementById('time');

  for (const track of tracks) { // times come as steps
    let t = 0;
    track.t = track.t.map((step) => (t += step));
    track.scenes = new Set(track.scenes);
  }

  const clock = (ms) => {
    const tenths = Math.round(Math.max(ms, 0) / 100), hours = Math.floor(tenths / 36000);
    const minutes = Math.floor(tenths / 600) % 60, seconds = ((tenths % 600) / 10).toFixed(1).padStart(4, '0');
    return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${seconds}` : `${minutes}:${seconds}`;
  };
  const nearest = (times, t) => { // index in sorted times, -1 of none
    let low = 0, high = times.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < t) low = middle + 1; else high = middle;
    }
    return low > 0 && t - times[low - 1] <= times[low] - t ? low - 1 : high;
  };
  const share = (part, whole) => `${((100 * part) / whole).toFixed(1)} % (${+part.toFixed(2)} of ${whole})`;
  const figures = {
    frame: (track, i) => `${clock(track.t[i])}`,
    recomputed: (track, i) => share(track.recomputed[i], track.patches),
    kept: (track, i) => share(track.kept[i], track.tokens),
    memory: (track, i) => String(track.memory[i]),
    similarity: (track, i) => (track.similarity?.[i] == null ? '–' : track.similarity[i].toFixed(3)),
    latency: (track, i) => (track.latency?.[i] == null ? '–' : `${track.latency[i]} ms`),
    scene: (track, i) => (track.scenes.has(track.t[i]) ? 'yes' : 'no'),
  };

  // ------------------------------------------------------------ questions and narrations by camera, in order of time
  const time = (element) => Number(element.dataset.t);
  const byTime = (elements) => elements.sort((a, b) => time(a) - time(b));
  const cameras = all('.camera').map((root) => {
    const ours = (element) => element.dataset.camera === root.dataset.name;
    const questions = byTime(all('article.question').filter(ours));
    const runs = all('thead .key', root).map((_, column) => {
      const cells = all(`tbody td:nth-child(${column + 2})`, root);
      const run = cells[0].dataset.run;
      const said = byTime(all('.narrations li').filter((li) => ours(li) && li.dataset.run === run));
      return { run, said, cells: Object.fromEntries(cells.map((cell) => [cell.dataset.field, cell])) };
    });
    const number = Number(root.dataset.camera);
    for (const each of runs) each.track = tracks.find((t) => t.camera === number && String(t.run) === each.run);
    return { root, questions, times: questions.map(time), runs };
  });

  const link = (text, href) => Object.assign(document.createElement('a'), { textContent: text, href });
  const showQuestion = (cell, card, run) => {
    const answer = card?.querySelector(`.answer[data-run="${run}"]`);
    if (!answer) return cell.replaceChildren('–');
    const text = card.querySelector('h3').textContent, verdict = answer.classList.contains('pass') ? '✓' : '✗';
    const parts = [`${verdict} ${clock(time(card))} `, link(text, `#${card.id}`), ` → ${answer.querySelector('.said').textContent.trim()}`];
    const picture = answer.querySelector(':scope > img');
    if (picture) parts.unshift(Object.assign(new Image(), { src: picture.src, alt: picture.alt }));
    cell.replaceChildren(...parts);
    return undefined;
  };

  let shown = null;
  const show = (t) => {
    shown = Math.min(Math.max(t, 0), end);
    slider.value = shown;
    document.getElementById('clock').textContent = clock(shown);
    slider.setAttribute('aria-valuetext', clock(shown));
    const now = new Set();
    for (const camera of cameras) {
      camera.root.style.setProperty('--at', end ? shown / end : 0);
      const card = camera.questions[nearest(camera.times, shown)];
      if (card) {
        now.add(card);
        for (const tick of all(`.tick[href="#${card.id}"]`, camera.root)) now.add(tick);
      }
      for (const { run, said, cells, track } of camera.runs) {
        const i = track ? nearest(track.t, shown) : -1;
        for (const [field, write] of Object.entries(figures)) cells[field].textContent = i < 0 ? '–' : write(track, i);
        if (card !== camera.card) showQuestion(cells.question, card, run);
        const last = said.filter((li) => time(li) <= shown).pop();
        if (last) now.add(last);
        cells.narration.textContent = last ? `${clock(time(last))} ${last.querySelector('.words').textContent}` : '–';
      }
      camera.card = card;
    }
    for (const element of all('.now')) if (!now.has(element)) element.classList.remove('now');
    for (const element of now) element.classList.add('now');
  };

  // ------------------------------------------------------------ what moves it: slider, plots, keys, the address
  const remember = () => history.replaceState(null, '', `#t=${(shown / 1000).toFixed(2)}`);
  const followAddress = () => {
    const target = /^#q\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (target) {
      target.hidden = false; // a filter may have hidden it
      target.querySelector('details').open = true;
      target.scrollIntoView();
    }
    const found = /^#t=([\d.]+)$/.exec(location.hash);
    if (!found || !slider) return;
    show(1000 * Number(found[1]));
    document.getElementById('timeline').scrollIntoView();
  };
  if (slider) {
    slider.addEventListener('input', () => show(Number(slider.value)));
    slider.addEventListener('change', remember);
    slider.addEventListener('keydown', (event) => {
      const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      const times = tracks[0]?.t;
      if (!way || !times?.length) return;
      event.preventDefault();
      show(times[Math.min(Math.max(nearest(times, shown) + way, 0), times.length - 1)]);
      remember();
    });
    for (const area of all('.tracks')) {
      const move = (event) => {
        const box = area.getBoundingClientRect();
        show((end * (event.clientX - box.left)) / box.width);
      };
      area.addEventListener('pointerdown', (event) => {
        if (event.target.closest('a')) return;
        area.setPointerCapture(event.pointerId);
        move(event);
      });
      area.addEventListener('pointermove', (event) => area.hasPointerCapture(event.pointerId) && move(event));
      area.addEventListener('pointerup', remember);
    }
    show(0);
  }
  addEventListener('hashchange', followAddress);
  followAddress();

  // ------------------------------------------------------------ a picture as large as the window
  const zoom = document.getElementById('zoom');
  addEventListener('click', (event) => {
    if (zoom.open) return zoom.close();
    if (event.target.matches('.strip img')) {
      zoom.firstChild.src = event.target.src;
      zoom.showModal();
    }
    return undefined;
  });

  // ------------------------------------------------------------ filters
  const filters = document.querySelector('.filters');
  if (filters) {
    const buttons = all('button', filters), tag = filters.querySelector('select');
    const apply = () => {
      const wanted = buttons.find((button) => button.getAttribute('aria-pressed') === 'true').dataset.filter;
      for (const card of all('article.question')) {
        const fits = wanted === 'all' || card.classList.contains(wanted);
        card.hidden = !fits || (tag?.value && !JSON.parse(card.dataset.tags).includes(tag.value));
      }
    };
    for (const button of buttons) {
      button.addEventListener('click', () => {
        for (const each of buttons) each.setAttribute('aria-pressed', String(each === button));
        apply();
      });
    }
    tag?.addEventListener('change', apply);
    filters.hidden = false;
  }
})();
