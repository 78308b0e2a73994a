// One SourceBuffer: operations one after the other, old media removed, room made when the browser has no more.

/// Seconds kept behind the playing position, for what a viewer just missed; and beyond which they are removed.
const BEHIND_KEPT = 10;
const BEHIND_MAX = 20;

export class TrackBuffer {
  constructor(mediaSource, mime, video) {
    this.source = mediaSource.addSourceBuffer(mime);
    this.source.mode = 'segments';
    this.mime = mime;
    this.video = video;
    this.last = Promise.resolve();
  }

  // Runs `operation` after those before it, and waits until the buffer has taken it in.
  _queue(operation) {
    const done = this.last.then(() => new Promise((resolve, reject) => {
      const settle = (end, value) => {
        this.source.removeEventListener('updateend', onEnd);
        this.source.removeEventListener('error', onError);
        end(value);
      };
      const onEnd = () => settle(resolve);
      const onError = () => settle(reject, new Error('The browser could not read the media.'));
      this.source.addEventListener('updateend', onEnd);
      this.source.addEventListener('error', onError);
      try {
        operation(this.source);
        if (!this.source.updating) {
          settle(resolve);
        }
      } catch (error) {
        settle(reject, error);
      }
    }));
    this.last = done.catch(() => {});
    return done;
  }

  /// Takes in an initialization segment, of another type if need be.
  init(bytes, mime) {
    if (mime !== this.mime && this.source.changeType) {
      this._queue((source) => source.changeType(mime));
      this.mime = mime;
    }
    return this.append(bytes);
  }

  async append(bytes) {
    try {
      await this._queue((source) => source.appendBuffer(bytes));
    } catch (error) {
      if (error.name !== 'QuotaExceededError') {
        throw error;
      }
      await this.remove(0, Math.max(0, this.video.currentTime - 1));
      await this._queue((source) => source.appendBuffer(bytes));
    }
    const { currentTime } = this.video;
    if (this.source.buffered.length > 0 && currentTime - this.source.buffered.start(0) > BEHIND_MAX) {
      await this.remove(0, currentTime - BEHIND_KEPT);
    }
  }

  /// What is added to the times of the media that come from now on, in seconds.
  offset(seconds) {
    return this._queue((source) => {
      source.timestampOffset = seconds;
    });
  }

  async remove(start, end) {
    if (end > start) {
      await this._queue((source) => source.remove(start, end));
    }
  }

  /// Where the media end that are there; null if none are.
  get end() {
    const { buffered } = this.source;
    return buffered.length > 0 ? buffered.end(buffered.length - 1) : null;
  }

  /// Where the newest media without a hole begin; null if none are there.
  get start() {
    const { buffered } = this.source;
    return buffered.length > 0 ? buffered.start(buffered.length - 1) : null;
  }
}
