// SPDX-License-Identifier: Apache-2.0
// What an operator should know of a state. doc/OPERATIONS.md says what to do.

import {bytes, count, duration, share} from './numbers.js';

const MAP_WARN = 0.8, MAP_BAD = 0.95; // as in deploy/prometheus/alerts.yaml
const QUOTA_WARN = 0.95;
const QUARANTINE_WARN = 0.25;
const HEARTBEAT_AGE_MS = 10000;

function* ofNodes(status, goneNodes) {
  for (const n of status.nodes) {
    if (n.state === 'suspect')
      yield {key: `suspect ${n.name}`, level: 'warn', text: `Node ${n.name} is suspect: not heard for ${
        duration(n.heartbeat_age_ms)}. Nothing new is placed on it.`};
    else if (n.state === 'dead')
      yield {key: `dead ${n.name}`, level: 'bad', text: `Node ${n.name} is dead.`};
    else if (!n.connected || n.heartbeat_age_ms > HEARTBEAT_AGE_MS)
      yield {key: `silent ${n.name}`, level: 'warn',
             text: `Node ${n.name} has not been heard for ${duration(n.heartbeat_age_ms)}.`};
    if (n.rdma?.rails_lost > 0)
      yield {key: `rails ${n.name}`, level: 'warn',
             text: `Node ${n.name} has lost ${count(n.rdma.rails_lost)} of its RDMA rails.`};
  }
  for (const name of goneNodes)
    yield {key: `gone ${name}`, level: 'bad',
           text: `Node ${name} is no member of the pool any more: it left, or was declared dead.`};
}

function* ofDamage({extents, dropped_replicas, lost_objects}) {
  if (lost_objects > 0)
    yield {key: 'lost', level: 'bad', text: `${count(lost_objects)} values were lost to damaged memory.`};
  if (extents > 0)
    yield {key: 'damage', level: lost_objects ? 'bad' : 'warn', text: `${count(extents)} extents were found damaged; ${
      count(dropped_replicas)} replicas were dropped for it. Look at the machine's memory.`};
}

function* ofMemory({capacity, eviction}) {
  if (eviction.waiting_puts > 0)
    yield {key: 'waiting', level: 'warn',
           text: `${count(eviction.waiting_puts)} puts wait for room: readers' leases, pins or quarantine hold the memory.`};
  if (capacity.total_bytes > 0 && capacity.quarantined_bytes > QUARANTINE_WARN * capacity.total_bytes)
    yield {key: 'quarantine', level: 'warn',
           text: `${bytes(capacity.quarantined_bytes)} are in quarantine: somebody may still read or write there.`};
}

function* ofRebuild({phase, missing, missing_nodes, unsettled_nodes}) {
  if (phase === 'failed')
    yield {key: 'rebuild', level: 'bad', text: 'The rebuild of the metadata has failed; the log says why.'};
  else if (phase !== 'none' && phase !== 'done')
    yield {key: 'rebuild', level: 'warn', text: `The metadata is being rebuilt from the nodes (${phase}).`};
  if (missing_nodes > 0)
    yield {key: 'missing', level: 'warn',
           text: `The rebuild ${phase === 'done' ? 'went on without' : 'waits for'} ` +
                 `${count(missing_nodes)} nodes: ${missing.join(', ')}.`};
  if (unsettled_nodes > 0)
    yield {key: 'unsettled', level: 'warn',
           text: `${count(unsettled_nodes)} nodes don't take new values yet after the rebuild.`};
}

function* ofSpaces(spaces) {
  for (const s of spaces) {
    const full = Math.max(s.quota_bytes ? s.bytes / s.quota_bytes : 0,
                          s.quota_objects ? s.objects / s.quota_objects : 0);
    if (full >= QUOTA_WARN)
      yield {key: `quota ${s.name}`, level: 'warn', text: `Namespace ${s.name} has used ${share(full)} of its quota.`};
  }
}

function* ofStore({store_used_bytes, store_limit_bytes}) {
  const full = store_limit_bytes ? store_used_bytes / store_limit_bytes : 0;
  if (full >= MAP_WARN)
    yield {key: 'map', level: full >= MAP_BAD ? 'bad' : 'warn',
           text: `The metadata's map is ${share(full)} full; when it is full, puts are refused.`};
}

// [{key, level: 'warn' or 'bad', text}], bad ones first. goneNodes: names that were seen before.
export function warningsOf(status, goneNodes) {
  const found = [...ofDamage(status.damage), ...ofNodes(status, goneNodes), ...ofRebuild(status.rebuild),
                 ...ofStore(status.service), ...ofMemory(status), ...ofSpaces(status.namespaces)];
  return found.sort((a, b) => (b.level === 'bad') - (a.level === 'bad'));
}
