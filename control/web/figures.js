// The figures under the picture: what this viewer gets, twice a second.

const PERIOD_MS = 500;

/// Counts pictures shown and dropped across changes of the source, which start the browser's counters anew.
class Pictures {
  constructor(video) {
    Object.assign(this, { video, dropped: 0, total: 0, before: { dropped: 0, total: 0 } });
  }

  read() {
    const quality = this.video.getVideoPlaybackQuality ? this.video.getVideoPlaybackQuality() : null;
    const now = { dropped: quality ? quality.droppedVideoFrames : 0, total: quality ? quality.totalVideoFrames : 0 };
    const anew = now.total < this.before.total;
    this.dropped += now.dropped - (anew ? 0 : this.before.dropped);
    this.total += now.total - (anew ? 0 : this.before.total);
    this.before = now;
    return this;
  }
}

/// `source()` answers `{ latency, ahead, bitrate, frameRate, means }` of the present playback, or null.
export function showFigures({ video, element, source }) {
  const pictures = new Pictures(video);
  const update = () => {
    const { dropped, total } = pictures.read();
    const now = source();
    const put = (id, text) => {
      if (element(id).textContent !== text) {
        element(id).textContent = text;
      }
    };
    const seconds = (value) => (value === null || !Number.isFinite(value) ? '–' : `${Math.max(0, value).toFixed(2)} s`);
    put('latency', now ? seconds(now.latency) : '–');
    put('buffer', now ? seconds(now.ahead) : '–');
    put('bitrate', now && now.bitrate ? bitrate(now.bitrate) : '–');
    put('dropped', total > 0 ? `${dropped} of ${total}` : '–');
    put('means', now ? now.means : '–');
    const size = video.videoWidth > 0 ? `${video.videoWidth}×${video.videoHeight}` : null;
    const rate = now && now.frameRate ? ` ${Math.round(now.frameRate)} fps` : '';
    put('picture', size ? size + rate : now && video.readyState > 0 ? 'sound only' : '–');
  };
  setInterval(update, PERIOD_MS);
  update();
}

function bitrate(bits) {
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`;
}
