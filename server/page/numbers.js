// SPDX-License-Identifier: Apache-2.0
// How numbers are shown: the tool "cenote" shows sizes and times in the same way.

const NOTHING = '–';

export function bytes(n) {
  if (n == null) return NOTHING;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let unit = 0;
  for (; n >= (unit ? 1023.95 : 1024) && unit < units.length - 1; unit++) n /= 1024;
  return `${unit ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

export const count = n => (n == null ? NOTHING : Math.round(n).toLocaleString('en'));

// Of something a second.
export function rate(n) {
  if (n == null) return NOTHING;
  if (n === 0) return '0';
  if (n < 10) return n.toFixed(1);
  if (n < 10000) return count(n);
  const units = ['', ' k', ' M', ' G'];
  let unit = 0;
  for (; n >= 1000 && unit < units.length - 1; unit++) n /= 1000;
  return n.toFixed(1) + units[unit];
}

export const byteRate = n => (n == null ? NOTHING : `${bytes(n)}/s`);

export function share(n) {
  if (n == null) return NOTHING;
  // What isn't all is never shown as 100 %, and what isn't nothing never as 0.
  const percent = n < 1 ? Math.min(n * 100, 99.9) : n * 100;
  return `${n > 0 ? Math.max(percent, 0.1).toFixed(1) : '0'} %`;
}

export function micros(us) {
  if (us == null) return NOTHING;
  if (us < 1000) return `${us < 10 ? us.toFixed(1).replace('.0', '') : Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1e3).toFixed(us < 1e4 ? 2 : us < 1e5 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

// The two largest units: "3 min 5 s".
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.floor(ms / 1000);
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => s >= size);
  const text = [`${Math.floor(s / parts[first][0])} ${parts[first][1]}`];
  if (first + 1 < parts.length) {
    const rest = Math.floor((s % parts[first][0]) / parts[first + 1][0]);
    if (rest) text.push(`${rest} ${parts[first + 1][1]}`);
  }
  return text.join(' ');
}

export const clock = ms => new Date(ms).toLocaleTimeString('en-GB');
