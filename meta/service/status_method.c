/* SPDX-License-Identifier: Apache-2.0 */
/* status: a map for people and programs; doc/PROTOCOL.md has its names. */
#include "meta/service/peer.h"
#include "meta/stub/messages.h"

#define NS_PER_US 1000u

static void put_number(struct wire_buf *b, const char *name, uint64_t value)
{
    wire_put_str(b, name);
    wire_put_uint(b, value);
}

static void put_text(struct wire_buf *b, const char *name, const char *text)
{
    wire_put_str(b, name);
    wire_put_str(b, text);
}

static void put_service(const struct core *c, struct wire_buf *b)
{
    struct store_usage usage = {0};
    c->changes.store->ops->usage(c->changes.store, &usage);
    wire_put_str(b, "service");
    wire_put_map(b, 14);
    put_text(b, "version", CENOTE_VERSION_TEXT);
    put_number(b, "protocol", PROTOCOL_VERSION);
    put_number(b, "reign", c->ids.reign);
    put_number(b, "uptime_ms", c->now_ms - c->started_ms);
    put_number(b, "objects", c->table.visible);
    put_number(b, "pending_puts", c->pending);
    put_number(b, "sessions", c->sessions.count);
    put_number(b, "store_used_bytes", usage.used_bytes);
    put_number(b, "store_limit_bytes", usage.limit_bytes);
    put_number(b, "store_commits", usage.commits);
    put_number(b, "store_changes", usage.changes);
    put_number(b, "epoch", c->shard.map.epoch);
    put_number(b, "shard", c->shard.number);
    put_number(b, "slots", slot_map_owned(&c->shard.map, c->shard.number));
}

static void put_segment(const struct incarnation *i, struct wire_buf *b)
{
    wire_put_map(b, 8);
    put_number(b, "incarnation", i->id);
    put_number(b, "gva", i->gva.v);
    put_number(b, "length_bytes", i->len_bytes);
    put_number(b, "populated_bytes", alloc_upto(i->alloc));
    put_number(b, "used_bytes", alloc_used_bytes(i->alloc));
    put_number(b, "quarantined_bytes", i->quarantined_bytes);
    put_number(b, "free_bytes", alloc_free_bytes(i->alloc));
    put_text(b, "kind", i->kind == SEGMENT_HOST ? "host" : "hbm");
}

/* What its heartbeats tell, and where queue pairs are agreed upon. */
static void put_rdma(const struct node *n, struct wire_buf *b)
{
    const struct rdma_report *r = &n->rdma_report;
    wire_put_str(b, "rdma");
    if (n->rdma[0] == '\0') {
        wire_put_nil(b);
        return;
    }
    wire_put_map(b, 8);
    put_text(b, "endpoint", n->rdma);
    wire_put_str(b, "rails");
    wire_put_array(b, r->rail_count);
    for (uint32_t i = 0; i < r->rail_count; i++)
        wire_put_str(b, r->rails[i]);
    put_number(b, "connections", r->connections);
    put_number(b, "queue_pairs", r->queue_pairs);
    put_number(b, "regions", r->regions);
    put_number(b, "errors", r->errors);
    put_number(b, "fenced", r->fenced);
    put_number(b, "rails_lost", r->rails_lost);
}

static void put_node(const struct core *c, const struct node *n, struct wire_buf *b)
{
    static const char *const states[] = {"alive", "suspect", "dead"};
    wire_put_map(b, 17);
    put_number(b, "node", n->id);
    put_text(b, "name", n->name);
    put_text(b, "state", states[n->state]);
    wire_put_str(b, "connected");
    wire_put_bool(b, n->peer != NULL);
    put_number(b, "boot", n->boot);
    put_text(b, "host", n->host);
    put_text(b, "zone", n->zone);
    put_text(b, "shm", n->shm);
    put_rdma(n, b);
    put_text(b, "tcp", n->tcp);
    put_number(b, "heartbeat_age_ms", c->patient_ms - n->heard_ms);
    put_number(b, "directory_extents", directory_extents(n));
    put_number(b, "directory_entries", n->directory.told.entries);
    put_number(b, "directory_lag", directory_lag(n));
    put_number(b, "holds", n->holds);
    put_number(b, "held_extents", n->held_extents);
    wire_put_str(b, "segments");
    wire_put_array(b, n->segment_count);
    for (uint32_t i = 0; i < n->segment_count; i++)
        put_segment(n->segments[i], b);
}

static void put_nodes(const struct core *c, struct wire_buf *b)
{
    wire_put_str(b, "nodes");
    wire_put_array(b, c->members.node_count);
    list_each(&c->members.nodes, l) put_node(c, container_of(l, struct node, link), b);
}

/* Listed at most; the totals count all. */
#define STATUS_SESSIONS_MAX 1000u
#define STATUS_SPACES_MAX   1000u

static void put_quarantined(const struct session *s, struct wire_buf *b)
{
    wire_put_map(b, 4);
    put_number(b, "session", s->id);
    put_text(b, "client", s->client);
    put_number(b, "bytes", s->ending_bytes);
    put_number(b, "extents", s->ending_extents);
}

static void put_quarantine(const struct core *c, struct wire_buf *b)
{
    const struct session *listed[STATUS_SESSIONS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < SESSION_BUCKETS; i++)
        for (const struct session *s = c->sessions.buckets[i]; s != NULL; s = s->next)
            if (s->ending_extents > 0 && count < STATUS_SESSIONS_MAX)
                listed[count++] = s;
    wire_put_str(b, "quarantine");
    wire_put_map(b, 5);
    put_number(b, "bytes", c->reuse.bytes);
    put_number(b, "extents", c->reuse.extents);
    put_number(b, "held_bytes", c->reuse.held_bytes);
    put_number(b, "held_extents", c->reuse.held_extents);
    wire_put_str(b, "sessions");
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++)
        put_quarantined(listed[i], b);
}

static void put_capacity(const struct core *c, struct wire_buf *b)
{
    uint64_t free_bytes = 0, used_bytes = 0;
    for (uint32_t i = 0; i < c->members.range_count; i++) {
        free_bytes += alloc_free_bytes(c->members.ranges[i]->alloc);
        used_bytes += alloc_used_bytes(c->members.ranges[i]->alloc);
    }
    wire_put_str(b, "capacity");
    wire_put_map(b, 4);
    put_number(b, "total_bytes", c->capacity_bytes);
    put_number(b, "used_bytes", used_bytes > c->reuse.bytes ? used_bytes - c->reuse.bytes : 0);
    put_number(b, "free_bytes", free_bytes);
    put_number(b, "quarantined_bytes", c->reuse.bytes);
}

/* Those that it waits for; and later those that it went on without. */
static void put_missing(const struct core *c, struct wire_buf *b)
{
    const char *names[REBUILD_NAMES_MAX];
    uint32_t missing = rebuild_missing(c, names, REBUILD_NAMES_MAX);
    put_number(b, "waited_nodes", c->rebuild.phase == REBUILD_GATHERING ? missing : 0);
    uint32_t count = missing < REBUILD_NAMES_MAX ? missing : REBUILD_NAMES_MAX;
    put_number(b, "missing_nodes", missing);
    wire_put_str(b, "missing");
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++)
        wire_put_str(b, names[i]);
}

static void put_rebuild(const struct core *c, struct wire_buf *b)
{
    static const char *const phases[] = {"none",    "gathering", "naming",
                                         "reading", "ending",    "failed"};
    const struct rebuild *r = &c->rebuild;
    const struct rebuild_counts *n = &r->counts;
    uint32_t unsettled = 0;
    list_each(&c->members.nodes, l) unsettled += container_of(l, struct node, link)->settle.wanted;
    wire_put_str(b, "rebuild");
    wire_put_map(b, 13);
    put_text(b, "phase", r->done ? "done" : phases[r->phase]);
    put_missing(c, b);
    put_number(b, "unsettled_nodes", unsettled);
    put_number(b, "nodes", n->nodes);
    put_number(b, "entries", n->entries);
    put_number(b, "left_out", n->left_out);
    put_number(b, "strange", n->strange);
    put_number(b, "objects", n->objects);
    put_number(b, "bytes", n->bytes);
    put_number(b, "older", n->older);
    put_number(b, "incomplete", n->incomplete);
}

static const char *const reasons[EVICT_REASONS] = {[EVICT_SPACE] = "space",
                                                   [EVICT_BACKGROUND] = "background",
                                                   [EVICT_QUOTA] = "quota",
                                                   [EVICT_EXPIRED] = "expired",
                                                   [EVICT_GROUP] = "group"};

static void put_eviction(const struct core *c, struct wire_buf *b)
{
    const struct evict *e = &c->evict;
    wire_put_str(b, "eviction");
    wire_put_map(b, 7 + EVICT_REASONS);
    put_number(b, "high_percent", c->options.evict_high);
    put_number(b, "low_percent", c->options.evict_low);
    put_number(b, "leaving_bytes", e->leaving_bytes);
    put_number(b, "coming_bytes", e->coming_bytes);
    put_number(b, "waiting_puts", e->waiting_count);
    put_number(b, "waited_puts", e->waited);
    put_number(b, "groups", e->groups.count);
    for (unsigned i = 0; i < EVICT_REASONS; i++) {
        wire_put_str(b, reasons[i]);
        wire_put_map(b, 2);
        put_number(b, "objects", e->counts[i].objects);
        put_number(b, "bytes", e->counts[i].bytes);
    }
}

static void put_space(const struct space *s, struct wire_buf *b)
{
    wire_put_map(b, 10);
    put_text(b, "name", s->name);
    put_number(b, "bytes", s->use.bytes);
    put_number(b, "objects", s->use.objects);
    put_number(b, "pinned_bytes", s->use.pinned_bytes);
    put_number(b, "quota_bytes", s->settings.quota_bytes);
    put_number(b, "quota_objects", s->settings.quota_objects);
    put_number(b, "pin_limit_bytes", s->settings.pin_limit_bytes);
    put_number(b, "ttl_ms", s->settings.ttl_ms);
    put_number(b, "evicted_objects", s->evict.count.objects);
    put_number(b, "evicted_bytes", s->evict.count.bytes);
}

static void put_spaces(const struct core *c, struct wire_buf *b)
{
    uint32_t listed = 0, count = c->spaces.count;
    wire_put_str(b, "namespaces");
    wire_put_array(b, count < STATUS_SPACES_MAX ? count : STATUS_SPACES_MAX);
    list_each(&c->spaces.list, l)
    {
        if (listed++ < STATUS_SPACES_MAX)
            put_space(container_of(l, struct space, link), b);
    }
}

static void put_damage(const struct core *c, struct wire_buf *b)
{
    wire_put_str(b, "damage");
    wire_put_map(b, 3);
    put_number(b, "extents", c->damage.reported);
    put_number(b, "dropped_replicas", c->damage.replicas);
    put_number(b, "lost_objects", c->damage.objects);
}

/* [[ns, calls that took at most so long and longer than the one before]...] */
static void put_histogram(const struct metric_view *view, struct wire_buf *b)
{
    uint32_t used = 0;
    for (unsigned i = 0; i < METRIC_BUCKETS; i++)
        used += view->buckets[i] > 0;
    wire_put_str(b, "histogram");
    wire_put_array(b, used);
    for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
        if (view->buckets[i] == 0)
            continue;
        wire_put_array(b, 2);
        wire_put_uint(b, metric_bucket_end_ns(i));
        wire_put_uint(b, view->buckets[i]);
    }
}

static void put_method(const struct service *s, unsigned place, struct wire_buf *b)
{
    const struct method_traffic *t = &s->traffic.methods[place];
    struct metric_view view = {0};
    metric_view_add(&view, &t->durations);
    wire_put_map(b, 7);
    put_text(b, "name", methods[place].name);
    put_number(b, "count", view.count);
    put_number(b, "errors", metric_get(&t->errors));
    put_number(b, "p50_us", metric_view_quantile_ns(&view, 500) / NS_PER_US);
    put_number(b, "p99_us", metric_view_quantile_ns(&view, 990) / NS_PER_US);
    put_number(b, "max_us", view.max / NS_PER_US);
    put_histogram(&view, b);
}

static void put_slowest(const struct service *s, struct wire_buf *b)
{
    struct slow_call calls[2 * TRAFFIC_SLOW];
    uint32_t count = traffic_slowest(&s->traffic, calls);
    wire_put_str(b, "slowest");
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_map(b, 4);
        put_number(b, "at_ms", calls[i].ended_ms);
        put_text(b, "method", methods[calls[i].method].name);
        put_number(b, "us", calls[i].ns / NS_PER_US);
        put_number(b, "key_count", calls[i].keys);
    }
}

/* What goes on, for those who look again and again. */
static void put_live(const struct service *s, struct wire_buf *b)
{
    const struct core *c = &s->core;
    wire_put_str(b, "live");
    wire_put_map(b, 8);
    put_number(b, "uptime_ms", c->now_ms - c->started_ms);
    put_number(b, "hits", metric_get(&s->traffic.hits));
    put_number(b, "misses", metric_get(&s->traffic.misses));
    put_number(b, "stored_bytes", c->stored_bytes);
    put_number(b, "found_bytes", metric_get(&s->traffic.found_bytes));
    put_number(b, "fences", c->sessions.fenced);
    put_slowest(s, b);
    wire_put_str(b, "methods");
    wire_put_array(b, method_count());
    for (unsigned i = 0; i < method_count(); i++)
        put_method(s, i, b);
}

void service_status(struct service *s, struct wire_buf *out)
{
    const struct core *c = &s->core;
    wire_put_map(out, 9);
    put_service(c, out);
    put_rebuild(c, out);
    put_damage(c, out);
    put_nodes(c, out);
    put_quarantine(c, out);
    put_capacity(c, out);
    put_eviction(c, out);
    put_spaces(c, out);
    put_live(s, out);
}

int method_status(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result)
{
    (void)msgid;
    (void)params;
    service_status(p->service, result);
    return CENOTE_OK;
}
