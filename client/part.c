/* SPDX-License-Identifier: Apache-2.0 */
#include "client/part.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/hash.h"

struct part {
    uint64_t payload_len;
    uint64_t from, to;  /* whole chunks of the payload */
    struct sums *sums;  /* of these chunks */
    uint8_t *sums_list; /* where they are encoded */
    uint8_t *tail;      /* the stripe's list, and the seal */
    uint64_t list_len;
    size_t piece_count;
    struct cenote_buffer pieces[]; /* in front: what nobody wants, and likewise at the end */
};

/* How a part's memory is cut, behind the struct. */
struct layout {
    uint64_t from, to;
    uint64_t before, after; /* unwanted bytes */
    uint64_t tail_len, own_list_len;
    size_t pieces; /* of the caller, in the part */
};

static size_t pieces_in(const struct xcopy_local *buffers, uint64_t len_bytes)
{
    struct xcopy_cursor cursor = xcopy_cursor_of(buffers);
    size_t count = 0;
    uint8_t *at;

    while (len_bytes > 0) {
        len_bytes -= xcopy_cursor_next(&cursor, (size_t)len_bytes, &at);
        count++;
    }
    return count;
}

static struct layout layout_of(const struct part_want *w)
{
    uint64_t end = w->at + w->len_bytes;
    struct layout l = {.from = w->at / SUMS_CHUNK_BYTES * SUMS_CHUNK_BYTES};

    assert(w->len_bytes > 0 && w->at <= w->payload_len && w->len_bytes <= w->payload_len - w->at);
    l.to = sums_chunks(end) * SUMS_CHUNK_BYTES;
    if (l.to > w->payload_len)
        l.to = w->payload_len;
    l.before = w->at - l.from;
    l.after = l.to - end;
    l.tail_len = extent_sums_size(w->payload_len) + SEAL_BYTES;
    l.own_list_len = sums_chunks(l.to - l.from) * sizeof(uint64_t);
    return l;
}

static uint64_t memory_of(const struct layout *l)
{
    return sizeof(struct part) + (l->pieces + 2) * sizeof(struct cenote_buffer) + l->before +
           l->after + l->tail_len + l->own_list_len;
}

uint64_t part_memory(const struct part_want *want)
{
    struct layout l = layout_of(want);
    return memory_of(&l);
}

static void add_piece(struct part *p, void *addr, uint64_t len_bytes)
{
    if (len_bytes > 0)
        p->pieces[p->piece_count++] = (struct cenote_buffer){addr, (size_t)len_bytes};
}

static void cut(struct part *p, const struct part_want *w, const struct layout *l)
{
    struct xcopy_cursor cursor = xcopy_cursor_of(&w->buffers);
    uint8_t *spare = (uint8_t *)(p->pieces + l->pieces + 2);
    uint64_t left = w->len_bytes;

    p->payload_len = w->payload_len;
    p->from = l->from;
    p->to = l->to;
    p->list_len = extent_sums_size(w->payload_len);
    p->piece_count = 0;
    p->sums_list = spare;
    p->tail = spare + l->own_list_len;
    spare += l->own_list_len + l->tail_len;
    add_piece(p, spare, l->before);
    while (left > 0) {
        uint8_t *at;
        size_t n = xcopy_cursor_next(&cursor, (size_t)left, &at);
        add_piece(p, at, n);
        left -= n;
    }
    add_piece(p, spare + l->before, l->after);
}

struct part *part_new(const struct part_want *want)
{
    struct layout l = layout_of(want);
    struct part *p;

    l.pieces = pieces_in(&want->buffers, want->len_bytes);
    p = malloc((size_t)memory_of(&l));
    if (!p)
        return NULL;
    cut(p, want, &l);
    p->sums = sums_new(l.to - l.from);
    if (!p->sums) {
        free(p);
        return NULL;
    }
    return p;
}

void part_free(struct part *p)
{
    if (!p)
        return;
    sums_free(p->sums);
    free(p);
}

void part_request(struct part *p, struct xcopy_req *x)
{
    x->offset = p->from;
    x->len_bytes = p->to - p->from;
    x->local =
        (struct xcopy_local){.pieces = p->pieces, .count = p->piece_count, .kind = MEMORY_HOST};
    x->sums = p->sums;
    x->tail = p->tail;
    x->tail_len = p->list_len + SEAL_BYTES;
}

const uint8_t *part_seal(const struct part *p)
{
    return p->tail + p->list_len;
}

bool part_verified(const struct part *p, uint64_t root)
{
    uint64_t first = p->from / SUMS_CHUNK_BYTES;

    if (p->list_len == 0) /* one chunk, all of it read */
        return sums_root(p->sums) == root;
    if (hash_xxh3(p->tail, (size_t)p->list_len) != root)
        return false;
    sums_list(p->sums, p->sums_list);
    return memcmp(p->tail + first * sizeof(uint64_t), p->sums_list,
                  (size_t)sums_chunks(p->to - p->from) * sizeof(uint64_t)) == 0;
}
