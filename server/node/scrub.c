/* SPDX-License-Identifier: Apache-2.0 */
#include "server/node/scrub.h"

#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"
#include "transport/base/sums.h"
#include "transport/base/testswitch.h"

/* Time that wasn't used is lost beyond this. */
#define SAVED_MS 200u

struct scrub {
    const struct node *node;
    uint64_t bytes_per_s;
    uint64_t then_ms;             /* of the last step; 0: none yet */
    uint64_t budget;              /* bytes */
    uint64_t looked_at;           /* bytes, ever */
    uint64_t cursor;              /* of the directory */
    struct sums *sums;            /* of the extent that is being looked at; NULL: none is */
    struct directory_entry entry; /* its key isn't valid */
    uint64_t done_bytes;          /* of its payload */
    /* of the round */
    uint64_t extents, bytes, bad;
};

struct scrub *scrub_new(const struct node *n, uint64_t bytes_per_s)
{
    struct scrub *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->node = n;
    s->bytes_per_s = bytes_per_s;
    return s;
}

void scrub_free(struct scrub *s)
{
    if (!s)
        return;
    sums_free(s->sums);
    free(s);
}

uint64_t scrub_bytes(const struct scrub *s)
{
    return s->looked_at;
}

static void earn(struct scrub *s, uint64_t now_ms)
{
    uint64_t passed_ms = s->then_ms == 0 || now_ms < s->then_ms ? 0 : now_ms - s->then_ms;
    if (passed_ms > SAVED_MS)
        passed_ms = SAVED_MS;
    s->then_ms = now_ms;
    s->budget += s->bytes_per_s / 1000 * passed_ms + s->bytes_per_s % 1000 * passed_ms / 1000;
    uint64_t most = s->bytes_per_s / 1000 * SAVED_MS + SCRUB_EXTENT_COST;
    if (most > SCRUB_STEP_BYTES)
        most = SCRUB_STEP_BYTES;
    if (s->budget > most)
        s->budget = most;
}

static void spend(struct scrub *s, uint64_t bytes)
{
    s->budget -= bytes < s->budget ? bytes : s->budget;
}

static void end_round(struct scrub *s)
{
    if (s->extents > 0)
        LOG_AT(s->bad > 0 ? LOG_WARN : LOG_DEBUG, "node",
               "scrub: %llu extents, %llu bytes looked at, %llu of them damaged",
               (unsigned long long)s->extents, (unsigned long long)s->bytes,
               (unsigned long long)s->bad);
    s->cursor = s->extents = s->bytes = s->bad = 0;
}

/* Of what isn't summed only the seal is looked at. False: nothing to look at for now. */
static bool begin_extent(struct scrub *s)
{
    const struct directory *d = node_directory_of(s->node);
    if (!directory_next(d, &s->cursor, &s->entry)) {
        end_round(s);
        return false;
    }
    s->sums = sums_new(s->entry.sum_kind == SUM_NONE ? 0 : s->entry.payload_len);
    s->done_bytes = s->entry.sum_kind == SUM_NONE ? s->entry.payload_len : 0;
    spend(s, SCRUB_EXTENT_COST);
    return s->sums != NULL;
}

static bool is_still_there(const struct scrub *s)
{
    struct directory_entry now;
    return directory_find(node_directory_of(s->node), s->entry.gva, &now) &&
           now.put_id == s->entry.put_id;
}

/* The list of sums lies behind the payload where there are two or more. */
static bool list_is_good(const struct scrub *s, const uint8_t *extent)
{
    uint64_t len = extent_sums_size(s->entry.payload_len);
    return len == 0 || s->entry.sum_kind == SUM_NONE ||
           hash_xxh3(extent + extent_sums_offset(s->entry.payload_len), len) == s->entry.root;
}

/* False: it is damaged. */
static bool end_extent(struct scrub *s, const uint8_t *extent)
{
    bool good = (s->entry.sum_kind == SUM_NONE || sums_root(s->sums) == s->entry.root) &&
                list_is_good(s, extent) && node_seal_matches(s->node, &s->entry);
    sums_free(s->sums);
    s->sums = NULL;
    s->extents++;
    s->bytes += s->entry.payload_len;
    if (good || test_off(TEST_SCRUB))
        return true;
    s->bad++;
    log_error("node", "scrub: the extent at 0x%llx of put %llx is damaged",
              (unsigned long long)s->entry.gva.v, (unsigned long long)s->entry.put_id);
    return false;
}

static void sum_some(struct scrub *s, const uint8_t *extent)
{
    uint64_t left = s->entry.payload_len - s->done_bytes;
    uint64_t part = left < s->budget ? left : s->budget;
    sums_update(s->sums, extent + s->done_bytes, part);
    s->done_bytes += part;
    s->looked_at += part;
    spend(s, part);
}

bool scrub_step(struct scrub *s, uint64_t now_ms, struct scrub_bad *bad)
{
    earn(s, now_ms);
    while (s->budget > 0 && s->bytes_per_s > 0 && node_directory_of(s->node)) {
        if (!s->sums && !begin_extent(s))
            return false;
        const uint8_t *extent = node_extent_at(s->node, s->entry.gva, s->entry.payload_len);
        if (!extent || !is_still_there(s)) {
            sums_free(s->sums);
            s->sums = NULL;
            continue;
        }
        sum_some(s, extent);
        if (s->done_bytes < s->entry.payload_len || end_extent(s, extent))
            continue;
        *bad = (struct scrub_bad){s->entry.gva, s->entry.put_id};
        return true;
    }
    return false;
}
