// SPDX-License-Identifier: Apache-2.0
// The status page: asks for v1/status again and again, and shows it. All text that comes from the
// pool goes in as text, never as markup.

import {Chart} from './charts.js';
import {History} from './history.js';
import {byteRate, bytes, clock, count, duration, micros, rate, share} from './numbers.js';
import {warningsOf} from './warnings.js';

const PAUSE_MS = 2000, HIDDEN_PAUSE_MS = 15000; // between two looks
const PATIENCE_MS = 5000;                       // for an answer

const $ = id => document.getElementById(id);
const history = new History();
const nodesSeen = new Map(); // name: {node: the last that was told of it, at: ms}
let lastHeard = null;        // ms
let failure = null;          // what is wrong with the service, as text
let timer = 0;
let asking = false, paused = false;

// ---- elements ------------------------------------------------------------------------------------

function element(name, className = '', text = '') {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text) e.textContent = text;
  return e;
}

// Only what has changed is written, so that selections and screen readers aren't disturbed.
function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

function setData(id, value, format) {
  const e = $(id);
  setText(e, format(value));
  e.value = value ?? '';
}

// Makes a list's children those of the items, in order; what was there for an item stays.
function keep(list, items, keyOf, make, update) {
  const old = new Map([...list.children].map(e => [e.dataset.key, e]));
  let place = list.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let e = old.get(key);
    old.delete(key);
    if (!e) {
      e = make(item);
      e.dataset.key = key;
    }
    if (e === place) place = place.nextElementSibling;
    else list.insertBefore(e, place);
    update(e, item);
  }
  for (const e of old.values()) e.remove();
  const empty = $(`${list.id}-empty`);
  if (empty) empty.hidden = items.length > 0;
}

// Rows of a table. cells: of an item, [{value, text, bad}], behind the heading.
function fillTable(id, items, keyOf, cells, makeHead = item => element('span', '', keyOf(item))) {
  const make = item => {
    const row = element('tr'), head = element('th');
    head.scope = 'row';
    head.title = keyOf(item);
    head.append(makeHead(item));
    row.append(head);
    return row;
  };
  keep($(id), items, keyOf, make, (row, item) => cells(item).forEach((cell, i) => {
    const td = row.cells[i + 1] ?? row.appendChild(element('td'));
    td.className = cell.bad ? 'bad' : '';
    td.dataset.value = cell.value ?? '';
    setText(td, cell.text);
  }));
  $(id).closest('.scroll').hidden = items.length === 0;
}

const cell = (value, format, bad = false) => ({value, text: format(value), bad});

function setBar(bar, {total, used, quarantined, text}) {
  const [usedPart, quarantinePart] = bar.children;
  usedPart.style.width = `${total ? 100 * used / total : 0}%`;
  quarantinePart.style.width = `${total ? 100 * quarantined / total : 0}%`;
  bar.setAttribute('aria-label', text);
}

function makeBar() {
  const bar = element('div', 'bar');
  bar.setAttribute('role', 'img');
  bar.append(element('i', 'used'), element('i', 'quarantine'));
  return bar;
}

// ---- head and tiles ------------------------------------------------------------------------------

function showFacts({service}) {
  const shard = service.epoch ? `, shard ${service.shard} with ${count(service.slots)} slots` : '';
  setText($('facts'), `version ${service.version}, reign ${service.reign}, up ${
    duration(service.uptime_ms)}${shard}`);
}

function showTiles({service, capacity, eviction, live}) {
  const {total_bytes: total, used_bytes: used, quarantined_bytes: quarantined} = capacity;
  setData('used', used, bytes);
  setData('total', total, bytes);
  setData('quarantined', quarantined, bytes);
  setData('high', eviction.high_percent, n => `${n} %`);
  setBar($('pool-bar'), {total, used, quarantined, text: `${bytes(used)} of ${bytes(total)} used, ${
    bytes(quarantined)} in quarantine`});
  $('pool-bar').lastElementChild.style.left = `calc(${eviction.high_percent}% - 1px)`;
  setData('objects', service.objects, count);
  setData('pending', service.pending_puts, count);
  setData('waiting', eviction.waiting_puts, count);
  setData('hit-ratio', history.hitRatio(), share);
  const asked = live.hits + live.misses;
  setData('hit-ratio-ever', asked ? live.hits / asked : null, share);
  setData('sessions', service.sessions, count);
  setData('fences', live.fences, count);
  setData('store-used', service.store_used_bytes, bytes);
  setData('store-limit', service.store_limit_bytes, bytes);
}

// ---- nodes ---------------------------------------------------------------------------------------

const GONE_SHOWN_MS = 10 * 60 * 1000;
const ORDER = {gone: 0, dead: 0, suspect: 1, alive: 2};

function sum(items, field) {
  return items.reduce((total, item) => total + item[field], 0);
}

// All that are members, and for a while those that were when this page saw them last.
function allNodes(status) {
  const names = new Set(status.nodes.map(n => n.name)), at = performance.now();
  for (const node of status.nodes) nodesSeen.set(node.name, {node, at});
  for (const [name, seen] of nodesSeen)
    if (at - seen.at > GONE_SHOWN_MS) nodesSeen.delete(name);
  const gone = [...nodesSeen.values()].filter(({node}) => !names.has(node.name))
    .map(({node}) => ({...node, state: 'gone', connected: false, segments: []}));
  return [...status.nodes, ...gone].sort((a, b) =>
    ORDER[a.state] - ORDER[b.state] || a.name.localeCompare(b.name, 'en', {numeric: true}));
}

function makeNode(node) {
  const item = element('li', 'node'), details = element('details'), summary = element('summary');
  const name = element('span', 'name', node.name);
  name.title = node.name;
  summary.append(name, element('span', 'state'), element('span', 'amount'));
  details.append(summary, element('dl'));
  item.append(details, element('ul'));
  return item;
}

function makeSegment() {
  const item = element('li', 'segment');
  item.append(element('span'), makeBar(), element('span'));
  return item;
}

function showSegment(item, [number, s]) {
  const quarantined = s.quarantined_bytes, used = Math.max(0, s.used_bytes - quarantined);
  const populated = s.populated_bytes < s.length_bytes
    ? `, ${bytes(s.populated_bytes)} ready` : '';
  const text = `${bytes(used)} of ${bytes(s.length_bytes)}${populated}`;
  setText(item.children[0], `${number} ${s.kind}`);
  setBar(item.children[1], {total: s.length_bytes, used, quarantined,
                            text: `segment ${number}: ${text} used, ${bytes(quarantined)} in quarantine`});
  setText(item.children[2], text);
  item.dataset.used = s.used_bytes;
  item.dataset.quarantined = quarantined;
}

function factsOf(n) {
  if (n.state === 'gone')
    return [['was', `node ${n.node} on ${n.host || 'an unknown host'}`],
            ['tcp', n.tcp || 'none']];
  const rdma = n.rdma ? `${n.rdma.endpoint}; ${n.rdma.rails.join('; ')}; ${
    count(n.rdma.queue_pairs)} queue pairs, ${count(n.rdma.errors)} errors` : 'none';
  return [['heard', `${duration(n.heartbeat_age_ms)} ago`],
          ['host', [n.host, n.zone && `zone ${n.zone}`].filter(Boolean).join(', ') || 'unknown'],
          ['shm', n.shm || 'none'], ['tcp', n.tcp || 'none'], ['rdma', rdma],
          ['directory', `${count(n.directory_extents)} extents, ${count(n.directory_lag)} not told yet`],
          ['views', `${count(n.holds)} of ${count(n.held_extents)} extents that wait for them`]];
}

function showNode(item, n) {
  const [summary, facts] = item.firstElementChild.children;
  const length = sum(n.segments, 'length_bytes');
  const used = sum(n.segments, 'used_bytes') - sum(n.segments, 'quarantined_bytes');
  item.dataset.state = n.state;
  const away = n.state === 'gone' ? 'left or dead' : n.state;
  setText(summary.children[1], n.connected || n.state !== 'alive' ? away : 'alive, not connected');
  setText(summary.children[2], length ? `${share(used / length)} of ${bytes(length)}` : 'no memory');
  keep(facts, factsOf(n).flatMap(([dt, dd]) => [{key: `${dt}?`, name: 'dt', text: dt},
                                               {key: dt, name: 'dd', text: dd}]),
       f => f.key, f => element(f.name), (e, f) => setText(e, f.text));
  keep(item.lastElementChild, [...n.segments.entries()], ([i]) => String(i), makeSegment, showSegment);
}

function showNodes(nodes) {
  const alive = nodes.filter(n => n.state === 'alive').length;
  setText($('map-count'), nodes.length ? `${count(alive)} of ${count(nodes.length)} alive` : '');
  keep($('nodes'), nodes, n => n.name, makeNode, showNode);
}

// ---- tables --------------------------------------------------------------------------------------

function showMethods({live}) {
  const called = live.methods.filter(m => m.count > 0).sort((a, b) => b.count - a.count);
  const rates = history.latest.methods;
  fillTable('methods', called, m => m.name, m => [
    cell(m.count, count), cell(rates?.get(m.name)?.rate, rate), cell(m.errors, count, m.errors > 0),
    cell(m.p50_us, micros), cell(m.p99_us, micros), cell(m.max_us, micros)], m => {
    const button = element('button', '', m.name);
    button.type = 'button';
    button.title = `Show the latency of ${m.name}`;
    button.addEventListener('click', () => {
      chooseMethod(m.name);
      $('chart-latency').scrollIntoView({block: 'nearest'});
    });
    return button;
  });
  const names = called.map(m => m.name).sort();
  keep($('method'), names.length ? names : ['lookup'], n => n, n => new Option(n), () => {});
  if (!$('method').dataset.chosen && names.includes('lookup')) $('method').value = 'lookup';
}

function showSlowest({live}) {
  const calls = live.slowest.map((c, i) => ({...c, place: i}));
  keep($('slowest'), calls, c => String(c.place), () => {
    const row = element('tr'), head = element('th');
    head.scope = 'row';
    row.append(head, element('td'), element('td'), element('td'));
    return row;
  }, (row, c) => {
    [c.method, micros(c.us), count(c.key_count), clock(c.at_ms)]
      .forEach((text, i) => setText(row.cells[i], text));
  });
  $('slowest').closest('.scroll').hidden = calls.length === 0;
}

function quotaOf(s) {
  if (!s.quota_bytes && !s.quota_objects) return cell(null, () => 'none');
  const text = [s.quota_bytes && bytes(s.quota_bytes), s.quota_objects && `${count(s.quota_objects)} values`];
  const full = (s.quota_bytes && s.bytes >= s.quota_bytes)
    || (s.quota_objects && s.objects >= s.quota_objects);
  return {value: s.quota_bytes, text: text.filter(Boolean).join(', '), bad: full};
}

function showSpaces({namespaces}) {
  const sorted = [...namespaces].sort((a, b) => b.bytes - a.bytes || a.name.localeCompare(b.name));
  fillTable('spaces', sorted, s => s.name, s => [
    cell(s.bytes, bytes), quotaOf(s), cell(s.objects, count), cell(s.pinned_bytes, bytes),
    cell(s.evicted_objects, count)]);
}

const REASONS = {space: 'a put needed room', background: 'above the mark', quota: 'above a quota',
                 expired: 'time to live was over', group: 'with another of its group'};

function showEvictions({eviction}) {
  const rates = history.latest.evictions;
  const some = Object.keys(REASONS).filter(r => eviction[r].objects > 0);
  fillTable('evictions', some, r => REASONS[r], r => [
    cell(eviction[r].objects, count), cell(rates?.[r], rate), cell(eviction[r].bytes, bytes)]);
}

// ---- charts --------------------------------------------------------------------------------------

const ofMethod = (p, field) => p.methods.get($('method').value)?.[field] ?? null;
const charts = [
  new Chart($('chart-operations'), {format: rate, lines: [
    {name: 'keys looked up', value: p => p.lookups}, {name: 'puts', value: p => p.puts},
    {name: 'removes', value: p => p.removes}]}),
  new Chart($('chart-bytes'), {format: byteRate, binary: true, lines: [
    {name: 'found', value: p => p.found}, {name: 'stored', value: p => p.stored}]}),
  new Chart($('chart-hits'), {format: share, max: 1, lines: [
    {name: 'found', value: p => p.hitRatio}]}),
  new Chart($('chart-latency'), {format: micros, lines: [
    {name: 'p50', value: p => ofMethod(p, 'p50')}, {name: 'p99', value: p => ofMethod(p, 'p99')}]}),
];

function showCharts() {
  for (const c of charts) c.show(history.points, Date.now());
}

function chooseMethod(name) {
  $('method').value = name;
  $('method').dataset.chosen = 'yes';
  showCharts();
}

// ---- looking -------------------------------------------------------------------------------------

function setLink(state, text) {
  document.body.dataset.link = state;
  setText($('link'), text);
}

function showLink() {
  if (failure)
    setLink('gone', lastHeard ? `${failure} Last heard at ${clock(lastHeard)}; still trying.` : failure);
  else if (paused) setLink('paused', `Paused at ${clock(lastHeard ?? Date.now())}`);
  else setLink('live', 'Live');
}

function showWarnings(status, nodes) {
  const gone = nodes.filter(n => n.state === 'gone').map(n => n.name);
  const found = warningsOf(status, gone);
  keep($('warnings'), found, w => w.key, () => element('li'), (e, w) => {
    e.className = w.level;
    setText(e, w.text);
  });
  const mark = found.some(w => w.level === 'bad') ? '⚠ ' : '';
  const {used_bytes: used, total_bytes: total} = status.capacity;
  document.title = `${mark}Cenote, ${total ? share(used / total) : 'no memory'}${total ? ' used' : ''}`;
}

function show(status) {
  const nodes = allNodes(status);
  showFacts(status);
  showTiles(status);
  showNodes(nodes);
  showWarnings(status, nodes);
  showMethods(status);
  showSlowest(status);
  showSpaces(status);
  showEvictions(status);
  $('main').hidden = false;
}

// The answer's own words, where it has some.
async function explain(answer) {
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 404)
    return 'This process has no metadata service: look at the page of the one that has.';
  return `The daemon answers ${answer.status}: ${said.error ?? 'no reason given'}.`;
}

async function ask() {
  let answer;
  try {
    answer = await fetch('v1/status', {cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS)});
    if (answer.ok) return {status: await answer.json()};
  } catch {
    return {failure: 'The daemon cannot be reached.'};
  }
  return {failure: await explain(answer)};
}

async function look() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  const found = await ask();
  asking = false;
  failure = found.failure ?? null;
  if (found.status) {
    lastHeard = Date.now();
    history.add(found.status, lastHeard);
    show(found.status);
  } else {
    history.gap(Date.now());
    document.title = '⚠ Cenote: not reachable';
  }
  showLink();
  showCharts();
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!paused) timer = setTimeout(look, document.hidden ? HIDDEN_PAUSE_MS : PAUSE_MS);
}

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', paused);
  setText($('pause'), paused ? 'Go on' : 'Pause');
  showLink();
  if (paused) clearTimeout(timer);
  else look();
});
$('method').addEventListener('change', () => chooseMethod($('method').value));
document.addEventListener('visibilitychange', () => {
  if (document.hidden) schedule();
  else if (!paused) look();
});
look();
