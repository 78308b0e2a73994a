// Reads FLV over WebSocket, as players in browsers do, into a file, until the server closes.
//
//   node websocket_flv.mjs URL FILE
//
// Prints twice a second what has come, and at the end the code that it was closed with.

import { createWriteStream } from 'node:fs';
import { check, required, tell } from './packages.mjs';

const WebSocket = required('ws');
const [url, path] = process.argv.slice(2);
const file = createWriteStream(path);
const started = Date.now();
const seen = { messages: 0, bytes: 0, first_ms: null, pongs: 0, closed: null };
const socket = new WebSocket(url, { handshakeTimeout: 10000 });
socket.on('open', () => socket.ping('are you there'));
socket.on('pong', (payload) => {
  check(payload.toString() === 'are you there', `a pong of ${payload}`);
  seen.pongs += 1;
});
socket.on('message', (message, isBinary) => {
  check(isBinary, 'a message of text');
  check(seen.messages > 0 || message.subarray(0, 3).toString() === 'FLV', `begins with ${message.subarray(0, 16).toString('hex')}`);
  seen.first_ms ??= Date.now() - started;
  seen.messages += 1;
  seen.bytes += message.length;
  file.write(message);
});
socket.on('error', (error) => {
  throw error;
});
const timer = setInterval(() => tell(seen), 500);
socket.on('close', (code) => {
  clearInterval(timer);
  seen.closed = code;
  file.end(() => tell(seen));
});
