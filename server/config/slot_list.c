/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/slot_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

struct reader {
    struct slot_map map;
    uint32_t shards; /* endpoints so far */
    uint8_t own[SLOTS / 8];
    char *error;
    size_t error_size;
};

#define REFUSE(r, ...) (snprintf((r)->error, (r)->error_size, __VA_ARGS__), CENOTE_INVALID)

/* ---- one item -------------------------------------------------------------------------------- */

static bool read_slot(const char **at, uint32_t *slot)
{
    char *end;
    unsigned long v = strtoul(*at, &end, 10);
    if (**at < '0' || **at > '9' || v >= SLOTS)
        return false;
    *slot = (uint32_t)v;
    *at = end;
    return true;
}

/* "3", "0-8191"; "none": first behind last. */
static bool read_range(const char *text, size_t len, uint32_t *first, uint32_t *last)
{
    const char *end = text + len;
    *first = 1;
    *last = 0;
    if (len == strlen("none") && memcmp(text, "none", len) == 0)
        return true;
    if (!read_slot(&text, first))
        return false;
    *last = *first;
    if (*text == '-' && (text++, !read_slot(&text, last)))
        return false;
    return text == end && *first <= *last;
}

/* By its looks: the others' names need not be known yet when the first one starts. */
static bool is_endpoint(const char *text)
{
    const char *port = strrchr(text, ':');
    if (strlen(text) >= TEXT_MAX)
        return false;
    if (strncmp(text, "unix:", 5) == 0)
        return text[5] != '\0';
    return port != NULL && port > text && port[1] != '\0' &&
           port[1 + strspn(port + 1, "0123456789")] == '\0';
}

static int shard_at(struct reader *r, const char *endpoint, uint32_t *shard)
{
    for (*shard = 0; *shard < r->shards; (*shard)++)
        if (strcmp(r->map.endpoints[*shard], endpoint) == 0)
            return CENOTE_OK;
    if (!is_endpoint(endpoint))
        return REFUSE(r, "--shards: '%s' is no endpoint (host:port or unix:PATH)", endpoint);
    if (r->shards == SHARDS_MAX)
        return REFUSE(r, "--shards: at most %u services", SHARDS_MAX);
    snprintf(r->map.endpoints[r->shards++], TEXT_MAX, "%s", endpoint);
    return CENOTE_OK;
}

static int read_shard(struct reader *r, const char *item)
{
    const char *endpoint = strchr(item, '=');
    struct slot_range range;
    if (endpoint == NULL)
        return REFUSE(r, "--shards: '%s' is not SLOTS=ENDPOINT", item);
    if (!read_range(item, (size_t)(endpoint - item), &range.first, &range.last))
        return REFUSE(r, "--shards: '%s' are no slots: FIRST-LAST, from 0 to %u, or none", item,
                      SLOTS - 1);
    int status = shard_at(r, endpoint + 1, &range.shard);
    if (status != CENOTE_OK || range.first > range.last)
        return status;
    if (r->map.range_count == SLOT_RANGES_MAX)
        return REFUSE(r, "--shards: at most %u ranges of slots", SLOT_RANGES_MAX);
    r->map.ranges[r->map.range_count++] = range;
    return CENOTE_OK;
}

static int read_own(struct reader *r, const char *item)
{
    uint32_t first, last;
    if (!read_range(item, strlen(item), &first, &last))
        return REFUSE(r, "--slots: '%s' are no slots: FIRST-LAST, from 0 to %u, or none", item,
                      SLOTS - 1);
    for (uint32_t slot = first; slot <= last; slot++)
        r->own[slot / 8] = (uint8_t)(r->own[slot / 8] | 1u << slot % 8);
    return CENOTE_OK;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static int each_item(struct reader *r, const struct config_list *list,
                     int (*read)(struct reader *r, const char *item))
{
    int status = CENOTE_OK;
    for (size_t i = 0; i < list->count && status == CENOTE_OK; i++)
        status = read(r, list->items[i]);
    return status;
}

static int by_slot(const void *a, const void *b)
{
    const struct slot_range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int check_map(struct reader *r)
{
    uint32_t slot, next = 0;
    qsort(r->map.ranges, r->map.range_count, sizeof r->map.ranges[0], by_slot);
    for (uint32_t i = 0; i < r->map.range_count; i++) {
        if (r->map.ranges[i].first < next)
            return REFUSE(r, "--shards: slot %u has two owners", r->map.ranges[i].first);
        next = r->map.ranges[i].last + 1;
    }
    if (!slot_map_whole(&r->map, &slot))
        return REFUSE(r, "--shards: slot %u has no owner", slot);
    return CENOTE_OK;
}

/* ---- which one is meant ---------------------------------------------------------------------- */

static bool owns_exactly(const struct reader *r, uint32_t shard)
{
    for (uint32_t i = 0; i < r->map.range_count; i++) {
        const struct slot_range *range = &r->map.ranges[i];
        for (uint32_t slot = range->first; slot <= range->last; slot++) {
            bool own = (r->own[slot / 8] >> slot % 8 & 1) != 0;
            if (own != (range->shard == shard))
                return false;
        }
    }
    return true;
}

static int find_own(struct reader *r, uint32_t *shard)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < r->shards; i++) {
        if (!owns_exactly(r, i))
            continue;
        *shard = i;
        found++;
    }
    if (found == 0)
        return REFUSE(r, "--slots: no service has exactly these in --shards");
    if (found > 1)
        return REFUSE(r, "--slots: several services have none in --shards");
    return CENOTE_OK;
}

int slot_list_parse(const struct config_list *shards, const struct config_list *slots,
                    uint64_t epoch, struct slot_list *out, char *error, size_t error_size)
{
    struct reader r = {.error = error, .error_size = error_size, .map = {.epoch = epoch}};
    int status = each_item(&r, shards, read_shard);
    if (status == CENOTE_OK)
        status = check_map(&r);
    if (status == CENOTE_OK)
        status = each_item(&r, slots, read_own);
    if (status == CENOTE_OK)
        status = find_own(&r, &out->shard);
    out->map = r.map;
    return status;
}
