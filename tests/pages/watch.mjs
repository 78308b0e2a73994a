// watch.mjs URL SIZE NAME [steps…]: opens a player page, waits for a moving picture, and checks what the page tells.
//
// Steps: `latency=3` (the latency told is below so many seconds), `quiet` (no complaint so far), `shot`, `returns` (prints
// `watching`, waits for the stream to be gone, prints `gone`, waits for the picture to move again), `sentence=TEXT` (instead of
// a picture the page says TEXT), `keys` (pause, play, mute, full screen by keyboard).

import { check, fits, open, pixels, screenshot, told, until } from './chromium.mjs';

const [url, size, name, ...steps] = process.argv.slice(2);
const PICTURE_SECONDS = 20;
/// Of the pictures; one processor renders for the whole test.
const DROPPED_MAX = 0.2;

const prelude = steps.includes('no-media-source') ? 'delete window.MediaSource; HTMLMediaElement.prototype.canPlayType = () => "";' : null;
const { browser, page, complaints, crashes } = await open(url, size, { dark: steps.includes('dark'), prelude });

async function moves() {
  await until('the page to say Live', PICTURE_SECONDS, async () => {
    const now = await told(page);
    return now.badge === 'Live' || now;
  });
  const first = await pixels(page);
  const { position } = await told(page);
  await until('another picture', PICTURE_SECONDS, async () => (await pixels(page)) !== first || await told(page));
  await until('the position to go on', PICTURE_SECONDS, async () => {
    const now = await told(page);
    return now.position > position + 2 || now;
  });
}

async function step(text) {
  const [what, value] = text.split('=');
  const now = await told(page);
  if (what === 'latency') {
    await until(`a latency below ${value} s`, 10, async () => {
      const { latency } = await told(page);
      return parseFloat(latency) < Number(value) || latency;
    });
    const { dropped } = await told(page);
    const [lost, total] = dropped.split(' of ').map(Number);
    check(total > 20 && lost <= total * DROPPED_MAX, `dropped ${dropped}`);
    check(parseFloat(now.bitrate) > 0 && now.picture.includes('×'), JSON.stringify(now));
  } else if (what === 'quiet') {
    check(complaints.length === 0, `the page complained: ${complaints.join('\n')}`);
    check(now.errors === '0', `the page counted errors: ${now.trouble}`);
  } else if (what === 'shot') {
    await screenshot(page, `${name}-${size}`);
  } else if (what === 'returns') {
    console.log('watching');
    await until('the page to tell that the stream is gone', 20, async () => {
      const { badge } = await told(page);
      return ['Offline', 'Waiting'].includes(badge) || badge;
    });
    await screenshot(page, `${name}-${size}-gone`);
    console.log('gone');
    await moves();
    console.log('back');
  } else if (what === 'keys') {
    await keys();
  } else if (what === 'sentence') {
    await until(`the page to say ${value}`, PICTURE_SECONDS, async () => {
      const said = await told(page);
      return `${said.sentence} ${said.detail}`.includes(value) || said;
    });
  }
}

async function keys() {
  const state = (expression) => page.evaluate(expression);
  await page.keyboard.press('k');
  check(await state('video.paused'), 'k does not pause');
  await page.keyboard.press('Space');
  check(!(await state('video.paused')), 'the space bar does not play');
  check(await state('video.muted'), 'playing began with sound');
  await until('a button for sound', 5, () => state('!unmute.hidden'));
  await page.click('#unmute');
  check(!(await state('video.muted')) && await state('unmute.hidden'), 'the button for sound does nothing');
  await page.keyboard.press('m');
  check(await state('video.muted'), 'm does not mute');
  await page.keyboard.press('f');
  await until('full screen', 5, () => state('document.fullscreenElement !== null'));
  await page.keyboard.press('f');
  await until('no full screen', 5, () => state('document.fullscreenElement === null'));
}

try {
  if (!steps.some((text) => text.startsWith('sentence'))) {
    await moves();
  }
  for (const text of steps) {
    await step(text);
  }
  await fits(page);
  check(crashes.length === 0, `exceptions: ${crashes.join('\n')}`);
  console.log(JSON.stringify(await told(page)));
} catch (error) {
  console.error(error.stack, JSON.stringify(await told(page)), complaints.join('\n'), crashes.join('\n'));
  await screenshot(page, `failed-${name}-${size}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
