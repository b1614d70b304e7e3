/* SPDX-License-Identifier: Apache-2.0 */
/* A range of a writer. */
#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/writer.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"

#define MODULE "put"
#define EDGES  2u

/* What goes to one replica in one copy: chunks of the caller's memory, or one that was kept. */
struct range_copy {
    struct writing *writing;
    uint64_t offset; /* in the value; whole chunks */
    struct cenote_buffer piece;
    struct sums *sums; /* NULL: of a kept chunk, summed already */
};

/* The part of a chunk that a range doesn't cover as a whole. */
struct edge {
    uint64_t offset; /* in the value */
    size_t len_bytes;
    struct writer_chunk *chunk;
};

struct writer_range {
    struct machine machine;
    struct writer *writer;
    const uint8_t *data;
    uint64_t offset, len_bytes;
    uint64_t whole, whole_end; /* the chunks that it covers as a whole */
    struct edge edges[EDGES];
    unsigned edge_count;
    struct writer_chunk *kept[EDGES]; /* that it has completed */
    unsigned kept_count;

    struct range_copy *parts;
    size_t part_count, part_room, at; /* those below at have been run or are being */
    struct fabric_req *copies;
    size_t copy_count;
    uint64_t summed; /* the place whose sums were taken last */
    enum step_kind doing;
    bool map_fresh;
};

static void range_next(struct machine *m, uint64_t now_ms, struct step *out);
static void range_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result);

static const struct machine_ops range_ops = {
    .op = TALLY_PUT, .next = range_next, .done = range_done};

static uint64_t value_len(const struct writer *w)
{
    return w->value.common.len_bytes;
}

static struct writing *writing_at(const struct writer *w, uint32_t i)
{
    return &w->putting.writings[w->value.first_writing + i];
}

/* ---- cutting a range into chunks ------------------------------------------------------------- */

static uint64_t chunk_end(const struct writer *w, uint64_t index)
{
    uint64_t end = (index + 1) * SUMS_CHUNK_BYTES;
    return end < value_len(w) ? end : value_len(w);
}

static void add_edge(struct writer_range *r, uint64_t from, uint64_t to)
{
    if (from < to)
        r->edges[r->edge_count++] = (struct edge){.offset = from, .len_bytes = (size_t)(to - from)};
}

static void cut(struct writer_range *r)
{
    uint64_t end = r->offset + r->len_bytes;
    uint64_t last = (end - 1) / SUMS_CHUNK_BYTES;

    r->whole = sums_chunks(r->offset) * SUMS_CHUNK_BYTES;
    r->whole_end = end == chunk_end(r->writer, last) ? end : last * SUMS_CHUNK_BYTES;
    if (r->whole >= r->whole_end) { /* no whole chunk; perhaps a border between two */
        uint64_t border = r->whole < end ? r->whole : end;
        r->whole = r->whole_end = border;
    }
    add_edge(r, r->offset, r->whole);
    add_edge(r, r->whole_end, end);
}

/* Chunks of the caller's memory, for each extent that they lie in. */
static bool add_parts(struct writer_range *r)
{
    const struct writer *w = r->writer;

    for (uint32_t i = 0; i < w->value.writings; i++) {
        struct writing *extent = writing_at(w, i);
        uint64_t end = extent->offset + extent->payload_len;
        uint64_t from = r->whole > extent->offset ? r->whole : extent->offset;
        uint64_t to = r->whole_end < end ? r->whole_end : end;
        if (from >= to)
            continue;
        struct range_copy *part = &r->parts[r->part_count];
        uint8_t *at = (uint8_t *)(uintptr_t)(r->data + (from - r->offset));
        *part = (struct range_copy){
            .writing = extent, .offset = from, .piece = {at, (size_t)(to - from)}};
        part->sums = sums_new(to - from);
        if (!part->sums)
            return false;
        r->part_count++;
    }
    return true;
}

/* How many copies a range may take. */
static size_t count_parts(const struct writer_range *r)
{
    size_t count = EDGES * REPLICAS_MAX;

    for (uint32_t i = 0; i < r->writer->value.writings; i++) {
        const struct writing *extent = writing_at(r->writer, i);
        count += r->whole < extent->offset + extent->payload_len && r->whole_end > extent->offset;
    }
    return count;
}

/* ---- chunks that are kept; all under the lock ------------------------------------------------ */

static struct writer_chunk **chunk_place(struct writer *w, uint64_t index)
{
    struct writer_chunk **at = &w->chunks[index % WRITER_BUCKETS];

    while (*at && (*at)->index != index)
        at = &(*at)->next;
    return at;
}

static int chunk_for(struct writer *w, struct edge *edge)
{
    uint64_t index = edge->offset / SUMS_CHUNK_BYTES;
    size_t len = (size_t)(chunk_end(w, index) - index * SUMS_CHUNK_BYTES);
    struct writer_chunk **at = chunk_place(w, index), *c = *at;

    if (!c) {
        if (w->scratch_bytes + len > CENOTE_WRITER_SCRATCH_MAX)
            return CENOTE_LIMIT;
        c = malloc(sizeof *c + len);
        if (!c)
            return CENOTE_NO_MEMORY;
        *c = (struct writer_chunk){.index = index, .len_bytes = len};
        *at = c;
        w->scratch_bytes += len;
    }
    edge->chunk = c;
    return CENOTE_OK;
}

/* Takes a chunk back out; the caller frees it. */
static void chunk_take(struct writer *w, struct writer_chunk *c)
{
    *chunk_place(w, c->index) = c->next;
}

static void chunk_free(struct writer *w, struct writer_chunk *c)
{
    w->scratch_bytes -= c->len_bytes;
    free(c);
}

/* The claim failed: chunks that were made for it are empty. */
static void unclaim(struct writer_range *r)
{
    for (unsigned i = 0; i < r->edge_count; i++) {
        struct writer_chunk *c = r->edges[i].chunk;
        if (!c || c->have_bytes > 0 || c->claimed)
            continue;
        chunk_take(r->writer, c);
        chunk_free(r->writer, c);
    }
}

static int claim(struct writer_range *r)
{
    struct writer *w = r->writer;
    int status = w->failure;

    for (unsigned i = 0; i < r->edge_count && status == CENOTE_OK; i++)
        status = chunk_for(w, &r->edges[i]);
    if (status == CENOTE_OK)
        status = coverage_claim(&w->claimed, r->offset, r->offset + r->len_bytes);
    if (status != CENOTE_OK)
        unclaim(r);
    for (unsigned i = 0; i < r->edge_count && status == CENOTE_OK; i++)
        r->edges[i].chunk->claimed = true;
    return status;
}

/* Some bytes of a chunk have come. True: they were the last. */
static bool chunk_filled(struct writer *w, struct writer_chunk *c, size_t len_bytes)
{
    c->have_bytes += len_bytes;
    if (c->have_bytes < c->len_bytes)
        return false;
    chunk_take(w, c);
    return true;
}

/* Copies the edges into their chunks, by the caller's thread and under no lock: nobody else writes
 * there. Chunks that are complete now are this range's. */
static void keep_edges(struct writer_range *r)
{
    for (unsigned i = 0; i < r->edge_count; i++) {
        const struct edge *e = &r->edges[i];
        memcpy(e->chunk->bytes + e->offset % SUMS_CHUNK_BYTES, r->data + (e->offset - r->offset),
               e->len_bytes);
    }
    pthread_mutex_lock(&r->writer->lock);
    for (unsigned i = 0; i < r->edge_count; i++) {
        if (chunk_filled(r->writer, r->edges[i].chunk, r->edges[i].len_bytes))
            r->kept[r->kept_count++] = r->edges[i].chunk;
    }
    pthread_mutex_unlock(&r->writer->lock);
}

static void add_kept(struct writer_range *r, struct writer_chunk *c)
{
    struct writer *w = r->writer;
    uint64_t offset = c->index * SUMS_CHUNK_BYTES;

    w->sums_le[c->index] = htole64(hash_xxh3(c->bytes, c->len_bytes));
    for (uint32_t i = 0; i < w->value.writings; i++) {
        struct writing *extent = writing_at(w, i);
        if (offset < extent->offset || offset - extent->offset >= extent->payload_len)
            continue;
        assert(r->part_count < r->part_room);
        r->parts[r->part_count++] = (struct range_copy){
            .writing = extent, .offset = offset, .piece = {c->bytes, c->len_bytes}};
    }
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void range_free(struct writer_range *r)
{
    for (size_t i = 0; i < r->part_count; i++)
        sums_free(r->parts[i].sums);
    free(r->parts);
    free(r->copies);
    free(r);
}

static struct writer_range *range_new(struct writer *w, uint64_t offset, const void *data,
                                      size_t len_bytes)
{
    struct writer_range *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    *r = (struct writer_range){.machine.ops = &range_ops,
                               .writer = w,
                               .data = data,
                               .offset = offset,
                               .len_bytes = len_bytes,
                               .summed = UINT64_MAX};
    if (len_bytes == 0)
        return r;
    cut(r);
    r->part_room = count_parts(r);
    size_t step = r->part_room < PUT_COPIES_MAX ? r->part_room : PUT_COPIES_MAX;
    r->parts = calloc(r->part_room, sizeof *r->parts);
    r->copies = calloc(step, sizeof *r->copies);
    if (r->parts && r->copies && add_parts(r))
        return r;
    range_free(r);
    return NULL;
}

int writer_range_begin(struct writer *w, uint64_t offset, const void *data, size_t len_bytes,
                       struct writer_range **out)
{
    struct writer_range *r;
    int status;

    if (offset > value_len(w) || len_bytes > value_len(w) - offset)
        return CENOTE_INVALID;
    r = range_new(w, offset, data, len_bytes);
    if (!r)
        return CENOTE_NO_MEMORY;
    pthread_mutex_lock(&w->lock);
    status = len_bytes > 0 ? claim(r) : w->failure;
    pthread_mutex_unlock(&w->lock);
    if (status != CENOTE_OK) {
        range_free(r);
        return status;
    }
    keep_edges(r);
    for (unsigned i = 0; i < r->kept_count; i++)
        add_kept(r, r->kept[i]);
    *out = r;
    return CENOTE_OK;
}

struct machine *writer_range_machine(struct writer_range *r)
{
    return &r->machine;
}

int writer_range_end(struct writer_range *r)
{
    struct writer *w = r->writer;

    pthread_mutex_lock(&w->lock);
    for (unsigned i = 0; i < r->kept_count; i++)
        chunk_free(w, r->kept[i]);
    int status = w->failure;
    if (status == CENOTE_OK)
        w->written += r->len_bytes;
    pthread_mutex_unlock(&w->lock);
    range_free(r);
    return status;
}

/* ---- the machine ----------------------------------------------------------------------------- */

/* A replica that didn't take a range is given up. What may still land has to be fenced, also if
 * another range gave it up before. */
static void give_up(struct writing *extent, int status, bool may_land)
{
    if (!extent->done)
        extent->status = status;
    extent->done = true;
    if (may_land)
        extent->state = EXTENT_UNKNOWN;
}

/* Has each stripe a replica left? Under the lock. */
static void judge(struct writer *w)
{
    uint32_t alive = 0; /* stripes from the first on */
    int why = CENOTE_OK;

    for (uint32_t i = 0; i < w->value.writings; i++) {
        const struct writing *extent = writing_at(w, i);
        if (extent->done)
            why = extent->status;
        else if (extent->stripe == alive)
            alive++;
    }
    if (alive < w->value.common.stripes && w->failure == CENOTE_OK)
        w->failure = putting_failure(why);
}

static bool needs_map(const struct writer_range *r)
{
    for (size_t i = r->at; i < r->part_count && !r->map_fresh; i++) {
        if (!writing_has_place(r->parts[i].writing, r->writer->putting.env.map))
            return true;
    }
    return false;
}

static void gather_copies(struct writer_range *r)
{
    struct writer *w = r->writer;

    r->copy_count = 0;
    pthread_mutex_lock(&w->lock);
    if (w->failure != CENOTE_OK)
        r->at = r->part_count;
    for (; r->at < r->part_count && r->copy_count < PUT_COPIES_MAX; r->at++) {
        struct range_copy *part = &r->parts[r->at];
        struct writing *extent = part->writing;
        struct fabric_req *copy = &r->copies[r->copy_count];
        if (extent->done)
            continue;
        if (!writing_range(extent, &w->value.common, w->putting.env.map,
                           part->offset - extent->offset, &part->piece, copy)) {
            give_up(extent, CENOTE_NODE_DOWN, false);
            continue;
        }
        copy->x.sums = part->sums;
        copy->x.owner = part;
        r->copy_count++;
    }
    judge(w);
    pthread_mutex_unlock(&w->lock);
}

/* All replicas must have got the same bytes; another sum means that the caller has changed them
 * meanwhile. */
static void take_sums(struct writer *w, const struct range_copy *part, bool first)
{
    uint64_t *list = w->sums_le + part->offset / SUMS_CHUNK_BYTES;
    size_t list_len = (size_t)sums_chunks(part->piece.len_bytes) * sizeof *list;

    if (!part->sums)
        return;
    if (first)
        sums_list(part->sums, list);
    else if (sums_root(part->sums) != hash_xxh3(list, list_len))
        give_up(part->writing, CENOTE_ABORTED, false);
}

static void copies_done(struct writer_range *r, uint64_t now_ms)
{
    struct writer *w = r->writer;

    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < r->copy_count; i++) {
        const struct xcopy_req *x = &r->copies[i].x;
        const struct range_copy *part = x->owner;
        slow_learn(w->putting.env.slow, r->copies[i].node, x->status, now_ms);
        if (x->status == CENOTE_OK) {
            take_sums(w, part, part->offset != r->summed);
            r->summed = part->offset;
            continue;
        }
        log_info(MODULE, "put %" PRIu64 " stripe %u at %#" PRIx64 ": a range was not written: %s",
                 w->value.common.put_id, part->writing->stripe, part->writing->gva.v,
                 cenote_status_text(x->status));
        give_up(part->writing, x->status, x->may_land);
    }
    judge(w);
    pthread_mutex_unlock(&w->lock);
}

static void range_next(struct machine *m, uint64_t now_ms, struct step *out)
{
    struct writer_range *r = (struct writer_range *)m;

    (void)now_ms;
    *out = (struct step){.kind = STEP_DONE};
    if (needs_map(r)) {
        out->kind = STEP_REFRESH_MAP;
    } else if (gather_copies(r), r->copy_count > 0) {
        out->kind = STEP_COPY;
        out->copies = r->copies;
        out->copy_count = r->copy_count;
    }
    r->doing = out->kind;
}

static void range_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result)
{
    struct writer_range *r = (struct writer_range *)m;

    (void)status;
    (void)result;
    if (r->doing == STEP_COPY)
        copies_done(r, now_ms);
    else
        r->map_fresh = true; /* if it failed, what is unknown stays unreachable */
}
