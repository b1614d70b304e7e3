/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service counts, as Prometheus reads it. All that "status" tells already is taken from
 * there: one more row of a table exports one more of its numbers. doc/METRICS.md is made from the
 * texts here.
 */
#include <string.h>

#include "meta/service/peer.h"

#define NS_PER_MS  UINT64_C(1000000)
#define TEXT_BYTES 160u /* of a label's value */

/* ---- single numbers of the status ------------------------------------------------------------ */

struct number {
    struct metric metric;
    const char *section, *field;
    bool is_ms; /* and is to be in seconds */
};

static const struct number numbers[] = {
    {{"cenote_objects", "Values that can be looked up.", METRIC_GAUGE, {NULL}},
     "service",
     "objects",
     false},
    {{"cenote_pending_puts", "Puts that have begun and aren't over.", METRIC_GAUGE, {NULL}},
     "service",
     "pending_puts",
     false},
    {{"cenote_sessions", "Sessions of clients.", METRIC_GAUGE, {NULL}},
     "service",
     "sessions",
     false},
    {{"cenote_reign",
      "The service's reign: one more with each of its starts.",
      METRIC_GAUGE,
      {NULL}},
     "service",
     "reign",
     false},
    {{"cenote_store_used_bytes", "LMDB's map: pages in use.", METRIC_GAUGE, {NULL}},
     "service",
     "store_used_bytes",
     false},
    {{"cenote_store_map_bytes",
      "LMDB's map: its size, which it can't exceed.",
      METRIC_GAUGE,
      {NULL}},
     "service",
     "store_limit_bytes",
     false},
    {{"cenote_store_changes_total", "Changes that were committed.", METRIC_COUNTER, {NULL}},
     "service",
     "store_changes",
     false},
    {{"cenote_store_commits_total", "Transactions that committed them.", METRIC_COUNTER, {NULL}},
     "service",
     "store_commits",
     false},
    {{"cenote_slots", "Slots of keys that this service owns.", METRIC_GAUGE, {NULL}},
     "service",
     "slots",
     false},
    {{"cenote_capacity_bytes", "Memory that nodes have donated.", METRIC_GAUGE, {NULL}},
     "capacity",
     "total_bytes",
     false},
    {{"cenote_used_bytes", "Memory in use by values.", METRIC_GAUGE, {NULL}},
     "capacity",
     "used_bytes",
     false},
    {{"cenote_free_bytes", "Memory that a put can have at once.", METRIC_GAUGE, {NULL}},
     "capacity",
     "free_bytes",
     false},
    {{"cenote_quarantined_bytes",
      "Memory of values that are gone, while somebody may still read or write it.",
      METRIC_GAUGE,
      {NULL}},
     "quarantine",
     "bytes",
     false},
    {{"cenote_quarantined_extents", "Extents of values that are gone.", METRIC_GAUGE, {NULL}},
     "quarantine",
     "extents",
     false},
    {{"cenote_held_bytes",
      "What of the quarantine waits for nothing but those who view it.",
      METRIC_GAUGE,
      {NULL}},
     "quarantine",
     "held_bytes",
     false},
    {{"cenote_waiting_puts", "Puts that wait for space.", METRIC_GAUGE, {NULL}},
     "eviction",
     "waiting_puts",
     false},
    {{"cenote_waited_puts_total", "Puts that had to wait for space.", METRIC_COUNTER, {NULL}},
     "eviction",
     "waited_puts",
     false},
    {{"cenote_lookup_hits_total",
      "Keys that were looked up and found; each was given a lease.",
      METRIC_COUNTER,
      {NULL}},
     "live",
     "hits",
     false},
    {{"cenote_lookup_misses_total",
      "Keys that were looked up and not found.",
      METRIC_COUNTER,
      {NULL}},
     "live",
     "misses",
     false},
    {{"cenote_lookup_bytes_total",
      "Lengths of the values that were found: readers may have fetched so much, over any "
      "transport.",
      METRIC_COUNTER,
      {NULL}},
     "live",
     "found_bytes",
     false},
    {{"cenote_stored_bytes_total",
      "Lengths of the values that were committed.",
      METRIC_COUNTER,
      {NULL}},
     "live",
     "stored_bytes",
     false},
    {{"cenote_fences_total",
      "Fences that nodes have confirmed: no write of what they name can land any more.",
      METRIC_COUNTER,
      {NULL}},
     "live",
     "fences",
     false},
    {{"cenote_service_uptime_seconds", "Since the service has recovered.", METRIC_GAUGE, {NULL}},
     "service",
     "uptime_ms",
     true},
    {{"cenote_rebuild_missing_nodes", "Nodes that a rebuild waits for.", METRIC_GAUGE, {NULL}},
     "rebuild",
     "waited_nodes",
     false},
    {{"cenote_rebuild_unsettled_nodes",
      "Nodes whose free memory isn't given away yet after a rebuild.",
      METRIC_GAUGE,
      {NULL}},
     "rebuild",
     "unsettled_nodes",
     false},
};

static uint64_t number_of(struct wire_value map, const char *field)
{
    uint64_t n = 0;
    (void)wire_uint(wire_member(map, field), &n);
    return n;
}

static void put_numbers(struct wire_value status, struct textbuf *page)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        const struct number *row = &numbers[i];
        uint64_t n = number_of(wire_member(status, row->section), row->field);
        metric_page_family(page, &row->metric);
        if (row->is_ms)
            metric_page_ns(page, &row->metric, NULL, n * NS_PER_MS);
        else
            metric_page_number(page, &row->metric, NULL, n);
    }
}

/* ---- numbers of a map in the status, by name ------------------------------------------------- */

struct named {
    struct metric metric;
    const char *section;
    const char *const *names; /* NULL behind the last */
    const char *field;        /* NULL: the names are the fields */
};

static const char *const reasons[] = {"space", "background", "quota", "expired", "group", NULL};
static const char *const damages[] = {"extents", "dropped_replicas", "lost_objects", NULL};

static const struct named named[] = {
    {{"cenote_evictions_total",
      "Values that were given up: for a put, above the watermark, above a quota, because their "
      "time "
      "was over, for the sake of another of their group.",
      METRIC_COUNTER,
      {"reason"}},
     "eviction",
     reasons,
     "objects"},
    {{"cenote_evicted_bytes_total",
      "Memory of values that were given up.",
      METRIC_COUNTER,
      {"reason"}},
     "eviction",
     reasons,
     "bytes"},
    {{"cenote_damage_total",
      "Extents that nodes have found damaged, replicas that were dropped for it, values that were "
      "lost.",
      METRIC_COUNTER,
      {"what"}},
     "damage",
     damages,
     NULL},
};

static void put_named(struct wire_value status, struct textbuf *page)
{
    for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++) {
        const struct named *row = &named[i];
        struct wire_value section = wire_member(status, row->section);
        metric_page_family(page, &row->metric);
        for (const char *const *name = row->names; *name != NULL; name++) {
            uint64_t n = row->field != NULL ? number_of(wire_member(section, *name), row->field)
                                            : number_of(section, *name);
            metric_page_number(page, &row->metric, name, n);
        }
    }
}

/* ---- numbers of nodes, segments and namespaces ----------------------------------------------- */

struct listed {
    struct metric metric;
    const char *field;
    bool is_ms;
};

static const struct listed of_nodes[] = {
    {{"cenote_node_connected", "Is the node connected to the service?", METRIC_GAUGE, {"node"}},
     "connected",
     false},
    {{"cenote_node_heartbeat_age_seconds",
      "Since the node was heard last.",
      METRIC_GAUGE,
      {"node"}},
     "heartbeat_age_ms",
     true},
    {{"cenote_node_directory_lag",
      "Commits that the node's directory hasn't been told of.",
      METRIC_GAUGE,
      {"node"}},
     "directory_lag",
     false},
    {{"cenote_node_views", "Views of the node's memory.", METRIC_GAUGE, {"node"}}, "holds", false},
};

static const struct listed of_segments[] = {
    {{"cenote_segment_capacity_bytes", "Length of a segment.", METRIC_GAUGE, {"node", "segment"}},
     "length_bytes",
     false},
    {{"cenote_segment_used_bytes",
      "What of it is in use, quarantine included.",
      METRIC_GAUGE,
      {"node", "segment"}},
     "used_bytes",
     false},
    {{"cenote_segment_quarantined_bytes",
      "What of that waits until nobody can read or write it any more.",
      METRIC_GAUGE,
      {"node", "segment"}},
     "quarantined_bytes",
     false},
};

static const struct listed of_spaces[] = {
    {{"cenote_namespace_objects", "Values of a namespace.", METRIC_GAUGE, {"namespace"}},
     "objects",
     false},
    {{"cenote_namespace_used_bytes", "Memory in use by them.", METRIC_GAUGE, {"namespace"}},
     "bytes",
     false},
    {{"cenote_namespace_evictions_total",
      "Values that it has given up.",
      METRIC_COUNTER,
      {"namespace"}},
     "evicted_objects",
     false},
};

static void put_listed(const struct listed *row, struct wire_value item, const char *const *values,
                       struct textbuf *page)
{
    bool yes = false;
    if (wire_bool(wire_member(item, row->field), &yes))
        metric_page_number(page, &row->metric, values, yes);
    else if (row->is_ms)
        metric_page_ns(page, &row->metric, values, number_of(item, row->field) * NS_PER_MS);
    else
        metric_page_number(page, &row->metric, values, number_of(item, row->field));
}

/* Every item of a list has a name. */
static void put_list(const struct listed *rows, size_t row_count, struct wire_value list,
                     struct textbuf *page)
{
    uint32_t count = 0;
    (void)wire_array(list, &count);
    for (size_t i = 0; i < row_count; i++) {
        metric_page_family(page, &rows[i].metric);
        for (uint32_t k = 0; k < count; k++) {
            struct wire_value item = wire_at(list, k);
            char name[TEXT_BYTES] = "";
            (void)wire_str(wire_member(item, "name"), name, sizeof(name));
            put_listed(&rows[i], item, (const char *const[]){name}, page);
        }
    }
}

static void put_segments_of(const struct listed *row, struct wire_value node, struct textbuf *page)
{
    struct wire_value segments = wire_member(node, "segments");
    char name[TEXT_BYTES] = "";
    uint32_t count = 0;
    (void)wire_str(wire_member(node, "name"), name, sizeof(name));
    (void)wire_array(segments, &count);
    for (uint32_t i = 0; i < count && i < SEGMENTS_MAX; i++) {
        char number[] = {(char)('0' + i / 10), (char)('0' + i % 10), '\0'};
        const char *values[] = {name, i < 10 ? number + 1 : number};
        put_listed(row, wire_at(segments, i), values, page);
    }
}

static void put_segments(struct wire_value nodes, struct textbuf *page)
{
    uint32_t count = 0;
    (void)wire_array(nodes, &count);
    for (size_t i = 0; i < sizeof(of_segments) / sizeof(*of_segments); i++) {
        metric_page_family(page, &of_segments[i].metric);
        for (uint32_t k = 0; k < count; k++)
            put_segments_of(&of_segments[i], wire_at(nodes, k), page);
    }
}

static const struct metric node_states = {
    "cenote_nodes", "Nodes by their state.", METRIC_GAUGE, {"state"}};

static void put_node_states(struct wire_value nodes, struct textbuf *page)
{
    static const char *const states[] = {"alive", "suspect", "dead"};
    uint64_t counts[3] = {0};
    uint32_t count = 0;
    (void)wire_array(nodes, &count);
    for (uint32_t i = 0; i < count; i++) {
        char state[16] = "";
        (void)wire_str(wire_member(wire_at(nodes, i), "state"), state, sizeof(state));
        for (unsigned k = 0; k < 3; k++)
            counts[k] += strcmp(state, states[k]) == 0;
    }
    metric_page_family(page, &node_states);
    for (unsigned k = 0; k < 3; k++)
        metric_page_number(page, &node_states, &states[k], counts[k]);
}

/* ---- calls and commits ----------------------------------------------------------------------- */

static const struct metric requests = {
    "cenote_rpc_requests_total", "Calls that were answered.", METRIC_COUNTER, {"method"}};
static const struct metric errors = {
    "cenote_rpc_errors_total",
    "Calls that were answered with an error; what befalls single keys is none.",
    METRIC_COUNTER,
    {"method"}};
static const struct metric durations = {
    "cenote_rpc_duration_seconds",
    "From a call's arrival to its answer; of calls that are answered at once, until the next one.",
    METRIC_SECONDS,
    {"method"}};
static const struct metric group_sizes = {
    "cenote_commit_group_size", "Changes in one transaction of the store.", METRIC_NUMBERS, {NULL}};
static const struct metric commit_durations = {
    "cenote_commit_duration_seconds", "How long it took to commit one.", METRIC_SECONDS, {NULL}};

static void put_calls(const struct service *s, struct textbuf *page)
{
    struct metric_view views[TRAFFIC_METHODS_MAX] = {{{0}, 0, 0, 0}};
    const char *names[TRAFFIC_METHODS_MAX];
    const unsigned count = method_count();
    metric_page_family(page, &requests);
    for (unsigned i = 0; i < count; i++) {
        names[i] = methods[i].name;
        metric_view_add(&views[i], &s->traffic.methods[i].durations);
        metric_page_number(page, &requests, &names[i], views[i].count);
    }
    metric_page_family(page, &errors);
    for (unsigned i = 0; i < count; i++)
        metric_page_number(page, &errors, &names[i], metric_get(&s->traffic.methods[i].errors));
    metric_page_family(page, &durations);
    for (unsigned i = 0; i < count; i++)
        metric_page_histogram(page, &durations, &names[i], &views[i]);
}

static void put_histogram(const struct metric *m, const struct metric_histogram *h,
                          struct textbuf *page)
{
    struct metric_view view = {0};
    metric_page_family(page, m);
    if (h != NULL)
        metric_view_add(&view, h);
    metric_page_histogram(page, m, NULL, &view);
}

void service_page(const struct service *s, struct wire_value status, struct textbuf *page)
{
    struct store *store = s->core.changes.store;
    struct wire_value nodes = wire_member(status, "nodes");
    struct store_usage usage = {0};
    store->ops->usage(store, &usage);
    put_numbers(status, page);
    put_named(status, page);
    put_node_states(nodes, page);
    put_list(of_nodes, sizeof(of_nodes) / sizeof(*of_nodes), nodes, page);
    put_segments(nodes, page);
    put_list(of_spaces, sizeof(of_spaces) / sizeof(*of_spaces), wire_member(status, "namespaces"),
             page);
    put_calls(s, page);
    put_histogram(&group_sizes, usage.group_sizes, page);
    put_histogram(&commit_durations, usage.durations, page);
}
