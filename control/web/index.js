// The page that lists live paths, from /~/paths.json: an array of `{ name, tracks, readers, ready_since }`.

const PERIOD_MS = 3000;
const DEADLINE_MS = 10000;
/// Rows drawn at once; the filter finds the others.
const ROWS_MAX = 500;
/// From so many paths on there is a filter.
const FILTER_FROM = 9;

const element = (id) => document.getElementById(id);
const rows = new Map();
let paths = [];
let loaded = false;

// 'live/a b' becomes '/live/a%20b/'; the query goes along, since it may carry a token.
function address(name) {
  return `/${name.split('/').map(encodeURIComponent).join('/')}/${location.search}`;
}

function row(name) {
  const item = document.createElement('li');
  const link = item.appendChild(document.createElement('a'));
  link.href = address(name);
  const title = link.appendChild(document.createElement('span'));
  title.className = 'name';
  title.textContent = name;
  const facts = link.appendChild(document.createElement('span'));
  facts.className = 'facts';
  const cells = [0, 1, 2].map(() => facts.appendChild(document.createElement('span')));
  return { item, cells };
}

function since(time) {
  const seconds = Math.max(0, (Date.now() - new Date(time).getTime()) / 1000);
  if (Number.isNaN(seconds)) {
    return '';
  }
  const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(seconds / unit));
  if (days > 0) {
    return `live for ${days} d ${hours % 24} h`;
  }
  if (hours > 0) {
    return `live for ${hours} h ${minutes % 60} min`;
  }
  return minutes > 0 ? `live for ${minutes} min` : `live for ${Math.floor(seconds)} s`;
}

// Rows stay the same elements while their paths are live, so that focus and scrolling stay where they are.
function draw() {
  const wanted = element('filter').value.trim().toLowerCase();
  const found = paths.filter(({ name }) => name.toLowerCase().includes(wanted));
  const drawn = found.slice(0, ROWS_MAX);
  const names = new Set(drawn.map(({ name }) => name));
  for (const [name, { item }] of rows) {
    if (!names.has(name)) {
      item.remove();
      rows.delete(name);
    }
  }
  let place = element('paths').firstElementChild;
  for (const { name, tracks, readers, ready_since: ready } of drawn) {
    if (!rows.has(name)) {
      rows.set(name, row(name));
    }
    const { item, cells } = rows.get(name);
    const texts = [(tracks || []).join(', '), `${readers || 0} ${readers === 1 ? 'reader' : 'readers'}`, since(ready)];
    cells.forEach((cell, index) => {
      if (cell.textContent !== texts[index]) {
        cell.textContent = texts[index];
      }
    });
    if (item === place) {
      place = place.nextElementSibling;
    } else {
      element('paths').insertBefore(item, place);
    }
  }
  element('filter').hidden = paths.length < FILTER_FROM && wanted === '';
  element('rest').hidden = found.length === drawn.length && !(found.length === 0 && paths.length > 0);
  element('rest').textContent = found.length === 0 ? 'No name contains this.' : `and ${found.length - drawn.length} more`;
  element('welcome').hidden = !loaded || paths.length > 0;
  const count = paths.length === 1 ? '1 path' : `${paths.length} paths`;
  element('count').textContent = loaded && paths.length > 0 ? count : '';
}

function complain(sentence) {
  element('notice').hidden = sentence === '';
  element('notice').textContent = sentence;
}

async function refresh() {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), DEADLINE_MS);
  try {
    const response = await fetch(`/~/paths.json${location.search}`, { signal: abort.signal });
    if (response.status === 401 || response.status === 403) {
      [paths, loaded] = [[], false];
      complain('You may not list the paths of this server. If you know the name of one, open it below.');
    } else if (!response.ok) {
      complain(`The list cannot be had at the moment (status ${response.status}).`);
    } else {
      paths = (await response.json()).sort((a, b) => (a.name < b.name ? -1 : 1));
      loaded = true;
      complain('');
    }
  } catch (error) {
    complain('The server cannot be reached at the moment. The list is from before.');
  } finally {
    clearTimeout(timer);
  }
  draw();
}

async function keepFresh() {
  for (;;) {
    if (document.visibilityState === 'visible') {
      await refresh();
    }
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
  }
}

async function copy(button) {
  const source = element(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = 'Copied';
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 2000);
  } catch (error) {
    getSelection().selectAllChildren(source); // pages without TLS have no clipboard: one key press is left
  }
}

const { hostname } = location;
const encode = 'ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 '
  + '-c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -g 30 -c:a aac';
element('rtmp').textContent = `${encode} -f flv rtmp://${hostname}/live/test`;
element('rtsp').textContent = `${encode} -f rtsp -rtsp_transport tcp rtsp://${hostname}:8554/live/test`;
element('obs').textContent = `rtmp://${hostname}/live`;
document.querySelectorAll('[data-copy]').forEach((button) => button.addEventListener('click', () => copy(button)));
element('filter').addEventListener('input', draw);
element('open').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = element('name').value.trim().replace(/^\/+|\/+$/g, '');
  if (name !== '') {
    location.href = address(name);
  }
});
keepFresh();
