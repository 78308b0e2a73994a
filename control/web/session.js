// One attempt to play a path by Media Source Extensions: from the multivariant playlist until the stream ends or fails.

import { LiveControl } from './live.js';
import { parseMultivariant } from './playlist.js';
import { request } from './request.js';
import { OfflineError, Rendition } from './rendition.js';
import { Timeline } from './timeline.js';
import { TrackBuffer } from './buffer.js';

const TICK_MS = 200;
/// Seconds of media over which the bitrate is averaged.
const BITRATE_SECONDS = 8;
/// Seconds beyond the target that are enough to begin with, on a slow connection.
const ENOUGH_SECONDS = 2;
/// Holes up to this many seconds are stepped over at once.
const STEP_OVER = 0.05;
/// Seconds without anything new, beyond the target duration's multiple, after which the publisher counts as paused.
const SILENCE_TARGETS = 2;
const SILENCE_SECONDS = 2;

const NAMES = { avc1: 'H.264', avc3: 'H.264', hvc1: 'H.265', hev1: 'H.265', av01: 'AV1', vp09: 'VP9', mp4a: 'AAC', fLaC: 'FLAC', opus: 'Opus' };

/// The browser cannot decode media of this type; `codecs` names them for people.
export class UnsupportedError extends Error {
  constructor(mime) {
    super(`not supported: ${mime}`);
    const list = (mime.match(/"(.*)"/) || ['', ''])[1].split(',');
    const unknown = list.filter((codec) => !MediaSource.isTypeSupported(mime.replace(/".*"/, `"${codec}"`)));
    this.codecs = unknown.map((codec) => NAMES[codec.slice(0, 4)] || codec).join(' and ') || 'this stream';
  }
}

export class Session {
  /// `events` has the methods `begun()`, `stalled()`, `state('playing' | 'waiting' | 'silent')`, `trouble(error)` and
  /// `audios(renditions, index of the chosen one)`.
  constructor({ video, url, clock, signal, events }) {
    Object.assign(this, { video, url, clock, signal, events });
    this.timeline = new Timeline();
    this.meters = new Map();
    this.tracks = [];
    this.lastProgress = performance.now();
    this.begun = false;
    this.dry = false;
  }

  /// Plays. Resolves when the stream ended in good order, rejects when it failed, or when the signal aborts.
  async run() {
    const index = await request(this.url, { as: 'text', seconds: 20, signal: this.signal, clock: this.clock });
    const { variants, audio } = parseMultivariant(index.body, index.url);
    if (variants.length === 0) {
      throw new OfflineError('The stream has no tracks yet.');
    }
    const variant = variants[0];
    this.frameRate = variant.frameRate;
    this.choices = audio.filter(({ group, uri }) => group === variant.audioGroup && uri);
    this.codecs = variant.codecs;
    const renditions = [new Rendition(this, { uri: variant.uri, codecs: variant.codecs })];
    // Of a stream without video the first rendition is the variant itself.
    const chosen = this.choices.find(({ preferred }) => preferred) || this.choices[0];
    if (chosen && chosen.uri !== variant.uri) {
      renditions.push(new Rendition(this, { uri: chosen.uri, codecs: variant.codecs }));
    }
    this.chosen = chosen ? this.choices.indexOf(chosen) : -1;
    try {
      await this._play(renditions);
    } finally {
      clearInterval(this.timer);
      renditions.concat(this.tracks.map(({ rendition }) => rendition)).forEach((rendition) => rendition.stop());
    }
  }

  async _play(renditions) {
    const mimes = await Promise.all(renditions.map((rendition) => rendition.prepare()));
    const unknown = mimes.find((mime) => !MediaSource.isTypeSupported(mime));
    if (unknown) {
      throw new UnsupportedError(unknown);
    }
    const source = await this._open();
    this.tracks = renditions.map((rendition, index) => ({
      rendition,
      buffer: new TrackBuffer(source, mimes[index], this.video),
    }));
    const { playlist } = renditions[0];
    const parts = playlist.partTarget !== null;
    this.lowLatency = parts;
    const target = parts ? playlist.partHoldBack || 3 * playlist.partTarget : playlist.holdBack || 3 * playlist.target;
    this.control = new LiveControl(target, parts ? playlist.partTarget : playlist.target);
    this.events.audios(this.choices, this.chosen);
    this.timer = setInterval(() => this._tick(), TICK_MS);
    const failed = new Promise((resolve, reject) => {
      this.fail = reject;
      this.signal.addEventListener('abort', () => reject(new DOMException('stopped', 'AbortError')));
      const decoding = () => reject(new Error(`The browser stopped decoding. ${this.video.error?.message || ''}`));
      this.video.addEventListener('error', decoding, { signal: this.signal });
    });
    await Promise.race([failed, this._feed()]);
    if (source.readyState === 'open') {
      source.endOfStream();
    }
    await Promise.race([failed, this._drained()]);
  }

  // Until every rendition has ended, those included that were chosen later.
  async _feed() {
    this.tracks.forEach((track) => this._start(track, track.rendition.run(track.buffer)));
    for (;;) {
      const running = this.tracks.map(({ done }) => done);
      await Promise.all(running);
      if (running.every((done, index) => done === this.tracks[index].done)) {
        return;
      }
    }
  }

  _start(track, running) {
    const { rendition } = track;
    track.done = running.catch((error) => {
      if (!rendition.stopped) {
        this.fail(error);
      }
    });
  }

  async _open() {
    const source = new MediaSource();
    const address = URL.createObjectURL(source);
    await new Promise((resolve) => {
      source.addEventListener('sourceopen', resolve, { once: true });
      this.video.src = address;
    });
    URL.revokeObjectURL(address);
    return source;
  }

  // What is in the buffer has been played.
  _drained() {
    return new Promise((resolve) => {
      const check = setInterval(() => {
        if (this.video.ended || this.video.paused || this.signal.aborted || this.ahead < 0.1) {
          clearInterval(check);
          resolve();
        }
      }, TICK_MS);
    });
  }

  /// Changes to another audio rendition, at about the present place.
  choose(index) {
    const audio = this.tracks[1];
    if (!audio || index === this.chosen || !this.choices[index]) {
      return;
    }
    this.chosen = index;
    audio.rendition.stop();
    const rendition = new Rendition(this, { uri: this.choices[index].uri, codecs: this.codecs });
    audio.rendition = rendition;
    const before = audio.done;
    this._start(audio, this._change(audio, rendition, before));
  }

  async _change(track, rendition, before) {
    const mime = await rendition.prepare(this.timeline.wall(this.video.currentTime));
    if (!MediaSource.isTypeSupported(mime)) {
      throw new UnsupportedError(mime);
    }
    await before;
    await track.buffer.remove(0, Infinity);
    await rendition.run(track.buffer);
  }

  progress(rendition, piece, bytes) {
    this.lastProgress = performance.now();
    const meter = this.meters.get(rendition) || [];
    meter.push({ bytes, seconds: piece.duration });
    let total = meter.reduce((sum, { seconds }) => sum + seconds, 0);
    while (meter.length > 1 && total - meter[0].seconds >= BITRATE_SECONDS) {
      total -= meter.shift().seconds;
    }
    this.meters.set(rendition, meter);
  }

  trouble(error) {
    this.events.trouble(error);
  }

  /// Bits per second of what came in last; null before anything came.
  get bitrate() {
    let sum = 0;
    for (const { rendition } of this.tracks) {
      const meter = this.meters.get(rendition) || [];
      const seconds = meter.reduce((total, piece) => total + piece.seconds, 0);
      const bytes = meter.reduce((total, piece) => total + piece.bytes, 0);
      sum += seconds > 0 ? bytes * 8 / seconds : 0;
    }
    return sum > 0 ? sum : null;
  }

  get means() {
    return this.lowLatency ? 'low-latency HLS' : 'HLS';
  }

  get hasSound() {
    return this.tracks.some(({ rendition }) => rendition.known.some(({ media }) => media === 'soun'));
  }

  /// Whether the position is about as near the end as it should be.
  get nearEdge() {
    return this.ahead < this.control.target + this.control.step + 1.5;
  }

  /// Where all tracks end in the buffer; null if one has nothing.
  get edge() {
    const ends = this.tracks.map(({ buffer }) => buffer.end);
    return ends.length === 0 || ends.includes(null) ? null : Math.min(...ends);
  }

  /// Seconds in the buffer ahead of the playing position.
  get ahead() {
    return this.edge === null ? 0 : Math.max(0, this.edge - this.video.currentTime);
  }

  /// Seconds between the server taking in what is shown, and now; null if that is not known.
  get latency() {
    const wall = this.begun ? this.timeline.wall(this.video.currentTime) : null;
    return wall === null ? null : (this.clock.now() - wall) / 1000;
  }

  /// Goes to the live edge.
  jump() {
    if (this.edge === null) {
      return;
    }
    const start = Math.max(...this.tracks.map(({ buffer }) => buffer.start));
    this.video.currentTime = Math.min(this.edge, Math.max(start + 0.01, this.edge - this.control.target));
  }

  _tick() {
    const now = performance.now();
    const elapsed = (now - (this.ticked || now)) / 1000;
    this.ticked = now;
    if (this.edge === null) {
      return;
    }
    const silent = (now - this.lastProgress) / 1000;
    const quiet = silent > SILENCE_TARGETS * this.tracks[0].rendition.playlist.target + SILENCE_SECONDS;
    if (!this.begun) {
      this._begin();
      return;
    }
    this._stepOver();
    const dry = this.video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA;
    if (dry && !this.dry && !this.video.paused && !this.video.seeking) {
      this.events.stalled();
      this.control.stalled();
    }
    this.dry = dry;
    const waits = dry || this.video.playbackRate === 0;
    this.events.state(!waits ? 'playing' : quiet ? 'silent' : 'waiting');
    if (this.video.paused) {
      return;
    }
    const { jump, rate } = this.control.decide(this.ahead, elapsed);
    if (jump !== undefined) {
      this.jump();
    } else if (this.video.playbackRate !== rate) {
      this.video.playbackRate = rate;
    }
  }

  // The first position: as soon as all is there that the playlists had, or more than enough of it.
  _begin() {
    const start = Math.max(...this.tracks.map(({ buffer }) => buffer.start));
    const all = this.tracks.every(({ rendition }) => rendition.caughtUp);
    if (this.edge > start && (all || this.edge - start > this.control.target + ENOUGH_SECONDS)) {
      this.jump();
      this.begun = true;
      this.events.state('waiting');
      this.events.begun();
    }
  }

  // Over a hole in the buffer that the position has come to.
  _stepOver() {
    const { buffered, currentTime, readyState, seeking } = this.video;
    if (seeking || readyState >= HTMLMediaElement.HAVE_FUTURE_DATA) {
      return;
    }
    for (let index = 0; index < buffered.length; index += 1) {
      const start = buffered.start(index);
      if (buffered.end(index) > currentTime + STEP_OVER && start > currentTime) {
        this.video.currentTime = start + STEP_OVER;
        return;
      }
    }
  }
}
