// index.mjs URL SIZE PATH: opens the index page of a server on which nothing is live, prints `empty`, waits for PATH in the
// list, follows the link and waits for the picture.

import { check, fits, open, screenshot, told, until } from './chromium.mjs';

const [url, size, path] = process.argv.slice(2);
const { browser, page, complaints, crashes } = await open(url, size, { dark: true });

try {
  await until('the welcome', 10, () => page.evaluate('!welcome.hidden'));
  const welcome = await page.evaluate('welcome.textContent');
  for (const part of [`-f flv rtmp://${new URL(url).hostname}/live/test`, `-f rtsp -rtsp_transport tcp rtsp://${new URL(url).hostname}:8554/live/test`, 'headwater --demo']) {
    check(welcome.includes(part), `the welcome lacks ${part}`);
  }
  await fits(page);
  await screenshot(page, `index-empty-${size}`);
  console.log('empty');
  await until(`${path} in the list`, 15, () => page.evaluate((wanted) => [...document.querySelectorAll('.paths .name')].some(({ textContent }) => textContent === wanted), path));
  check(await page.evaluate('welcome.hidden'), 'the welcome stays although a path is live');
  const facts = await page.evaluate(() => document.querySelector('.paths .facts').textContent);
  check(facts.includes('H264') && facts.includes('MPEG-4 Audio'), `the list says ${facts}`);
  await fits(page);
  await screenshot(page, `index-${size}`);
  check(complaints.length === 0, `the page complained: ${complaints.join('\n')}`);
  await page.click('.paths a');
  await page.waitForSelector('#video');
  await until('the picture', 20, async () => (await told(page)).badge === 'Live' || await told(page));
  check((await page.title()).startsWith(path), await page.title());
  await screenshot(page, `dark-${size}`);
  check(crashes.length === 0, `exceptions: ${crashes.join('\n')}`);
} catch (error) {
  console.error(error.stack, complaints.join('\n'), crashes.join('\n'));
  await screenshot(page, `failed-index-${size}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
