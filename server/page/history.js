// SPDX-License-Identifier: Apache-2.0
// What the page has seen: from two states of the service, one after the other, comes a point with
// what went on between them. Counters that have begun anew, in a restart, make a gap.

const POINTS_MAX = 1200;
const KEPT_MS = 10 * 60 * 1000;
const MINUTE_MS = 60 * 1000;

// Of a histogram, [[ns, count], ...], the number that so large a part isn't above, in us.
export function quantile(histogram, part) {
  const total = histogram.reduce((sum, [, n]) => sum + n, 0);
  if (!total) return null;
  let rank = Math.max(1, Math.ceil(total * part));
  for (const [ns, n] of histogram) {
    rank -= n;
    if (rank <= 0) return ns / 1000;
  }
  return null;
}

export function difference(after, before) {
  const old = new Map(before);
  return after.map(([ns, n]) => [ns, n - (old.get(ns) ?? 0)]).filter(([, n]) => n > 0);
}

function methodsOf(status) {
  return new Map(status.live.methods.map(m => [m.name, m]));
}

function betweenMethods(after, before, seconds) {
  const old = methodsOf(before);
  const between = new Map();
  for (const m of after.live.methods) {
    const was = old.get(m.name) ?? {count: 0, histogram: []};
    const latency = difference(m.histogram ?? [], was.histogram ?? []);
    between.set(m.name, {
      rate: (m.count - was.count) / seconds,
      p50: quantile(latency, 0.5),
      p99: quantile(latency, 0.99),
    });
  }
  return between;
}

const REASONS = ['space', 'background', 'quota', 'expired', 'group'];

function between(after, before, seconds) {
  const a = after.live, b = before.live;
  const methods = betweenMethods(after, before, seconds);
  const hits = a.hits - b.hits, misses = a.misses - b.misses;
  const evictions = {};
  for (const r of REASONS)
    evictions[r] = (after.eviction[r].objects - before.eviction[r].objects) / seconds;
  return {
    hits, misses, methods, evictions,
    lookups: (hits + misses) / seconds,
    puts: methods.get('put_commit')?.rate ?? 0,
    removes: methods.get('remove')?.rate ?? 0,
    stored: (a.stored_bytes - b.stored_bytes) / seconds,
    found: (a.found_bytes - b.found_bytes) / seconds,
    hitRatio: hits + misses ? hits / (hits + misses) : null,
  };
}

export class History {
  points = []; // {at: ms, seconds, ...what went on}; a gap has nothing but at
  last = null; // {at, status}

  // Times may come from any clock that doesn't go back.
  add(status, at) {
    const before = this.last;
    this.last = {status, at};
    if (!before || at <= before.at) return;
    const again = status.service.reign !== before.status.service.reign
      || status.live.uptime_ms < before.status.live.uptime_ms;
    const seconds = (at - before.at) / 1000;
    this.points.push(again ? {at}
      : {at, seconds, ...between(status, before.status, seconds)});
    while (this.points.length > POINTS_MAX || at - this.points[0].at > KEPT_MS) this.points.shift();
  }

  // Nothing was heard for a while.
  gap(at) {
    if (this.last) this.points.push({at});
    this.last = null;
  }

  get latest() {
    return this.points.at(-1) ?? {};
  }

  // Of the keys that were looked up in the last minute; null: there were none.
  hitRatio() {
    const end = this.latest.at ?? 0;
    let hits = 0, all = 0;
    for (const p of this.points) {
      if (p.at < end - MINUTE_MS || p.hits == null) continue;
      hits += p.hits;
      all += p.hits + p.misses;
    }
    return all ? hits / all : null;
  }
}
