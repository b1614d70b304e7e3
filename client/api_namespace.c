/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions about namespaces; every service has them all. */
#include <cenote/namespace.h>
#include <stdlib.h>
#include <string.h>

#include "client/change_call.h"
#include "client/client.h"
#include "transport/base/log.h"

#define MODULE "client"

/* ---- all services ---------------------------------------------------------------------------- */

struct services {
    struct shards *shards;
    struct shards_entry entries[SHARDS_MAX + 1];
    uint32_t count;
};

/* By the newest map that the home knows. */
static int services_of(struct cenote *client, struct services *out)
{
    uint64_t epoch;
    int status = client_enter_shards(client, &out->shards);

    if (status == CENOTE_OK)
        status = shards_refresh(out->shards, shards_home(out->shards));
    if (status == CENOTE_OK)
        out->count = shards_list(out->shards, out->entries, &epoch);
    return status;
}

/* ---- changes --------------------------------------------------------------------------------- */

struct change {
    struct change_call call; /* first */
    struct space_params params;
};

static void encode_set(const struct change_call *call, uint64_t seq, struct wire_buf *request)
{
    struct space_params params = ((const struct change *)call)->params;
    params.seq = seq;
    wire_put_request(request, 0, METHOD_SPACE_SET);
    space_set_params_put(request, &params);
}

static void encode_remove(const struct change_call *call, uint64_t seq, struct wire_buf *request)
{
    struct space_params params = ((const struct change *)call)->params;
    params.seq = seq;
    wire_put_request(request, 0, METHOD_SPACE_REMOVE);
    space_remove_params_put(request, &params);
}

/* At one service. */
static int change_at(const struct services *all, uint32_t i, const struct change *change)
{
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};
    struct drive *d;
    int status = shards_drive(all->shards, all->entries[i].shard, &d), told = CENOTE_PROTOCOL;

    if (status == CENOTE_OK)
        status = change_run(d, &change->call, &request, &answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    if (!key_status_get(wire_at(answer.msg.result, 0), &told))
        log_error(MODULE, "the answer about namespace %s is malformed", change->params.name);
    rpc_answer_free(&answer);
    return told;
}

/* What is the matter already (CENOTE_EXISTS, CENOTE_NOT_FOUND) is no error, unless it is at all of
 * them. */
static int change_all(const struct services *all, const struct change *change, int already)
{
    int status = CENOTE_OK;
    uint32_t those = 0;

    for (uint32_t i = 0; status == CENOTE_OK && i < all->count; i++) {
        status = change_at(all, i, change);
        if (status == already) {
            those++;
            status = CENOTE_OK;
        }
    }
    return status == CENOTE_OK && those == all->count ? already : status;
}

static int begin(struct cenote *client, const char *name,
                 const struct cenote_namespace_settings *settings, struct services *all,
                 struct change *change)
{
    static const struct cenote_namespace_settings none;

    if (!client || !client_name_valid(name))
        return CENOTE_INVALID;
    if (!settings)
        settings = &none;
    if (settings->ttl_ms > KEEP_TTL_MAX_MS)
        return CENOTE_INVALID;
    *change =
        (struct change){.call = {encode_set},
                        .params = {.settings = {.quota_bytes = settings->quota_bytes,
                                                .quota_objects = settings->quota_objects,
                                                .ttl_ms = settings->ttl_ms,
                                                .pin_limit_bytes = settings->pin_limit_bytes}}};
    memcpy(change->params.name, name, strlen(name) + 1);
    return services_of(client, all);
}

int cenote_namespace_create(struct cenote *client, const char *name,
                            const struct cenote_namespace_settings *settings)
{
    struct services all;
    struct change change;
    int status = begin(client, name, settings, &all, &change);
    uint32_t made = 0, there = 0;

    change.params.flags = SPACE_SET_CREATE;
    for (uint32_t i = 0; status == CENOTE_OK && i < all.count; i++) {
        status = change_at(&all, i, &change);
        made += status == CENOTE_OK;
        there += status == CENOTE_EXISTS;
        status = status == CENOTE_EXISTS ? CENOTE_OK : status;
    }
    if (status != CENOTE_OK || there == 0)
        return status;
    if (made == 0)
        return CENOTE_EXISTS;
    change.params.flags = 0; /* some had it: now all have it like this */
    return change_all(&all, &change, CENOTE_NOT_FOUND);
}

int cenote_namespace_set(struct cenote *client, const char *name,
                         const struct cenote_namespace_settings *settings)
{
    struct services all;
    struct change change;
    int status = begin(client, name, settings, &all, &change);

    return status == CENOTE_OK ? change_all(&all, &change, CENOTE_NOT_FOUND) : status;
}

int cenote_namespace_remove(struct cenote *client, const char *name)
{
    struct services all;
    struct change change;
    int status = begin(client, name, NULL, &all, &change);

    change.call.encode = encode_remove;
    return status == CENOTE_OK ? change_all(&all, &change, CENOTE_NOT_FOUND) : status;
}

/* ---- the list -------------------------------------------------------------------------------- */

struct listing {
    struct cenote_namespace *spaces;
    size_t count, room;
};

static uint64_t excess(uint64_t used, uint64_t quota)
{
    return quota > 0 && used > quota ? used - quota : 0;
}

static struct cenote_namespace *find(struct listing *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->spaces[i].name, name) == 0)
            return &l->spaces[i];
    }
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 16;
        struct cenote_namespace *grown = realloc(l->spaces, room * sizeof *grown);
        if (!grown)
            return NULL;
        l->spaces = grown;
        l->room = room;
    }
    l->spaces[l->count] = (struct cenote_namespace){0};
    return &l->spaces[l->count++];
}

static int take(struct listing *l, const struct space_item *item)
{
    const struct space_settings *s = &item->settings;
    struct cenote_namespace *space = find(l, item->name);

    if (!space)
        return CENOTE_NO_MEMORY;
    if (space->services++ == 0) {
        memcpy(space->name, item->name, sizeof space->name);
        space->settings = (struct cenote_namespace_settings){s->quota_bytes, s->quota_objects,
                                                             s->ttl_ms, s->pin_limit_bytes};
    }
    space->used_bytes += item->use.bytes;
    space->used_objects += item->use.objects;
    space->pinned_bytes += item->use.pinned_bytes;
    space->excess_bytes += excess(item->use.bytes, s->quota_bytes);
    space->excess_objects += excess(item->use.objects, s->quota_objects);
    return CENOTE_OK;
}

static int take_all(struct listing *l, struct wire_value result)
{
    struct space_item item;
    uint32_t count;
    int status = CENOTE_OK;

    if (!wire_array(result, &count))
        return CENOTE_PROTOCOL;
    for (uint32_t i = 0; status == CENOTE_OK && i < count; i++)
        status = space_item_get(wire_at(result, i), &item) ? take(l, &item) : CENOTE_PROTOCOL;
    return status;
}

static int list_at(const struct services *all, uint32_t i, struct listing *l)
{
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};
    struct drive *d;
    int status = shards_drive(all->shards, all->entries[i].shard, &d);

    if (status != CENOTE_OK)
        return status;
    wire_put_request(&request, 0, METHOD_NAMESPACES);
    wire_put_array(&request, 0);
    status = drive_ask(d, &request, &answer);
    wire_buf_free(&request);
    if (status != CENOTE_OK)
        return status;
    status = take_all(l, answer.msg.result);
    rpc_answer_free(&answer);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct cenote_namespace *)a)->name,
                  ((const struct cenote_namespace *)b)->name);
}

int cenote_namespaces(struct cenote *client, struct cenote_namespace **list, size_t *count)
{
    struct listing l = {0};
    struct services all;
    int status = list && count ? services_of(client, &all) : CENOTE_INVALID;

    for (uint32_t i = 0; status == CENOTE_OK && i < all.count; i++)
        status = list_at(&all, i, &l);
    if (status != CENOTE_OK) {
        free(l.spaces);
        return status;
    }
    if (l.count > 0)
        qsort(l.spaces, l.count, sizeof *l.spaces, by_name);
    *list = l.spaces;
    *count = l.count;
    return CENOTE_OK;
}

/* ---- removing many --------------------------------------------------------------------------- */

/* Of one page. What is gone meanwhile is what we wanted. */
static int remove_page(struct cenote *client, const struct cenote_list *page,
                       struct cenote_key *keys, int *statuses, uint64_t *removed)
{
    int first = CENOTE_OK;

    for (size_t i = 0; i < page->count; i++)
        keys[i] = page->entries[i].key;
    (void)cenote_remove(client, keys, page->count, statuses);
    for (size_t i = 0; i < page->count; i++) {
        *removed += statuses[i] == CENOTE_OK;
        if (first == CENOTE_OK && statuses[i] != CENOTE_NOT_FOUND)
            first = statuses[i];
    }
    return first;
}

int cenote_remove_prefix(struct cenote *client, const void *prefix, size_t prefix_len_bytes,
                         uint64_t *removed)
{
    struct cenote_key *keys = calloc(LIST_LIMIT_MAX, sizeof *keys);
    int *statuses = calloc(LIST_LIMIT_MAX, sizeof *statuses);
    int status = keys && statuses ? CENOTE_OK : CENOTE_NO_MEMORY;
    struct cenote_list page = {.more = true};
    uint64_t count = 0;

    while (status == CENOTE_OK && page.more) {
        status = cenote_list(client, prefix, prefix_len_bytes, &page);
        if (status == CENOTE_OK)
            status = remove_page(client, &page, keys, statuses, &count);
    }
    cenote_list_free(&page);
    free(keys);
    free(statuses);
    if (removed)
        *removed = count;
    return status;
}

static bool is_there(const struct cenote_namespace *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Through a client in that namespace; opening one in a namespace that isn't there would make it. */
int cenote_namespace_clear(struct cenote *client, const char *name, uint64_t *removed)
{
    struct cenote_namespace *list;
    struct cenote *within;
    size_t count;

    if (removed)
        *removed = 0;
    if (!client || !client_name_valid(name))
        return CENOTE_INVALID;
    int status = cenote_namespaces(client, &list, &count);
    if (status != CENOTE_OK)
        return status;
    status = is_there(list, count, name) ? CENOTE_OK : CENOTE_NOT_FOUND;
    free(list);
    if (status == CENOTE_OK)
        status = client_open_within(client, name, &within);
    if (status != CENOTE_OK)
        return status;
    status = cenote_remove_prefix(within, NULL, 0, removed);
    cenote_close(&within);
    return status;
}
