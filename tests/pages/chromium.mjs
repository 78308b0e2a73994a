// Chromium without a window, on one page, with what the page complains about.
//
// HEADWATER_TEST_NODE names the folder that tests/run installs puppeteer-core into.

import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = process.env.HEADWATER_TEST_NODE;
const { resolve } = createRequire(pathToFileURL(join(folder, 'package.json')));
const { default: puppeteer } = await import(pathToFileURL(resolve('puppeteer-core')));

export const SIZES = {
  desktop: { width: 1280, height: 800 },
  telephone: { width: 390, height: 844, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};
const SCREENSHOTS = process.env.HEADWATER_TEST_SCREENSHOTS;
const LOOK_EVERY_MS = 100;

/// Opens a page of that size; `complaints` fills with console errors, exceptions and failed requests.
export async function open(url, size, { dark = false, prelude = null } = {}) {
  const browser = await puppeteer.launch({
    executablePath: process.env.HEADWATER_TEST_CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  const page = await browser.newPage();
  await page.setViewport(SIZES[size]);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]);
  if (prelude) {
    await page.evaluateOnNewDocument(prelude);
  }
  const complaints = [];
  const crashes = [];
  page.on('console', (message) => {
    if (message.type() === 'error') {
      complaints.push(`${message.text()} ${message.location().url || ''}`);
    }
  });
  page.on('pageerror', (error) => crashes.push(error.stack || error.message));
  await page.goto(url);
  return { browser, page, complaints, crashes };
}

export function check(condition, message) {
  if (!condition) {
    throw new Error(message);
  }
}

/// Calls `probe` until it is true, for at most so many seconds.
export async function until(what, seconds, probe) {
  const end = Date.now() + seconds * 1000;
  let seen = null;
  for (;;) {
    seen = await probe();
    if (seen === true) {
      return;
    }
    check(Date.now() < end, `waited ${seconds} s in vain for ${what}; seen: ${JSON.stringify(seen)}`);
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
  }
}

export async function screenshot(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/// What the page tells: texts by the ids of its elements, and the position of the picture.
export function told(page) {
  return page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    const video = document.getElementById('video');
    const ids = ['badge', 'sentence', 'detail', 'latency', 'buffer', 'bitrate', 'picture', 'dropped', 'stalls', 'errors', 'trouble', 'means'];
    return Object.fromEntries([...ids.map((id) => [id, text(id)]), ['position', video.currentTime]]);
  });
}

/// A number for the pixels that are shown now.
export function pixels(page) {
  return page.evaluate(() => {
    const video = document.getElementById('video');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [160, 90];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0, 160, 90);
    return context.getImageData(0, 0, 160, 90).data.reduce((sum, value, index) => (sum * 31 + value * (index % 251)) % 1000000007, 7);
  });
}

/// The page fits the screen's width, and what is to be touched is large enough (44 CSS pixels, WCAG 2.5.5).
export async function fits(page) {
  const { wide, small } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - window.innerWidth,
    small: [...document.querySelectorAll('button, summary, header a')]
      .filter((element) => element.checkVisibility())
      .map((element) => ({ name: element.id || element.textContent.trim(), box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.height < 43.5 || box.width < 27.5)
      .map(({ name, box }) => `${name} ${box.width}x${box.height}`),
  }));
  check(wide <= 0, `the page is ${wide} pixels wider than the screen`);
  check(small.length === 0, `too small to touch: ${small.join(', ')}`);
}
