// SPDX-License-Identifier: Apache-2.0
// A chart of the last minutes: a few lines over time, in SVG. What the lines say at the cursor, or
// now, stands in the legend, as text.

import {clock} from './numbers.js';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 112, LEFT = 4, RIGHT = 4, TOP = 8, BOTTOM = 18;
const MINUTE_MS = 60 * 1000;
const SPANS = [1, 2, 5, 10]; // minutes: as many as have been seen
const GAP_MS = 40 * 1000; // longer than between two looks of a hidden page

function svg(name, attributes = {}, parent = null) {
  const e = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  parent?.append(e);
  return e;
}

// 1, 2 or 5 times a power of ten (or of two, for bytes), so that the axis doesn't move all the time.
function niceMax(n, binary) {
  if (!(n > 0)) return 1;
  if (binary) return 2 ** Math.ceil(Math.log2(n));
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map(f => f * power).find(m => m >= n * 0.9999);
}

export class Chart {
  // lines: [{name, value: point => number or null}]; format: of a value; max: of the axis, if fixed.
  constructor(figure, {lines, format, max = null, binary = false}) {
    Object.assign(this, {figure, lines, format, max, binary, points: [], end: 0, span: 1, cursor: null});
    this.svg = svg('svg', {role: 'img', tabindex: 0, height: HEIGHT});
    this.grid = svg('g', {class: 'grid'}, this.svg);
    this.paths = lines.map((_, i) => svg('path', {class: `line line${i}`}, this.svg));
    this.mark = svg('line', {class: 'cursor', y1: TOP, y2: HEIGHT - BOTTOM, visibility: 'hidden'}, this.svg);
    this.legend = document.createElement('p');
    this.legend.className = 'legend';
    this.values = lines.map((line, i) => this.#entry(line, i));
    this.when = document.createElement('span');
    this.when.className = 'when';
    this.legend.append(this.when);
    figure.append(this.legend, this.svg);
    this.svg.addEventListener('pointermove', e => this.#point(e));
    this.svg.addEventListener('pointerleave', () => this.#move(null));
    this.svg.addEventListener('blur', () => this.#move(null));
    this.svg.addEventListener('keydown', e => this.#key(e));
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  #entry(line, i) {
    const entry = document.createElement('span');
    const key = document.createElement('i');
    key.className = `key line${i}`;
    const value = document.createElement('data');
    entry.append(key, `${line.name} `, value);
    this.legend.append(entry);
    return value;
  }

  show(points, end) {
    const seen = points.length ? end - points[0].at : 0;
    this.span = SPANS.find(minutes => minutes * MINUTE_MS >= seen) ?? SPANS.at(-1);
    this.points = points.filter(p => p.at >= end - this.span * MINUTE_MS);
    this.end = end;
    this.draw();
  }

  #x(at) {
    return LEFT + (1 - (this.end - at) / (this.span * MINUTE_MS)) * (this.width - LEFT - RIGHT);
  }

  #path(line, top) {
    let text = '', before = null;
    for (const p of this.points) {
      const value = p.seconds ? line.value(p) : null;
      if (value == null || (before && p.at - before > GAP_MS)) before = null;
      if (value == null) continue;
      const y = TOP + (1 - Math.min(value / top, 1)) * (HEIGHT - TOP - BOTTOM);
      const x = this.#x(p.at).toFixed(1);
      // One by itself is a dot.
      text += before ? `L${x} ${y.toFixed(1)}` : `M${x} ${y.toFixed(1)}h.01`;
      before = p.at;
    }
    return text;
  }

  #largest() {
    let largest = 0;
    for (const p of this.points)
      for (const line of this.lines)
        if (p.seconds) largest = Math.max(largest, line.value(p) ?? 0);
    return largest;
  }

  draw() {
    this.width = this.figure.clientWidth - 24;
    if (this.width <= 0 || document.hidden) return;
    const top = this.max ?? niceMax(this.#largest(), this.binary);
    this.svg.setAttribute('width', this.width);
    this.#drawGrid(top);
    this.lines.forEach((line, i) => this.paths[i].setAttribute('d', this.#path(line, top)));
    this.#tell();
  }

  #drawGrid(top) {
    const bottom = HEIGHT - BOTTOM;
    this.grid.replaceChildren();
    for (const part of [0, 0.5, 1]) {
      const y = TOP + (1 - part) * (bottom - TOP);
      svg('line', {x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y}, this.grid);
      if (part) svg('text', {x: LEFT, y: y + 11}, this.grid).textContent = this.format(top * part);
    }
    for (const part of [0, 0.5, 1]) {
      const seconds = part * this.span * 60;
      const anchor = part === 0 ? 'end' : part === 1 ? 'start' : 'middle';
      const text = seconds === 0 ? 'now' : seconds < 120 ? `−${seconds} s` : `−${seconds / 60} min`;
      svg('text', {x: this.#x(this.end - seconds * 1000), y: HEIGHT - 4, 'text-anchor': anchor},
          this.grid).textContent = text;
    }
  }

  // The legend, and the same for who doesn't see.
  #tell() {
    const known = this.points.filter(p => p.seconds);
    const p = this.cursor == null ? known.at(-1)
      : known.reduce((best, q) => (Math.abs(q.at - this.cursor) < Math.abs(best.at - this.cursor) ? q : best),
                     known[0]);
    const texts = this.lines.map((line, i) => {
      const value = p ? line.value(p) : null;
      this.values[i].textContent = this.format(value);
      this.values[i].value = value ?? '';
      return `${line.name} ${this.format(value)}`;
    });
    const shown = this.cursor != null && p;
    this.when.textContent = shown ? clock(p.at) : known.length ? '' : 'nothing seen yet';
    this.mark.setAttribute('visibility', shown ? 'visible' : 'hidden');
    if (shown) for (const end of ['x1', 'x2']) this.mark.setAttribute(end, this.#x(p.at));
    const title = this.figure.querySelector('figcaption').firstChild.textContent.trim();
    this.svg.setAttribute('aria-label', `${title}${shown ? ` at ${clock(p.at)}` : ''}: ${texts.join(', ')}`);
  }

  #move(at) {
    this.cursor = at;
    this.#tell();
  }

  #point(event) {
    const part = (event.offsetX - LEFT) / (this.width - LEFT - RIGHT);
    this.#move(this.end - (1 - Math.min(Math.max(part, 0), 1)) * this.span * MINUTE_MS);
  }

  #key(event) {
    const known = this.points.filter(p => p.seconds);
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === 'Escape') this.#move(null);
    if (!step || !known.length) return;
    event.preventDefault();
    const at = this.cursor == null ? known.length : known.findIndex(p => p.at >= this.cursor);
    this.#move(known[Math.min(Math.max(at + step, 0), known.length - 1)].at);
  }
}
