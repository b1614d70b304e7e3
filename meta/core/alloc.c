/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/alloc.h"

#include <assert.h>
#include <cenote/status.h>
#include <inttypes.h>
#include <stdlib.h>

#include "meta/core/pairtree.h"
#include "meta/core/rangesort.h"
#include "transport/base/log.h"

/*
 * The free ranges, twice: in address order and in size order. Together they are all that there is
 * to know: what is available and not free is used.
 *
 *   by_offset  (offset, size)   neighbours, for joining and for exact overlap checks
 *   by_size    (size, offset)   the smallest range that fits, lowest offset first
 *
 * Two free ranges never touch or overlap: what is freed is joined with what is free around it.
 *
 * Placement is best fit, ties to the lowest address: the policy that wastes least in the
 * measurements of Johnstone and Wilson ("The memory fragmentation problem: solved?", ISMM 1998)
 * and in ours. The extents of a tier are few kinds of block, some of them hundredfold others, with
 * lives that say nothing about their size; a hole left by a block is then soon taken by one of its
 * kind, and large holes last. Others were tried in a prototype, on the same sizes and changes as
 * fill.h's, at 1/50 and 1/200 (below): first fit is refused at an occupancy 1 to 4 % lower, home
 * addresses by size 4 to 15 % lower, worst fit at 55 %; large and small from opposite ends, and
 * the hole that spoils the fewest known sizes, gain nothing. A segregated good fit (Masmano et
 * al., "TLSF", ECRTS 2004) takes constant time, but it has no order of addresses, so exact overlap
 * checks need another structure beside it; and the microsecond that it saves is nothing beside the
 * transaction that each put is part of.
 *
 * No policy that can't move extents keeps 80 MiB contiguous in a small segment. While values are
 * replaced at random and occupancy slowly rises, the first one is refused when this much is used
 * (alloc_figures fill; the lower figures for sizes spread evenly by logarithm, the higher for the
 * blocks of the serving engines' models):
 *
 *   largest extent / segment    1/51      1/205     1/819     1/1638
 *   whole                       75-83 %   86-93 %   92-95 %   94-97 %
 *   split when needed           97-98 %   99 %      99 %      99 %
 *
 * So 95 % needs segments of some 2000 times the largest extent, or a placement that splits a value
 * when no range holds it: as many stripes as it takes, each as large as the largest free range
 * allows (alloc_payload_within), none shorter than 1/32 of the value. One value in twenty is split
 * then at 1/51, one in a hundred at 1/1638. tests/unit/meta/test_alloc_fill.c pins both, and the
 * rule itself is place.c's, and value_take() in fill.c.
 */
struct alloc {
    uint64_t length;
    uint64_t upto; /* [0, upto) is available */
    uint64_t free_bytes;
    struct pairtree *by_offset;
    struct pairtree *by_size;
};

/* How many ranges are tried that are long enough only if they happen to begin aligned. */
#define FIT_TRIES_MAX 32u

struct alloc *alloc_new(uint64_t length)
{
    assert(length > 0 && length <= ALLOC_LENGTH_MAX);
    struct alloc *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->length = length;
    a->by_offset = pairtree_new();
    a->by_size = pairtree_new();
    if (a->by_offset == NULL || a->by_size == NULL) {
        alloc_free_all(a);
        return NULL;
    }
    return a;
}

void alloc_free_all(struct alloc *a)
{
    if (a == NULL)
        return;
    pairtree_free(a->by_offset);
    pairtree_free(a->by_size);
    free(a);
}

/* ---- free ranges ---- */

/* After this one operation can't fail any more: none adds more than two ranges. */
static bool prepare(struct alloc *a)
{
    if (pairtree_prepare(a->by_offset) && pairtree_prepare(a->by_size))
        return true;
    log_error("alloc", "out of memory for the %" PRIu64 " free ranges of a segment",
              pairtree_count(a->by_offset));
    return false;
}

static struct pair offset_key(struct alloc_range r)
{
    return (struct pair){.a = r.offset, .b = r.size};
}

static struct pair size_key(struct alloc_range r)
{
    return (struct pair){.a = r.size, .b = r.offset};
}

static struct alloc_range from_offset_key(struct pair p)
{
    return (struct alloc_range){.offset = p.a, .size = p.b};
}

static struct alloc_range from_size_key(struct pair p)
{
    return (struct alloc_range){.offset = p.b, .size = p.a};
}

static uint64_t range_end(struct alloc_range r)
{
    return r.offset + r.size;
}

static void range_add(struct alloc *a, struct alloc_range r)
{
    pairtree_insert(a->by_offset, offset_key(r));
    pairtree_insert(a->by_size, size_key(r));
    a->free_bytes += r.size;
}

static void range_drop(struct alloc *a, struct alloc_range r)
{
    pairtree_remove(a->by_offset, offset_key(r));
    pairtree_remove(a->by_size, size_key(r));
    a->free_bytes -= r.size;
}

static void range_change(struct alloc *a, struct alloc_range old, struct alloc_range now)
{
    pairtree_replace(a->by_offset, offset_key(old), offset_key(now));
    pairtree_replace(a->by_size, size_key(old), size_key(now));
    a->free_bytes = a->free_bytes - old.size + now.size;
}

/* Uses [offset, offset + size) of a free range. */
static void range_carve(struct alloc *a, struct alloc_range r, uint64_t offset, uint64_t size)
{
    struct alloc_range left = {r.offset, offset - r.offset};
    struct alloc_range right = {offset + size, range_end(r) - (offset + size)};
    assert(left.size <= r.size && right.size <= r.size && left.size + size + right.size == r.size);
    if (left.size > 0)
        range_change(a, r, left);
    else if (right.size > 0)
        range_change(a, r, right);
    else
        range_drop(a, r);
    if (left.size > 0 && right.size > 0)
        range_add(a, right);
}

/* What is free just before a range, and behind its start. */
struct around {
    bool has_below;
    bool has_above;
    struct alloc_range below; /* begins at or before the start */
    struct alloc_range above; /* begins behind it */
};

static struct around range_around(const struct alloc *a, uint64_t offset)
{
    struct pairtree_near near = pairtree_find(a->by_offset, (struct pair){offset, UINT64_MAX});
    return (struct around){
        .has_below = near.has_below,
        .has_above = near.has_above,
        .below = from_offset_key(near.below),
        .above = from_offset_key(near.above),
    };
}

/* Makes a used range free, joined with what is free around it. */
static void range_join(struct alloc *a, struct alloc_range r, const struct around *near)
{
    bool below = near->has_below && range_end(near->below) == r.offset;
    bool above = near->has_above && near->above.offset == range_end(r);
    if (above) {
        r.size += near->above.size;
        if (below)
            range_drop(a, near->above);
    }
    if (below)
        range_change(a, near->below,
                     (struct alloc_range){near->below.offset, near->below.size + r.size});
    else if (above)
        range_change(a, near->above, r);
    else
        range_add(a, r);
}

/* ---- operations ---- */

int alloc_extend(struct alloc *a, uint64_t upto)
{
    if (upto < a->upto || upto > a->length) {
        log_error("alloc", "extended to %" PRIu64 " of %" PRIu64 " bytes, was at %" PRIu64, upto,
                  a->length, a->upto);
        return CENOTE_BAD_RANGE;
    }
    if (upto == a->upto)
        return CENOTE_OK;
    if (!prepare(a))
        return CENOTE_NO_MEMORY;
    struct around near = range_around(a, a->upto);
    range_join(a, (struct alloc_range){a->upto, upto - a->upto}, &near);
    a->upto = upto;
    return CENOTE_OK;
}

static uint64_t align_up(uint64_t offset, uint64_t align)
{
    return (offset + align - 1) & ~(align - 1);
}

/* The smallest free range behind after in size order. */
static bool smallest(const struct alloc *a, struct pair after, struct alloc_range *r)
{
    struct pairtree_near near = pairtree_find(a->by_size, after);
    if (near.has_above)
        *r = from_size_key(near.above);
    return near.has_above;
}

static bool best_fit(const struct alloc *a, uint64_t size, uint64_t align, struct alloc_range *r)
{
    struct pair after = {size - 1, UINT64_MAX};
    for (uint32_t tries = 0; tries < FIT_TRIES_MAX; tries++) {
        if (!smallest(a, after, r))
            return false;
        if (align_up(r->offset, align) - r->offset <= r->size - size)
            return true;
        after = size_key(*r);
    }
    return smallest(a, (struct pair){size + align - 2, UINT64_MAX}, r);
}

int alloc_take(struct alloc *a, uint64_t size, uint64_t align, uint64_t *offset)
{
    assert(size > 0);
    assert(align > 0 && align <= ALLOC_LENGTH_MAX && (align & (align - 1)) == 0);
    struct alloc_range r;
    if (size > a->free_bytes || !best_fit(a, size, align, &r))
        return CENOTE_NO_SPACE;
    if (!prepare(a))
        return CENOTE_NO_MEMORY;
    *offset = align_up(r.offset, align);
    range_carve(a, r, *offset, size);
    return CENOTE_OK;
}

static int check_range(const struct alloc *a, const char *what, uint64_t offset, uint64_t size)
{
    if (size > 0 && offset <= a->upto && size <= a->upto - offset)
        return CENOTE_OK;
    log_error("alloc", "%s: %" PRIu64 " bytes at %" PRIu64 " of %" PRIu64 " available", what, size,
              offset, a->upto);
    return CENOTE_BAD_RANGE;
}

static void log_two_owners(uint64_t offset, uint64_t size)
{
    log_error("alloc", "two owners: %" PRIu64 " bytes at %" PRIu64 " are in use in part", size,
              offset);
}

int alloc_reserve(struct alloc *a, uint64_t offset, uint64_t size)
{
    int rc = check_range(a, "reserve", offset, size);
    if (rc != CENOTE_OK)
        return rc;
    struct around near = range_around(a, offset);
    if (!near.has_below || range_end(near.below) < offset + size) {
        log_two_owners(offset, size);
        return CENOTE_INVALID;
    }
    if (!prepare(a))
        return CENOTE_NO_MEMORY;
    range_carve(a, near.below, offset, size);
    return CENOTE_OK;
}

int alloc_reserve_behind(struct alloc *a, uint64_t offset, uint64_t size)
{
    if (offset < a->upto || size == 0 || size > a->length || offset > a->length - size) {
        log_error("alloc", "%" PRIu64 " bytes at %" PRIu64 " don't lie behind %" PRIu64, size,
                  offset, a->upto);
        return CENOTE_BAD_RANGE;
    }
    int rc = alloc_extend(a, offset);
    if (rc == CENOTE_OK)
        a->upto = offset + size;
    return rc;
}

int alloc_give(struct alloc *a, uint64_t offset, uint64_t size)
{
    int rc = check_range(a, "give", offset, size);
    if (rc != CENOTE_OK)
        return rc;
    struct around near = range_around(a, offset);
    if ((near.has_below && range_end(near.below) > offset) ||
        (near.has_above && near.above.offset < offset + size)) {
        log_error("alloc", "freed twice: %" PRIu64 " bytes at %" PRIu64 " are free in part", size,
                  offset);
        return CENOTE_INVALID;
    }
    if (!prepare(a))
        return CENOTE_NO_MEMORY;
    range_join(a, (struct alloc_range){offset, size}, &near);
    return CENOTE_OK;
}

/* ---- rebuild ---- */

static int insert_prepared(struct pairtree *t, struct pair p)
{
    if (!pairtree_prepare(t))
        return CENOTE_NO_MEMORY;
    pairtree_insert(t, p);
    return CENOTE_OK;
}

/* used is sorted. */
static int check_used(const struct alloc *a, const struct alloc_range *used, uint64_t count,
                      uint64_t *bad)
{
    uint64_t end = 0;
    for (uint64_t i = 0; i < count; i++) {
        int rc = check_range(a, "rebuild", used[i].offset, used[i].size);
        if (rc == CENOTE_OK && used[i].offset < end) {
            log_two_owners(used[i].offset, used[i].size);
            rc = CENOTE_INVALID;
        }
        if (rc != CENOTE_OK) {
            *bad = i;
            return rc;
        }
        end = range_end(used[i]);
    }
    return CENOTE_OK;
}

/* What lies between the used ranges; there is room for count + 1. Returns their number. */
static uint64_t gaps_between(const struct alloc *a, const struct alloc_range *used, uint64_t count,
                             struct alloc_range *gaps)
{
    uint64_t n = 0;
    uint64_t at = 0;
    for (uint64_t i = 0; i <= count; i++) {
        uint64_t next = i < count ? used[i].offset : a->upto;
        if (next > at)
            gaps[n++] = (struct alloc_range){at, next - at};
        at = i < count ? range_end(used[i]) : next;
    }
    return n;
}

static int fill_trees(struct alloc *a, struct alloc_range *gaps, uint64_t count)
{
    struct alloc_range *spare = malloc(count * sizeof *spare);
    if (spare == NULL)
        return CENOTE_NO_MEMORY;
    int rc = CENOTE_OK;
    for (uint64_t i = 0; i < count && rc == CENOTE_OK; i++) {
        rc = insert_prepared(a->by_offset, offset_key(gaps[i]));
        a->free_bytes += gaps[i].size;
    }
    ranges_sort(gaps, count, RANGES_BY_SIZE, spare);
    for (uint64_t i = 0; i < count && rc == CENOTE_OK; i++)
        rc = insert_prepared(a->by_size, size_key(gaps[i]));
    free(spare);
    return rc;
}

/* Gives a these free ranges, in address order, instead of its own; the array is used up. */
static int replace_free(struct alloc *a, struct alloc_range *gaps, uint64_t count)
{
    struct alloc *fresh = alloc_new(a->length);
    if (fresh == NULL)
        return CENOTE_NO_MEMORY;
    fresh->upto = a->upto;
    int rc = count > 0 ? fill_trees(fresh, gaps, count) : CENOTE_OK;
    if (rc == CENOTE_OK) {
        struct alloc old = *a;
        *a = *fresh;
        *fresh = old;
    }
    alloc_free_all(fresh);
    return rc;
}

int alloc_rebuild(struct alloc *a, struct alloc_range *used, uint64_t count, uint64_t *bad)
{
    assert(count < SIZE_MAX / sizeof *used - 1);
    if (alloc_used_bytes(a) != 0) {
        log_error("alloc", "rebuild: %" PRIu64 " bytes are in use", alloc_used_bytes(a));
        *bad = count;
        return CENOTE_INVALID;
    }
    int rc = CENOTE_NO_MEMORY;
    struct alloc_range *gaps = malloc((count + 1) * sizeof *gaps);
    if (gaps == NULL)
        goto out;
    ranges_sort(used, count, RANGES_BY_OFFSET, gaps);
    rc = check_used(a, used, count, bad);
    if (rc != CENOTE_OK)
        goto free_gaps;
    rc = replace_free(a, gaps, gaps_between(a, used, count, gaps));
free_gaps:
    free(gaps);
out:
    if (rc == CENOTE_NO_MEMORY)
        log_error("alloc", "out of memory for a rebuild with %" PRIu64 " extents", count);
    return rc;
}

/* ---- questions ---- */

uint64_t alloc_length(const struct alloc *a)
{
    return a->length;
}

uint64_t alloc_upto(const struct alloc *a)
{
    return a->upto;
}

uint64_t alloc_free_bytes(const struct alloc *a)
{
    return a->free_bytes;
}

uint64_t alloc_used_bytes(const struct alloc *a)
{
    return a->upto - a->free_bytes;
}

uint64_t alloc_largest_free(const struct alloc *a)
{
    struct pairtree_near near = pairtree_find(a->by_size, (struct pair){UINT64_MAX, UINT64_MAX});
    return near.has_below ? near.below.a : 0;
}

uint64_t alloc_memory_bytes(const struct alloc *a)
{
    return sizeof *a + pairtree_memory_bytes(a->by_offset) + pairtree_memory_bytes(a->by_size);
}

bool alloc_any_free(const struct alloc *a, uint64_t offset, uint64_t size)
{
    struct around near = range_around(a, offset);
    return (near.has_below && near.below.offset + near.below.size > offset) ||
           (near.has_above && near.above.offset < offset + size);
}

bool alloc_next_free(const struct alloc *a, uint64_t from, struct alloc_range *range)
{
    struct around near = range_around(a, from);
    if (near.has_below && near.below.offset == from)
        *range = near.below;
    else if (near.has_above)
        *range = near.above;
    else
        return false;
    return true;
}
