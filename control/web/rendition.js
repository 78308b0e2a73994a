// Follows one media playlist and feeds one buffer: what is new in the playlist is fetched and taken in, in order.
//
// With parts, the next one is asked for before it exists (EXT-X-PRELOAD-HINT), together with the playlist that will list it;
// the server answers both at the moment it is made.

import { backOff, pause, request, RequestError } from './request.js';
import { parseMedia, pieces, startAtEnd, startAtWall } from './playlist.js';
import { decodeTime, mimeType, tracks } from './mp4.js';

/// Attempts before an error is the session's: some six seconds.
const ATTEMPTS = 5;
/// Seconds that may lie ahead of the playing position, while it stands still.
const AHEAD_MAX = 30;

/// Media that no browser takes in this way.
export class TransportStreamError extends Error {}
/// The stream is over, or not there yet.
export class OfflineError extends Error {}

export class Rendition {
  /// `session` has `clock`, `timeline`, `video`, `signal`, `begun`, and the methods `progress(rendition, piece, bytes)` and `trouble(error)`.
  constructor(session, { uri, codecs }) {
    this.session = session;
    this.uri = uri;
    this.codecs = codecs;
    this.playlist = null;
    this.cursor = null;
    this.map = null;
    this.known = [];
    this.hint = null;
    this.offset = 0;
    /// All that the playlist listed was taken in, at least once.
    this.caughtUp = false;
    this.abort = new AbortController();
    session.signal.addEventListener('abort', () => this.stop());
  }

  stop() {
    this.abort.abort();
  }

  get stopped() {
    return this.abort.signal.aborted;
  }

  /// Loads the playlist and the first initialization segment, and resolves to the type of the media. Begins near the end, or
  /// at what was live at `wall`.
  async prepare(wall = null) {
    for (;;) {
      await this._reload(false);
      const { playlist } = this;
      if (playlist.ended) {
        throw new OfflineError('The stream is over.');
      }
      const playable = playlist.segments.filter((segment) => !segment.gap);
      if (playable.some((segment) => !segment.map)) {
        throw new TransportStreamError('The stream is packed as MPEG-TS.');
      }
      this.cursor = (wall !== null && startAtWall(playlist, wall)) || startAtEnd(playlist);
      if (this.cursor) {
        break;
      }
      await pause(500, this.abort.signal); // until something can be decoded
    }
    const first = this.playlist.segments.find((segment) => segment.msn === this.cursor.msn);
    this.firstInit = await this._init(first.map);
    return this.mime;
  }

  /// Feeds `buffer` until the stream ends (resolves), something fails for good (rejects), or it is stopped (resolves).
  async run(buffer) {
    this.buffer = buffer;
    try {
      await buffer.init(this.firstInit, this.mime);
      while (!this.stopped) {
        const due = pieces(this.playlist, this.cursor);
        for (const piece of due) {
          await this._room();
          await this._take(piece);
          if (this.stopped) {
            return;
          }
        }
        if (this.playlist.ended) {
          return;
        }
        this.caughtUp = true;
        this._preload();
        await this._next();
        this._follow();
      }
    } catch (error) {
      if (!this.stopped) {
        throw error;
      }
    }
  }

  // Asks again and again, as long as the fault may pass.
  async _insist(url, as, seconds) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { signal } = this.abort;
        const clock = as === 'text' ? this.session.clock : null;
        return await request(url, { as, seconds, signal, clock });
      } catch (error) {
        const final = !(error instanceof RequestError) || error.gone || error.forbidden || attempt === ATTEMPTS;
        if (final || this.stopped) {
          throw error;
        }
        this.session.trouble(error);
        await pause(backOff(attempt, 250, 4000), this.abort.signal);
      }
    }
  }

  // Loads the playlist, as it is or (blocking) as soon as it has what the cursor points at.
  async _reload(blocking) {
    const url = new URL(this.uri);
    const { playlist: before } = this;
    if (blocking) {
      url.searchParams.set('_HLS_msn', this.cursor.msn);
      if (before.partTarget !== null) {
        url.searchParams.set('_HLS_part', this.cursor.part);
      }
      if (before.canSkip) {
        url.searchParams.set('_HLS_skip', 'YES');
      }
    }
    const seconds = blocking ? 3 * before.target + 3 : 15;
    const answer = blocking
      ? await request(url.href, { as: 'text', seconds, signal: this.abort.signal, clock: this.session.clock })
      : await this._insist(url.href, 'text', seconds);
    this.playlist = parseMedia(answer.body, answer.url, before);
  }

  async _next() {
    if (this.playlist.canBlock) {
      try {
        await this._reload(true);
        return;
      } catch (error) {
        if (this.stopped || error.gone || error.forbidden) {
          throw error;
        }
        // A publisher that pauses is no fault of the connection: the server may let a request wait in vain.
        if (error.status === 0) {
          this.session.trouble(error);
        }
        await pause(backOff(1, 250, 250), this.abort.signal);
      }
    } else {
      await pause(1000 * Math.max(0.5, this.playlist.target / 2), this.abort.signal);
    }
    await this._reload(false);
  }

  // After a reload: is the cursor still within the playlist?
  _follow() {
    const { sequence, segments } = this.playlist;
    if (this.cursor.msn > sequence + segments.length + 1) {
      throw new OfflineError('The stream began anew.');
    }
    if (this.cursor.msn < sequence) {
      this.cursor = startAtEnd(this.playlist) || { msn: sequence + segments.length, part: 0 };
      this.session.trouble(new Error('Fell behind the playlist.'));
    }
  }

  // Fetches what comes next, before it is there.
  _preload() {
    const { hint } = this.playlist;
    if (this.hint && this.hint.uri === hint) {
      return;
    }
    this.hint = null;
    if (hint) {
      const { signal } = this.abort;
      const answer = request(hint, { as: 'arrayBuffer', seconds: 3 * this.playlist.target + 3, signal });
      answer.catch(() => {}); // fetched again once it is listed
      this.hint = { uri: hint, answer };
    }
  }

  async _init(map) {
    const { body } = await this._insist(map, 'arrayBuffer', 10);
    this.map = map;
    this.known = tracks(body);
    this.mime = mimeType(this.known, this.codecs);
    return body;
  }

  // Waits while the viewer pauses and enough lies ahead.
  async _room() {
    // Before the beginning the position is zero, wherever the media are.
    const full = () => this.session.begun && this.buffer.end - this.session.video.currentTime > AHEAD_MAX;
    while (!this.stopped && full()) {
      await pause(500, this.abort.signal);
    }
  }

  async _take(piece) {
    this.cursor = piece.next;
    const { segment } = piece;
    if (piece.gap) {
      return;
    }
    if (segment.map !== this.map) {
      await this.buffer.init(await this._init(segment.map), this.mime);
    }
    let body;
    try {
      body = await this._fetch(piece.uri);
    } catch (error) {
      if (this.stopped || !error.gone) {
        throw error;
      }
      // Too old by now: go on with the newest.
      this.session.trouble(error);
      await this._reload(false);
      this.cursor = startAtEnd(this.playlist) || piece.next;
      return;
    }
    const start = decodeTime(body, this.known);
    if (start !== null) {
      const { timeline } = this.session;
      const offset = timeline.offset(segment.discontinuity, start, this.buffer.end);
      if (offset !== this.offset) {
        this.offset = offset;
        await this.buffer.offset(offset);
      }
      if (piece.first && segment.wall !== null) {
        timeline.place(start + offset, segment.wall);
      }
    }
    const { byteLength } = body;
    await this.buffer.append(body);
    this.session.progress(this, piece, byteLength);
  }

  async _fetch(uri) {
    if (this.hint && this.hint.uri === uri) {
      const { answer } = this.hint;
      this.hint = null;
      try {
        return (await answer).body;
      } catch (error) {
        // Below, in the ordinary way.
      }
    }
    return (await this._insist(uri, 'arrayBuffer', 3 * this.playlist.target + 5)).body;
  }
}
