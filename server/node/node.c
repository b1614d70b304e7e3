/* SPDX-License-Identifier: Apache-2.0 */
#include "server/node/node.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "meta/stub/rebuild.h"
#include "server/node/horizons.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"
#include "transport/base/trace.h"

#define TAG_NONE    UINT64_MAX
/* In place of a session: all of them. Nobody has it: sessions are numbered from 1. */
#define SESSION_ALL 0u

/* An exporter's part of a fence. */
struct fence_part {
    struct fence *fence;
    unsigned exporter;
    uint64_t traced_ns; /* 0: not traced, or done */
};

/* A fence under way. left counts the exporters that have yet to report, one more while they are
 * being told. */
struct fence {
    struct fence *next;
    struct node *node;
    uint64_t session, horizon;
    uint64_t tag;
    unsigned left; /* atomic: exporters report from their threads */
    uint64_t traced_ns;
    struct fence_part parts[NODE_EXPORTERS_MAX];
};

struct segment {
    struct xcopy_segment x;   /* gva and incarnation are 0 before a pool has given them */
    uint64_t populated_bytes; /* atomic */
};

struct node {
    struct node_options options;
    struct xcopy_gate gate;
    struct horizons *horizons;
    uint64_t highest_reign;
    uint64_t service_life; /* in that reign; 0: not known */
    bool joined;
    pthread_mutex_t pool_key_lock;
    bool has_pool_key;
    struct hash_key pool_key;
    bool expects_pool; /* it has joined, or taken over contents */
    struct hash128 expected_pool;
    struct segment segments[SEGMENTS_MAX];
    uint32_t segment_count;
    struct directory *directory; /* NULL: none */
    struct wire_buf notes;       /* an encoded array; empty: none */
    uint64_t settling, settled;  /* horizons for all sessions: begun, done */
    struct xcopy_exporter *exporters[NODE_EXPORTERS_MAX];
    uint32_t exporter_count;
    struct fence *fences;
    uint32_t fence_count;
    unsigned trace_fence, trace_parts[NODE_EXPORTERS_MAX]; /* points */
};

/* ---- the gate: exporters' threads ------------------------------------------------------------ */

static int gate_authenticate(void *arg, const struct xcopy_credentials *who)
{
    struct node *n = arg;
    pthread_mutex_lock(&n->pool_key_lock);
    bool known =
        n->has_pool_key && token_valid(&n->pool_key, who->session, who->name_space, &who->token);
    pthread_mutex_unlock(&n->pool_key_lock);
    return known ? CENOTE_OK : CENOTE_DENIED;
}

static uint64_t gate_horizon(void *arg, uint64_t session)
{
    const struct node *n = arg;
    return horizons_of(n->horizons, session);
}

static int gate_admit_write(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                            uint64_t extent_len, const struct write_grant *grant)
{
    const struct node *n = arg;
    int status = CENOTE_OK;
    if (!test_off(TEST_GRANT))
        status = grant_check(&n->options.grant_key, n->options.boot, session, put_id, gva,
                             extent_len, grant);
    if (status != CENOTE_OK)
        return status;
    return put_id <= gate_horizon(arg, session) ? CENOTE_FENCED : CENOTE_OK;
}

/* ---- making and ending ----------------------------------------------------------------------- */

struct node *node_new(const struct node_options *options)
{
    struct node *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->horizons = horizons_new();
    if (!n->horizons)
        goto free_node;
    if (pthread_mutex_init(&n->pool_key_lock, NULL) != 0)
        goto free_horizons;
    n->options = *options;
    n->trace_fence = trace_point(options->trace, "node", "fence");
    n->highest_reign = options->highest_reign;
    n->service_life = options->life;
    n->gate = (struct xcopy_gate){.arg = n,
                                  .boot = options->boot,
                                  .authenticate = gate_authenticate,
                                  .admit_write = gate_admit_write,
                                  .horizon = gate_horizon};
    return n;

free_horizons:
    horizons_free(n->horizons);
free_node:
    free(n);
    return NULL;
}

/* The exporters have dropped their parts. */
static void drop_fence(struct node *n, struct fence *f)
{
    for (unsigned e = 0; e < n->exporter_count; e++)
        trace_drop(n->options.trace, n->trace_parts[e], f->parts[e].traced_ns);
    trace_drop(n->options.trace, n->trace_fence, f->traced_ns);
    free(f);
}

void node_free(struct node *n)
{
    if (!n)
        return;
    while (n->fences) {
        struct fence *f = n->fences;
        n->fences = f->next;
        drop_fence(n, f);
    }
    wire_buf_free(&n->notes);
    pthread_mutex_destroy(&n->pool_key_lock);
    horizons_free(n->horizons);
    free(n);
}

struct trace *node_trace(const struct node *n)
{
    return n->options.trace;
}

const struct xcopy_gate *node_gate(const struct node *n)
{
    return &n->gate;
}

void node_add_memory(struct node *n, const struct memory *memory)
{
    assert(n->segment_count < SEGMENTS_MAX && !n->joined);
    n->segments[n->segment_count++].x.memory = *memory;
}

void node_add_exporter(struct node *n, struct xcopy_exporter *exporter)
{
    assert(n->exporter_count < NODE_EXPORTERS_MAX && !n->joined);
    n->trace_parts[n->exporter_count] = trace_point(n->options.trace, exporter->ops->name, "fence");
    n->exporters[n->exporter_count++] = exporter;
}

void node_take_over(struct node *n, uint32_t segment, uint64_t incarnation, struct gva gva)
{
    assert(segment < n->segment_count && incarnation != 0 && !n->joined);
    n->segments[segment].x.incarnation = incarnation;
    n->segments[segment].x.gva = gva;
}

void node_take_over_pool(struct node *n, const struct hash128 *pool)
{
    assert(!n->joined);
    n->expects_pool = true;
    n->expected_pool = *pool;
}

void node_set_directory(struct node *n, struct directory *directory)
{
    assert(!n->joined);
    n->directory = directory;
}

struct directory *node_directory_of(const struct node *n)
{
    return n->directory;
}

void node_set_populated(struct node *n, uint32_t segment, uint64_t bytes)
{
    assert(segment < n->segment_count && bytes <= n->segments[segment].x.memory.len_bytes);
    __atomic_store_n(&n->segments[segment].populated_bytes, bytes, __ATOMIC_RELEASE);
}

static uint64_t populated_of(const struct segment *s)
{
    return __atomic_load_n(&s->populated_bytes, __ATOMIC_ACQUIRE);
}

uint64_t node_populated(const struct node *n)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n->segment_count; i++)
        bytes += populated_of(&n->segments[i]);
    return bytes;
}

/* ---- membership ------------------------------------------------------------------------------ */

void node_join_params(const struct node *n, struct node_join_params *out)
{
    out->boot = n->options.boot;
    out->grant_key = n->options.grant_key;
    out->highest_reign = n->highest_reign;
    out->life = n->service_life;
    out->segment_count = n->segment_count;
    for (uint32_t i = 0; i < n->segment_count; i++) {
        const struct xcopy_segment *x = &n->segments[i].x;
        out->segments[i] = (struct node_segment){.len_bytes = x->memory.len_bytes,
                                                 .kind = (uint32_t)x->memory.kind,
                                                 .incarnation = x->incarnation,
                                                 .gva = x->gva};
    }
}

static_assert(RDMA_RAILS_MAX == XCOPY_RAILS_MAX && TEXT_MAX == XCOPY_RAIL_TEXT,
              "a report fits the message");

/* Of the exporter that has something to tell: rdma, if there is one. */
static void take_report(const struct node *n, struct node_heartbeat_params *out)
{
    struct xcopy_report r = {0};
    out->has_rdma = false;
    for (uint32_t e = 0; e < n->exporter_count && !out->has_rdma; e++) {
        struct xcopy_exporter *exporter = n->exporters[e];
        out->has_rdma = exporter->ops->report != NULL;
        if (out->has_rdma)
            exporter->ops->report(exporter, &r);
    }
    out->rdma = (struct rdma_report){.rail_count = r.rail_count,
                                     .connections = r.connections,
                                     .queue_pairs = r.queue_pairs,
                                     .regions = r.regions,
                                     .errors = r.errors,
                                     .fenced = r.fenced,
                                     .rails_lost = r.rails_lost};
    memcpy(out->rdma.rails, r.rails, sizeof out->rdma.rails);
}

void node_heartbeat_params(const struct node *n, struct node_heartbeat_params *out)
{
    out->segment_count = n->segment_count;
    for (uint32_t i = 0; i < n->segment_count; i++)
        out->populated_bytes[i] = populated_of(&n->segments[i]);
    out->has_directory = n->directory != NULL;
    if (n->directory)
        out->directory = directory_sum(n->directory);
    out->holds = node_hold_count(n);
    take_report(n, out);
}

/* Two pools may have given the same incarnations. */
static struct hash128 name_pool(const struct hash_key *pool_key)
{
    static const char text[] = "the name of a pool";
    return hash_siphash128(pool_key, text, sizeof text - 1);
}

static bool fits(const struct node *n, const struct node_join_result *r)
{
    if (r->segment_count != n->segment_count)
        return false;
    for (uint32_t i = 0; i < n->segment_count; i++) {
        const struct xcopy_segment *mine = &n->segments[i].x;
        const struct node_segment *s = &r->segments[i];
        if (s->incarnation == 0 || s->gva.v % EXTENT_ALIGN != 0 ||
            !gva_covers(gva_make(GVA_FIRST), GVA_END - GVA_FIRST, s->gva, mine->memory.len_bytes))
            return false;
        if (mine->incarnation != 0 &&
            (s->incarnation != mine->incarnation || s->gva.v != mine->gva.v))
            return false;
    }
    return true;
}

static bool is_expected_pool(const struct node *n, const struct hash128 *pool)
{
    return !n->expects_pool || memcmp(pool, &n->expected_pool, sizeof *pool) == 0;
}

static_assert(SEGMENTS_MAX <= XCOPY_SEGMENTS_MAX, "an exporter takes all segments of a node");

/* An exporter whose devices can't have the segment has said so: it is reached by the others. */
static void serve_segment(const struct node *n, struct xcopy_segment *x,
                          const struct node_segment *s)
{
    x->gva = s->gva;
    x->incarnation = s->incarnation;
    for (uint32_t e = 0; e < n->exporter_count; e++) {
        int status = n->exporters[e]->ops->add_segment(n->exporters[e], x);
        assert(status == CENOTE_OK || status == CENOTE_NO_MEMORY);
    }
}

int node_joined(struct node *n, const struct node_join_result *r)
{
    uint64_t life = r->reign == n->highest_reign ? n->service_life : 0;
    int status = node_see_reign(n, r->reign);
    if (status != CENOTE_OK)
        return status;
    if (life != 0 && r->life != 0 && r->life != life) {
        log_error("node", "refused: reign %llu is another life of the service",
                  (unsigned long long)r->reign);
        return CENOTE_OLD_REIGN;
    }
    if (!fits(n, r)) {
        log_error("node", "the service's answer to the join doesn't fit the segments");
        return CENOTE_PROTOCOL;
    }
    struct hash128 pool = name_pool(&r->pool_key);
    if (!is_expected_pool(n, &pool)) {
        log_error("node", "the service is another pool's: it has lost its database, or moved");
        return CENOTE_PROTOCOL;
    }
    n->service_life = r->life;
    n->expects_pool = true;
    n->expected_pool = pool;
    pthread_mutex_lock(&n->pool_key_lock);
    n->pool_key = r->pool_key;
    n->has_pool_key = true;
    pthread_mutex_unlock(&n->pool_key_lock);
    for (uint32_t i = 0; i < n->segment_count && !n->joined; i++)
        serve_segment(n, &n->segments[i].x, &r->segments[i]);
    n->joined = true;
    return CENOTE_OK;
}

bool node_has_joined(const struct node *n)
{
    return n->joined;
}

bool node_has_contents(const struct node *n)
{
    return n->segment_count > 0 && n->segments[0].x.incarnation != 0;
}

struct hash128 node_pool(const struct node *n)
{
    assert(n->joined);
    return n->expected_pool;
}

const struct xcopy_segment *node_segment_at(const struct node *n, uint32_t segment)
{
    assert(segment < n->segment_count);
    return &n->segments[segment].x;
}

uint64_t node_highest_reign(const struct node *n)
{
    return n->highest_reign;
}

uint64_t node_service_life(const struct node *n)
{
    return n->service_life;
}

int node_see_reign(struct node *n, uint64_t reign)
{
    if (reign < n->highest_reign) {
        log_error("node", "refused: reign %llu of the service is over, %llu has been seen",
                  (unsigned long long)reign, (unsigned long long)n->highest_reign);
        return CENOTE_OLD_REIGN;
    }
    if (reign > n->highest_reign)
        n->service_life = 0;
    n->highest_reign = reign;
    return CENOTE_OK;
}

/* ---- fences ---------------------------------------------------------------------------------- */

static void one_left(struct fence *f)
{
    struct node *n = f->node; /* node_poll() frees f as soon as nothing is left */
    if (__atomic_fetch_sub(&f->left, 1, __ATOMIC_ACQ_REL) == 1)
        n->options.nudge(n->options.arg);
}

static void part_done(void *arg)
{
    struct fence_part *part = arg;
    struct fence *f = part->fence;
    trace_end_overlapping(f->node->options.trace, f->node->trace_parts[part->exporter],
                          part->traced_ns, f->session);
    part->traced_ns = 0;
    one_left(f);
}

static void begin_part(struct node *n, struct fence *f, unsigned exporter)
{
    struct xcopy_exporter *e = n->exporters[exporter];
    struct fence_part *part = &f->parts[exporter];
    *part =
        (struct fence_part){f, exporter, trace_begin(n->options.trace, n->trace_parts[exporter])};
    e->ops->fence(e, f->session, f->horizon, part_done, part);
}

/* The same fence, still under way for a caller who has gone. */
static struct fence *find_forgotten(struct node *n, const struct fence_params *p)
{
    struct fence *f = n->fences;
    while (f && !(f->tag == TAG_NONE && f->session == p->session && f->horizon == p->horizon))
        f = f->next;
    return f;
}

static int begin_fence(struct node *n, uint64_t session, uint64_t horizon, uint64_t tag)
{
    struct fence *f = n->fence_count < NODE_FENCES_MAX ? calloc(1, sizeof *f) : NULL;
    if (!f) {
        log_error("node", "%u fences are under way: one more is refused", n->fence_count);
        return CENOTE_LIMIT;
    }
    *f = (struct fence){.next = n->fences,
                        .node = n,
                        .session = session,
                        .horizon = horizon,
                        .tag = tag,
                        .left = n->exporter_count + 1,
                        .traced_ns = trace_begin(n->options.trace, n->trace_fence)};
    n->fences = f;
    n->fence_count++;
    if (test_off(TEST_FENCE)) {
        f->left = 0;
        n->options.nudge(n->options.arg);
        return CENOTE_OK;
    }
    if (session == SESSION_ALL)
        horizons_raise_all(n->horizons, horizon); /* refuse first */
    else
        horizons_raise(n->horizons, session, horizon);
    for (uint32_t e = 0; e < n->exporter_count; e++)
        begin_part(n, f, e);
    one_left(f);
    return CENOTE_OK;
}

int node_fence(struct node *n, const struct fence_params *p, uint64_t tag)
{
    assert(tag != TAG_NONE);
    int status = node_see_reign(n, p->reign);
    if (status != CENOTE_OK)
        return status;
    struct fence *f = find_forgotten(n, p);
    if (f) {
        f->tag = tag;
        return CENOTE_OK;
    }
    return begin_fence(n, p->session, p->horizon, tag);
}
void node_forget_tags(struct node *n)
{
    for (struct fence *f = n->fences; f; f = f->next)
        f->tag = TAG_NONE;
}

void node_poll(struct node *n)
{
    struct fence **at = &n->fences;
    while (*at) {
        struct fence *f = *at;
        if (__atomic_load_n(&f->left, __ATOMIC_ACQUIRE) != 0) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        n->fence_count--;
        if (f->session == SESSION_ALL && f->horizon > n->settled)
            n->settled = f->horizon;
        if (f->tag != TAG_NONE)
            n->options.fenced(n->options.arg, f->tag);
        trace_end_overlapping(n->options.trace, n->trace_fence, f->traced_ns, f->session);
        free(f);
    }
}

/* ---- voids ----------------------------------------------------------------------------------- */

/* The segment that has the whole extent within its populated part. */
static const struct segment *segment_of(const struct node *n, struct gva gva, uint64_t extent_len)
{
    for (uint32_t i = 0; i < n->segment_count; i++) {
        const struct segment *s = &n->segments[i];
        if (s->x.incarnation != 0 && gva_covers(s->x.gva, populated_of(s), gva, extent_len))
            return s;
    }
    return NULL;
}

static const struct segment *segment_of_extent(const struct node *n, struct gva gva,
                                               uint64_t payload_len)
{
    if (payload_len > EXTENT_PAYLOAD_MAX || gva.v % EXTENT_ALIGN != 0)
        return NULL;
    return segment_of(n, gva, extent_size(payload_len));
}

bool node_has_extent(const struct node *n, struct gva gva, uint64_t payload_len)
{
    return segment_of_extent(n, gva, payload_len) != NULL;
}

int node_void(struct node *n, struct gva gva, uint64_t payload_len)
{
    const struct segment *s = segment_of_extent(n, gva, payload_len);
    if (!s) {
        log_error("node", "void of 0x%llx, payload of %llu bytes: not an extent of this node",
                  (unsigned long long)gva.v, (unsigned long long)payload_len);
        return CENOTE_BAD_RANGE;
    }
    if (test_off(TEST_VOID))
        return CENOTE_OK;
    uint64_t state_at = gva.v - s->x.gva.v + extent_seal_offset(payload_len) + SEAL_STATE_OFFSET;
    /* Sequentially consistent: a reader that looks at the seal after it has published a hold, and a
     * node that looks for holds after the void, must not miss each other. */
    __atomic_store_n((uint32_t *)(void *)((uint8_t *)s->x.memory.base + state_at),
                     htole32(SEAL_STATE_VOID), __ATOMIC_SEQ_CST);
    if (n->directory)
        directory_drop(n->directory, gva);
    return CENOTE_OK;
}

/* ---- holds ----------------------------------------------------------------------------------- */

struct extent_order {
    struct gva gva;
    uint32_t index;
};

static int by_address(const void *a, const void *b)
{
    const struct extent_order *x = a, *y = b;
    return x->gva.v < y->gva.v ? -1 : x->gva.v > y->gva.v;
}

void node_held(struct node *n, const struct gva *extents, uint32_t count, bool *held)
{
    struct extent_order order[VOID_BATCH_MAX];
    struct gva ascending[VOID_BATCH_MAX];
    bool found[VOID_BATCH_MAX] = {false};
    assert(count <= VOID_BATCH_MAX);
    for (uint32_t i = 0; i < count; i++)
        order[i] = (struct extent_order){extents[i], i};
    qsort(order, count, sizeof order[0], by_address);
    for (uint32_t i = 0; i < count; i++)
        ascending[i] = order[i].gva;
    for (uint32_t e = 0; e < n->exporter_count && !test_off(TEST_HOLD); e++)
        xcopy_held(n->exporters[e], ascending, count, found);
    for (uint32_t i = 0; i < count; i++)
        held[order[i].index] = found[i];
}

uint32_t node_hold_count(const struct node *n)
{
    uint32_t count = 0;
    for (uint32_t e = 0; e < n->exporter_count; e++)
        count += xcopy_hold_count(n->exporters[e]);
    return count;
}

/* ---- for the rebuild of a lost database ------------------------------------------------------ */

const uint8_t *node_extent_at(const struct node *n, struct gva gva, uint64_t payload_len)
{
    const struct segment *s = segment_of_extent(n, gva, payload_len);
    return s ? (const uint8_t *)s->x.memory.base + (gva.v - s->x.gva.v) : NULL;
}

bool node_seal_matches(const struct node *n, const struct directory_entry *e)
{
    struct seal seal;
    const struct segment *s = segment_of_extent(n, e->gva, e->payload_len);
    if (!s)
        return false;
    struct seal_want want = {.put_id = e->put_id,
                             .gva = e->gva,
                             .incarnation = s->x.incarnation,
                             .payload_len = e->payload_len,
                             .stripe = (uint16_t)e->stripe};
    const uint8_t *at =
        node_extent_at(n, e->gva, e->payload_len) + extent_seal_offset(e->payload_len);
    return seal_check(at, &want, &seal) == CENOTE_OK && seal.stripes == e->stripes &&
           seal.name_space == e->name_space && seal.stripe_offset == e->offset &&
           seal.total_len == e->len_bytes && seal.sum_kind == e->sum_kind && seal.root == e->root &&
           memcmp(&seal.key_hash, &e->key_hash, sizeof seal.key_hash) == 0;
}

bool node_seal_is_live(const struct node *n, const struct directory_entry *e)
{
    return test_off(TEST_REBUILD_SEALS) || node_seal_matches(n, e);
}

int node_notes(struct node *n, struct wire_value params)
{
    struct notes_params p;
    struct note note;
    struct wire_buf b = {0};
    if (!notes_params_get(params, &p))
        return CENOTE_PROTOCOL;
    int status = node_see_reign(n, p.reign);
    if (status != CENOTE_OK)
        return status;
    wire_put_array(&b, p.count);
    for (uint32_t i = 0; i < p.count && status == CENOTE_OK; i++) {
        if (note_get(wire_at(p.notes, i), &note))
            note_put(&b, &note);
        else
            status = CENOTE_PROTOCOL;
    }
    if (status == CENOTE_OK && (b.failed || b.len > NOTES_BYTES_MAX))
        status = b.len > NOTES_BYTES_MAX ? CENOTE_LIMIT : CENOTE_NO_MEMORY;
    if (status != CENOTE_OK) {
        wire_buf_free(&b);
        return status;
    }
    wire_buf_free(&n->notes);
    n->notes = b;
    return CENOTE_OK;
}

const struct wire_buf *node_notes_of(const struct node *n)
{
    return &n->notes;
}

int node_take_over_notes(struct node *n, const void *encoded, size_t len_bytes)
{
    assert(!n->joined && n->notes.len == 0);
    n->notes.data = malloc(len_bytes);
    if (!n->notes.data)
        return CENOTE_NO_MEMORY;
    memcpy(n->notes.data, encoded, len_bytes);
    n->notes.len = n->notes.cap = len_bytes;
    return CENOTE_OK;
}

int node_notes_read(struct node *n, struct wire_value params, struct wire_buf *result)
{
    (void)params;
    if (n->notes.len > 0)
        wire_put_encoded(result, &n->notes);
    else
        wire_put_array(result, 0);
    return CENOTE_OK;
}

struct strays {
    const struct node *node;
    uint64_t count;
};

static void count_stray(void *arg, struct gva extent)
{
    struct strays *s = arg;
    struct directory_entry e;
    s->count += !s->node->directory || !directory_find(s->node->directory, extent, &e);
}

int node_settle(struct node *n, struct wire_value params, struct wire_buf *result)
{
    struct settle_params p;
    struct strays strays = {.node = n};
    if (!settle_params_get(params, &p))
        return CENOTE_PROTOCOL;
    int status = node_see_reign(n, p.reign);
    if (status == CENOTE_OK && p.horizon > n->settling) {
        status = begin_fence(n, SESSION_ALL, p.horizon, TAG_NONE);
        if (status == CENOTE_OK)
            n->settling = p.horizon;
        node_poll(n);
    }
    if (status != CENOTE_OK)
        return status;
    for (uint32_t e = 0; e < n->exporter_count && !test_off(TEST_HOLD); e++)
        xcopy_each_hold(n->exporters[e], count_stray, &strays);
    struct settle_result r = {.fenced = n->settled >= p.horizon, .strays = strays.count};
    settle_result_put(result, &r);
    return CENOTE_OK;
}
