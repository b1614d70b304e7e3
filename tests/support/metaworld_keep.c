/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the world that say how values are kept, and look after namespaces. */
#include <assert.h>
#include <string.h>

#include "tests/support/metaworld.h"

/* ---- how values are kept ---- */

int client_put_start_kept(struct end *e, const char *key, uint64_t len, unsigned flags,
                          const struct keep *keep, struct put_start_item *item)
{
    struct wire_buf b;
    struct answer *a;
    uint32_t msgid = end_request(e, &b, METHOD_PUT_START);
    put_start_kept_put(&b, ++e->seq, flags, 1);
    put_start_key_put(&b, key, strlen(key), len);
    keep_put(&b, keep);
    int status = end_ask(e, &b, msgid, &a);
    if (status != CENOTE_OK)
        return status;
    bool good = put_start_item_get(wire_at(a->msg.result, 0), item);
    assert(good);
    answer_drop(e, a);
    return item->status;
}

int client_put_kept(struct end *e, const char *key, uint64_t len, unsigned flags,
                    const struct keep *keep)
{
    struct put_start_item item;
    int status = client_put_start_kept(e, key, len, flags, keep, &item);
    return status == CENOTE_OK ? client_commit(e, &item, EXTENT_VISIBLE) : status;
}

uint32_t client_keep_send(struct end *e, const char *key, const struct keep *keep, unsigned fields)
{
    struct wire_buf b;
    uint32_t msgid = end_request(e, &b, METHOD_KEEP);
    keep_params_put(&b, ++e->seq, 1);
    wire_put_bin(&b, key, strlen(key));
    keep_put(&b, keep);
    wire_put_uint(&b, fields);
    end_send(e, &b);
    return msgid;
}

int client_keep(struct end *e, const char *key, const struct keep *keep, unsigned fields)
{
    uint32_t msgid = client_keep_send(e, key, keep, fields);
    world_run(e->world);
    return client_remove_status(e, msgid);
}

int client_kept(struct end *e, const char *key, struct keep *keep)
{
    struct lookup_item item;
    struct wire_buf b;
    struct answer *a;
    uint32_t msgid = end_request(e, &b, METHOD_STAT);
    keys_params_put(&b, 1);
    wire_put_bin(&b, key, strlen(key));
    int status = end_ask(e, &b, msgid, &a);
    assert(status == CENOTE_OK);
    struct wire_value v = wire_at(a->msg.result, 0);
    bool good = stat_item_get(v, &item) && (item.status != CENOTE_OK || stat_keep_get(v, keep));
    assert(good);
    answer_drop(e, a);
    return item.status;
}

/* ---- namespaces ---- */

static uint32_t space_send(struct end *e, const char *method, const char *name,
                           const struct space_settings *settings, unsigned flags)
{
    struct wire_buf b;
    struct space_params p = {.seq = ++e->seq, .flags = flags};
    uint32_t msgid = end_request(e, &b, method);
    strncpy(p.name, name, CENOTE_NAMESPACE_MAX);
    if (settings == NULL) {
        space_remove_params_put(&b, &p);
    } else {
        p.settings = *settings;
        space_set_params_put(&b, &p);
    }
    end_send(e, &b);
    return msgid;
}

uint32_t client_space_set_send(struct end *e, const char *name,
                               const struct space_settings *settings, unsigned flags)
{
    return space_send(e, METHOD_SPACE_SET, name, settings, flags);
}

int client_space_set(struct end *e, const char *name, const struct space_settings *settings,
                     unsigned flags)
{
    uint32_t msgid = client_space_set_send(e, name, settings, flags);
    world_run(e->world);
    return client_remove_status(e, msgid);
}

uint32_t client_space_remove_send(struct end *e, const char *name)
{
    return space_send(e, METHOD_SPACE_REMOVE, name, NULL, 0);
}

int client_space_remove(struct end *e, const char *name)
{
    uint32_t msgid = client_space_remove_send(e, name);
    world_run(e->world);
    return client_remove_status(e, msgid);
}

bool client_space(struct end *e, const char *name, struct space_item *out)
{
    struct wire_buf b;
    struct answer *a;
    uint32_t count = 0;
    uint32_t msgid = end_request(e, &b, METHOD_NAMESPACES);
    wire_put_array(&b, 0);
    int status = end_ask(e, &b, msgid, &a);
    bool found = false, good = status == CENOTE_OK && wire_array(a->msg.result, &count);
    for (uint32_t i = 0; good && !found && i < count; i++) {
        good = space_item_get(wire_at(a->msg.result, i), out);
        found = good && strcmp(out->name, name) == 0;
    }
    assert(good);
    answer_drop(e, a);
    return found;
}
