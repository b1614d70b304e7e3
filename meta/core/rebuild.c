/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/rebuild.h"

#include <stdlib.h>
#include <string.h>

#include "meta/core/rebuild_nodes.h"
#include "meta/core/recover.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"

void rebuild_fail(struct core *c, int status, const char *what)
{
    struct rebuild *r = &c->rebuild;
    if (r->phase == REBUILD_FAILED)
        return;
    r->phase = REBUILD_FAILED;
    r->status = status;
    log_error("meta", "the rebuild has failed, %s: %s; put that right and start it again", what,
              cenote_status_text(status));
}

static void draft_u64(struct core *c, const char *name, uint64_t v)
{
    uint8_t value[8];
    struct bytes b = bytes_over(value, sizeof(value));
    bytes_put_u64(&b, v);
    change_put(&c->changes, STORE_META, name, strlen(name), value, sizeof(value));
}

/* ---- the start ---- */

static void marked(struct change *ch, int status)
{
    struct rebuild *r = container_of(ch, struct rebuild, change);
    struct core *c = container_of(r, struct core, rebuild);
    if (status == CENOTE_OK) {
        r->phase = REBUILD_GATHERING;
        r->began_ms = r->told_ms = c->now_ms;
        log_warn("meta", "rebuild: waiting for nodes; clients are not served until it is over");
    }
    r->started(r->recover, status);
}

int rebuild_start(struct core *c, struct recover *recover)
{
    const void *value;
    uint32_t len;
    struct rebuild *r = &c->rebuild;
    struct store *store = c->changes.store;
    int status = store->ops->get(store, STORE_META, "format", 6, &value, &len);
    if (status == CENOTE_OK) {
        log_error("meta", "a rebuild begins with an empty store");
        return CENOTE_INVALID;
    }
    if (status != CENOTE_NOT_FOUND)
        return status;
    r->recover = recover;
    r->started = recover->done;
    draft_u64(c, REBUILD_VALUE_MARK, 1);
    if (c->changes.no_memory)
        return CENOTE_NO_MEMORY;
    r->change.done = marked;
    change_submit(&c->changes, &r->change, CHANGE_SYNC);
    return CENOTE_OK;
}

int rebuild_check(struct core *c)
{
    const void *value;
    uint32_t len;
    struct store *store = c->changes.store;
    int status = store->ops->get(store, STORE_META, REBUILD_VALUE_MARK, strlen(REBUILD_VALUE_MARK),
                                 &value, &len);
    if (status == CENOTE_NOT_FOUND || rebuild_under_way(&c->rebuild))
        return CENOTE_OK;
    if (status == CENOTE_OK) {
        log_error("meta", "a rebuild of this database was not finished: start it again, with "
                          "--rebuild");
        status = CENOTE_UNTRUSTED;
    }
    return status;
}

/* ---- who is there ---- */

static uint32_t count_there(const struct rebuild *r, bool *contents)
{
    uint32_t count = 0;
    *contents = false;
    list_each(&r->candidates, l)
    {
        const struct candidate *k = container_of(l, struct candidate, link);
        if (!rebuild_is_there(k) || !rebuild_own_pool(r, k))
            continue;
        count++;
        for (uint32_t i = 0; i < k->params.segment_count; i++)
            *contents |= k->params.segments[i].incarnation != 0;
    }
    return count;
}

static void tell_missing(struct core *c, const char *what)
{
    const char *names[REBUILD_NAMES_MAX];
    bool contents;
    uint32_t missing = rebuild_missing(c, names, REBUILD_NAMES_MAX);
    log_warn("meta", "rebuild: %s; %u nodes are there, %u that they know are not", what,
             count_there(&c->rebuild, &contents), missing);
    for (uint32_t i = 0; i < missing && i < REBUILD_NAMES_MAX; i++)
        log_warn("meta", "rebuild: node %s is missing", names[i]);
}

/* ---- naming ---- */

/* Above all that was ever given, as far as anybody knows, and some more. */
static uint64_t first_address(const struct core *c)
{
    uint64_t first, end, next = c->rebuild.notes_gva;
    slot_gva_part(c->shard.map.epoch, c->shard.number, &first, &end);
    uint64_t room = (end - first) / REBUILD_GVA_PART / GVA_ALIGN * GVA_ALIGN;
    if (next < first)
        next = first;
    next = (next + GVA_ALIGN - 1) / GVA_ALIGN * GVA_ALIGN;
    return next <= end && room <= end - next ? next + room : next;
}

static void named(struct recover *recover, int status)
{
    struct core *c = recover->core;
    struct rebuild *r = &c->rebuild;
    if (status != CENOTE_OK) {
        rebuild_fail(c, status, "the service can't start on what its nodes know");
        return;
    }
    r->phase = REBUILD_READING;
    r->horizon = c->ids.reign << IDS_COUNT_BITS;
    log_info("meta", "rebuild: reign %llu", (unsigned long long)c->ids.reign);
    list_each(&r->candidates, l)
    {
        struct candidate *k = container_of(l, struct candidate, link);
        if (rebuild_is_there(k))
            rebuild_pass_on(k);
    }
}

static void noted(struct change *ch, int status)
{
    struct rebuild *r = container_of(ch, struct rebuild, change);
    r->recover->done = named;
    if (status == CENOTE_OK)
        status = recover_run(r->recover);
    if (status != CENOTE_OK)
        named(r->recover, status);
}

static void name(struct core *c)
{
    struct rebuild *r = &c->rebuild;
    uint64_t reign = r->notes_reign + REBUILD_REIGNS - 1; /* the start takes one more */
    r->phase = REBUILD_NAMING;
    if (reign >= IDS_REIGN_MAX) {
        rebuild_fail(c, CENOTE_LIMIT, "there is no higher reign");
        return;
    }
    rebuild_draft_notes(c);
    draft_u64(c, "reign", reign);
    draft_u64(c, "gva", first_address(c));
    draft_u64(c, REBUILD_VALUE_SETTLE, (reign + 1) << IDS_COUNT_BITS);
    r->change.done = noted;
    change_submit(&c->changes, &r->change, CHANGE_SYNC);
}

static void gather(struct core *c)
{
    struct rebuild *r = &c->rebuild;
    bool contents;
    uint32_t there = count_there(r, &contents), wanted = c->options.rebuild_nodes;
    uint64_t waited_ms = c->now_ms - r->began_ms;
    bool enough = wanted > 0 ? there >= wanted
                             : waited_ms >= REBUILD_LEAST_MS && rebuild_missing(c, NULL, 0) == 0;
    bool late = waited_ms >= c->options.rebuild_wait_ms;
    bool secret = r->has_key || !contents; /* without the pool's key no node believes us */
    if (there > 0 && secret && (enough || late)) {
        tell_missing(c, "it begins");
        name(c);
    } else if (c->now_ms - r->told_ms >= REBUILD_TELL_MS) {
        r->told_ms = c->now_ms;
        tell_missing(c, secret ? "waiting for nodes"
                               : "no node knows the secrets of the pool: waiting for one");
    }
}

/* ---- the end ---- */

static void over(struct change *ch, int status)
{
    struct rebuild *r = container_of(ch, struct rebuild, change);
    struct core *c = container_of(r, struct core, rebuild);
    const struct rebuild_counts *n = &r->counts;
    if (status != CENOTE_OK) {
        rebuild_fail(c, status, "its end can't be stored");
        return;
    }
    r->phase = REBUILD_OFF;
    r->done = true;
    c->members.sweeping = true;
    notes_changed(c, true);
    log_warn("meta",
             "rebuild: over. %llu values with %llu bytes are back, from %llu entries of %llu nodes",
             (unsigned long long)n->objects, (unsigned long long)n->bytes,
             (unsigned long long)n->entries, (unsigned long long)n->nodes);
    log_warn("meta",
             "rebuild: left out %llu entries without a live seal, %llu strange ones, %llu values "
             "that were replaced, %llu without all of their stripes",
             (unsigned long long)n->left_out, (unsigned long long)n->strange,
             (unsigned long long)n->older, (unsigned long long)n->incomplete);
}

static void end(struct core *c)
{
    struct rebuild *r = &c->rebuild;
    if (r->change.in_flight || !rebuild_end_step(c))
        return;
    int status = shard_check_objects(c);
    if (status != CENOTE_OK) {
        rebuild_fail(c, status, "values lie in slots of other services");
        return;
    }
    change_remove(&c->changes, STORE_META, REBUILD_VALUE_MARK, strlen(REBUILD_VALUE_MARK));
    r->change.done = over;
    change_submit(&c->changes, &r->change, CHANGE_SYNC | CHANGE_FREES);
}

void rebuild_tick(struct core *c)
{
    struct rebuild *r = &c->rebuild;
    if (r->phase == REBUILD_GATHERING)
        gather(c);
    if (r->phase == REBUILD_READING && rebuild_all_read(c))
        r->phase = REBUILD_ENDING;
    if (r->phase == REBUILD_ENDING)
        end(c);
    rebuild_settle_tick(c);
}

void rebuild_free(struct core *c)
{
    struct link *l;
    while ((l = list_pop(&c->rebuild.candidates)) != NULL)
        free(container_of(l, struct candidate, link));
    rebuild_free_notes(&c->rebuild);
}
