// Playing by the browser's own HLS, where it has no Media Source Extensions or the stream is packed as MPEG-TS.

import { pause, request } from './request.js';
import { OfflineError } from './rendition.js';

const HLS = 'application/vnd.apple.mpegurl';
const TICK_MS = 250;
/// Seconds without progress after which the path is asked for again.
const SILENCE_SECONDS = 8;

export function playsNatively(video) {
  return video.canPlayType(HLS) !== '';
}

/// The same shape as a Session; what the browser does not tell is null.
export class NativeSession {
  constructor({ video, url, clock, signal, events }) {
    Object.assign(this, { video, url, clock, signal, events });
    Object.assign(this, { begun: false, bitrate: null, frameRate: null, means: 'HLS of the browser' });
  }

  async run() {
    // The browser says only that it failed; the status says why.
    await request(this.url, { as: 'text', seconds: 20, signal: this.signal, clock: this.clock });
    const { video, signal } = this;
    const failed = new Promise((resolve, reject) => {
      const reason = () => reject(new Error(video.error ? video.error.message : 'The browser stopped playing.'));
      video.addEventListener('error', reason, { signal });
      video.addEventListener('ended', () => reject(new OfflineError('The stream is over.')), { signal });
    });
    video.addEventListener('waiting', () => {
      if (this.begun) {
        this.events.stalled();
      }
    }, { signal });
    video.addEventListener('loadedmetadata', () => {
      this.begun = true;
      this.events.begun();
    }, { signal });
    video.src = this.url;
    try {
      await Promise.race([failed, this._watch()]);
    } finally {
      video.removeAttribute('src');
      video.load();
    }
  }

  async _watch() {
    let [place, since] = [0, performance.now()];
    while (!this.signal.aborted) {
      await pause(TICK_MS, this.signal);
      const { currentTime, paused } = this.video;
      const moved = currentTime !== place;
      if (moved || paused) {
        [place, since] = [currentTime, performance.now()];
      }
      if (this.begun && !paused) {
        this.events.state(moved ? 'playing' : 'waiting');
      }
      if (performance.now() - since > SILENCE_SECONDS * 1000) {
        throw new OfflineError('The stream has stopped.');
      }
    }
  }

  get hasSound() {
    const { video } = this;
    return video.audioTracks ? video.audioTracks.length > 0 : true;
  }

  get ahead() {
    const { buffered, currentTime } = this.video;
    return buffered.length > 0 ? Math.max(0, buffered.end(buffered.length - 1) - currentTime) : null;
  }

  get latency() {
    const start = this.video.getStartDate ? this.video.getStartDate().getTime() : NaN;
    return Number.isNaN(start) ? null : (this.clock.now() - start) / 1000 - this.video.currentTime;
  }

  get nearEdge() {
    const { seekable, currentTime } = this.video;
    return seekable.length > 0 && seekable.end(seekable.length - 1) - currentTime < 20;
  }

  jump() {
    const { seekable } = this.video;
    if (seekable.length > 0) {
      this.video.currentTime = seekable.end(seekable.length - 1);
    }
  }

  choose() {}
}
