// The page that plays one path: sessions one after the other, what the viewer is told, and what the viewer may do.

import { Controls } from './controls.js';
import { showFigures } from './figures.js';
import { NativeSession, playsNatively } from './native.js';
import { addresses, options } from './options.js';
import { OfflineError, TransportStreamError } from './rendition.js';
import { backOff, pause, RequestError, ServerClock } from './request.js';
import { Session, UnsupportedError } from './session.js';

/// How often a path without a stream is asked for, in the first minute and later; and the most that is waited after faults.
const OFFLINE_MS = [2000, 5000];
const OFFLINE_FIRST = 30;
const FAULT_MS_MAX = 8000;

const element = (id) => document.getElementById(id);
const video = element('video');
const wanted = options(location.search);
const urls = addresses(location);
const clock = new ServerClock();

let session = null;
let failures = 0;
let absences = 0;
let errors = 0;
let interruptions = 0;
let soundChosen = false;
/// Ends the present wait between two sessions.
let retryNow = () => {};

function tell(state, badge, sentence = '', detail = '') {
  element('badge').dataset.state = state;
  element('badge').textContent = badge;
  element('sheet').hidden = sentence === '';
  element('sentence').textContent = sentence;
  element('detail').textContent = detail;
}

function trouble(error) {
  errors += 1;
  element('errors').textContent = String(errors);
  element('trouble').hidden = false;
  element('trouble').textContent = `Last error, ${new Date().toLocaleTimeString()}: ${error.message}`;
}

const events = {
  begun() {
    failures = 0;
    absences = 0;
    if (!soundChosen) {
      soundChosen = true;
      video.muted = wanted.muted;
    }
    controls.play();
  },
  state(state) {
    if (state === 'playing') {
      tell('live', 'Live');
      controls.sound(session !== null && session.hasSound);
      element('stage').dataset.picture = video.videoWidth > 0 ? 'some' : 'none';
    } else if (state === 'silent') {
      tell('offline', 'Waiting', 'The publisher has stopped sending.', 'The picture comes back by itself when it goes on.');
    } else if (element('badge').dataset.state !== 'loading') {
      tell('loading', 'Buffering');
    }
  },
  stalled() {
    interruptions += 1;
  },
  trouble,
  audios: (list, chosen) => controls.audios(list, chosen),
};

// Plays once. Resolves to what to wait before the next time, in milliseconds, or null if there is no point.
async function attempt(native) {
  const abort = new AbortController();
  const Kind = native ? NativeSession : Session;
  session = new Kind({ video, url: urls.hls, clock, signal: abort.signal, events });
  try {
    await session.run();
    throw new OfflineError('The stream is over.');
  } catch (error) {
    return await explain(error, native);
  } finally {
    abort.abort();
    session = null;
    controls.audios([], -1);
  }
}

async function explain(error, native) {
  if (error instanceof TransportStreamError || error instanceof UnsupportedError) {
    // What Media Source Extensions cannot decode, the browser's HLS cannot either; but it may know another packing.
    if (!native && error instanceof TransportStreamError && playsNatively(video)) {
      return attempt(true);
    }
    trouble(error);
    refuse(error);
    return null;
  }
  if (error instanceof OfflineError || (error instanceof RequestError && error.gone)) {
    if (error.url && error.url !== urls.hls) {
      return again(); // a file of the stream is gone, or the server's session with us: the stream may be there
    }
    tell('offline', 'Offline', 'This stream is offline.', 'It starts by itself as soon as somebody publishes it.');
    return offline();
  }
  if (error instanceof RequestError && error.status === 503 && error.url === urls.hls) {
    tell('offline', 'Waiting', 'The stream is about to begin.', 'The server has no picture of it yet.');
    return offline();
  }
  trouble(error);
  failures += 1;
  if (error instanceof RequestError && error.forbidden) {
    if (error.url !== urls.hls) {
      return again();
    }
    tell('trouble', 'No access', 'You may not watch this stream.', 'Ask for access, or open the page with the credentials you were given.');
    return FAULT_MS_MAX;
  }
  if (error instanceof RequestError) {
    tell('trouble', 'No connection', 'The server cannot be reached at the moment.', 'Trying again.');
  } else {
    tell('trouble', 'Interrupted', 'The playback was interrupted.', `${error.message} Trying again.`);
  }
  return backOff(failures, 500, FAULT_MS_MAX);
}

// What to wait for a stream that is not there.
function offline() {
  failures = 0;
  absences += 1;
  return OFFLINE_MS[absences > OFFLINE_FIRST ? 1 : 0];
}

// Begins anew soon, with the multivariant playlist, whose status decides what is shown.
function again() {
  tell('loading', 'Reconnecting');
  failures += 1;
  return backOff(failures, 300, FAULT_MS_MAX);
}

function refuse(error) {
  const elsewhere = `A player such as VLC or mpv can open ${urls.hls}`;
  if (error instanceof TransportStreamError) {
    tell('trouble', 'Not playable here', 'This stream is packed as MPEG-TS, which this browser does not play.', `${elsewhere} – or let the server pack it as fMP4 (hlsVariant).`);
  } else {
    tell('trouble', 'Not playable here', `This browser cannot decode ${error.codecs}.`, elsewhere);
  }
}

async function play() {
  element('start').hidden = true;
  const native = !('MediaSource' in window);
  if (native && !playsNatively(video)) {
    tell('trouble', 'Not playable here', 'This browser has neither Media Source Extensions nor HLS of its own.', `A player such as VLC or mpv can open ${urls.hls}`);
    return;
  }
  tell('loading', 'Loading');
  for (;;) {
    const wait = await attempt(native);
    if (wait === null) {
      return;
    }
    const waiting = new AbortController();
    retryNow = () => waiting.abort();
    await pause(wait, waiting.signal);
  }
}

// The figures of the present session.
function figures() {
  element('stalls').textContent = String(interruptions);
  if (session === null || !session.begun) {
    element('live').dataset.live = 'no';
    return null;
  }
  const { latency, ahead, bitrate, frameRate, means } = session;
  element('live').dataset.live = latency !== null && !video.paused && session.nearEdge ? 'yes' : 'no';
  return { latency, ahead, bitrate, frameRate, means };
}

const controls = new Controls({
  video,
  stage: element('stage'),
  element,
  shown: wanted.controls,
  live() {
    if (session !== null && session.begun) {
      session.jump();
    }
    controls.play();
  },
  audio: (index) => session !== null && session.choose(index),
  start: play,
});

document.title = `${urls.name} · Headwater`;
document.body.classList.toggle('bare', !wanted.controls);
element('name').textContent = urls.name;
element('home').href = urls.home;
for (const id of ['hls', 'flv', 'ts']) {
  element(id).href = urls[id];
  element(id).textContent = urls[id];
}
video.playsInline = wanted.playsInline;
video.disablePictureInPicture = wanted.disablePictureInPicture;
video.muted = wanted.muted;
window.addEventListener('online', () => retryNow());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') {
    retryNow();
  }
});
showFigures({ video, element, source: figures });
if (wanted.autoplay) {
  play();
} else {
  tell('offline', 'Ready');
  element('start').hidden = false;
}
