// hls.js plays streams in Chromium without a window, side by side on one page, until this is ended.
//
//   node hls_watch.mjs URL…
//
// Prints how each stream is, four times a second: pictures shown, different ones among them, the discontinuity of
// the fragment that plays, all errors, and of pictures that tell when they were made (harness/live.rs) the latency.

import { file, module, tell } from './packages.mjs';

const { default: puppeteer } = await module('puppeteer-core');
const browser = await puppeteer.launch({
  executablePath: process.env.HEADWATER_TEST_CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--autoplay-policy=no-user-gesture-required'],
  // Chromium ends with the pipe, however this process ends.
  pipe: true,
});
const page = await browser.newPage();
const crashes = [];
page.on('pageerror', (error) => crashes.push(error.stack || error.message));
await page.setContent('<!doctype html><body></body>');
await page.addScriptTag({ path: file('hls.js/dist/hls.min.js') });
await page.evaluate((urls) => {
  window.streams = urls.map((url) => {
    const video = document.createElement('video');
    video.muted = true;
    document.body.append(video);
    const told = { url, pictures: 0, different: 0, errors: [], fragments: 0, discontinuity: 0, latencies: [] };
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [320, 192];
    const context = canvas.getContext('2d', { willReadFrequently: true });
    let last = null;
    const look = () => {
      context.drawImage(video, 0, 0, 320, 192);
      const pixels = context.getImageData(0, 0, 320, 192).data;
      let sum = 7;
      for (let index = 0; index < pixels.length; index += 4 * 37) {
        sum = (sum * 31 + pixels[index]) % 1000000007;
      }
      let clock = 0;
      for (let bit = 0; bit < 16; bit += 1) {
        clock = clock * 2 + (pixels[(10 * 320 + bit * 20 + 10) * 4] > 128 ? 1 : 0);
      }
      told.latencies.push((((Date.now() - clock) % 65536) + 65536) % 65536);
      told.pictures += 1;
      told.different += sum === last ? 0 : 1;
      last = sum;
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    const hls = new window.Hls({ lowLatencyMode: true, enableWorker: true });
    hls.on(window.Hls.Events.ERROR, (_, data) => {
      told.errors.push(`${data.fatal ? 'fatal ' : ''}${data.details} ${data.reason || data.error?.message || ''} ${data.response?.code ?? ''} ${data.url || ''}`);
    });
    hls.on(window.Hls.Events.FRAG_CHANGED, (_, { frag }) => {
      told.fragments += 1;
      told.discontinuity = frag.cc;
    });
    hls.on(window.Hls.Events.MANIFEST_PARSED, () => video.play().catch((error) => told.errors.push(String(error))));
    hls.loadSource(url);
    hls.attachMedia(video);
    return { told, video, hls };
  });
}, process.argv.slice(2));

for (;;) {
  const streams = await page.evaluate(() =>
    window.streams.map(({ told, video, hls }) => ({
      ...told,
      // Of the last pictures: what players do while they begin is another matter.
      latencies: told.latencies.slice(-60),
      position: video.currentTime,
      paused: video.paused,
      width: video.videoWidth,
      sound: video.webkitAudioDecodedByteCount,
      behind: hls.latency,
      target: hls.targetLatency,
    })),
  );
  tell({ streams, crashes });
  await new Promise((done) => setTimeout(done, 250));
}
