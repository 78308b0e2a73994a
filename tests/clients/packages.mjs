// npm packages of the folder that HEADWATER_TEST_NODE names: tests/run installs them there.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = process.env.HEADWATER_TEST_NODE;
const require = createRequire(pathToFileURL(join(folder, 'package.json')));

export const file = (name) => join(folder, 'node_modules', name);
export const required = (name) => require(name);
export const module = (name) => import(pathToFileURL(require.resolve(name)));

export function check(condition, message) {
  if (!condition) {
    throw new Error(message);
  }
}

/// Prints one line for the test.
export const tell = (value) => console.log(JSON.stringify(value));
