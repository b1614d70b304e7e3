/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/spaces.h"

#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"

#define SPACE_FORMAT      2u
#define SPACE_FORMAT_BARE 1u /* the same without settings */
#define SPACE_RECORD_MAX  (34 + CENOTE_NAMESPACE_MAX + HASH_KEY_BYTES)
/* In the store's named values: the last number that was given to a namespace which is gone. */
#define LAST_ID           "space_id"

bool spaces_name_valid(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= CENOTE_NAMESPACE_MAX && strspn(name, letters) == len;
}

struct hash128 space_hash(const struct space *s, const void *key, size_t key_len)
{
    return hash_siphash128(&s->key, key, key_len);
}

struct space *space_by_name(const struct core *c, const char *name)
{
    list_each(&c->spaces.list, l)
    {
        struct space *s = container_of(l, struct space, link);
        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

struct space *spaces_by_id(const struct core *c, uint32_t id)
{
    struct space *s = c->spaces.by_id[id % SPACE_BUCKETS];
    while (s != NULL && s->id != id)
        s = s->by_id;
    return s != NULL && s->durable ? s : NULL;
}

static struct space *add(struct core *c, uint32_t id, const char *name)
{
    struct space *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->id = id;
    s->core = c;
    strncpy(s->name, name, sizeof(s->name) - 1);
    s->slot_seed = slot_seed(s->name);
    policy_init(&s->evict.queue);
    policy_init(&s->evict.soft);
    list_append(&c->spaces.list, &s->link);
    s->by_id = c->spaces.by_id[id % SPACE_BUCKETS];
    c->spaces.by_id[id % SPACE_BUCKETS] = s;
    c->spaces.count++;
    if (id > c->spaces.last_id)
        c->spaces.last_id = id;
    return s;
}

static void space_free(struct space *s)
{
    policy_free(&s->evict.queue);
    policy_free(&s->evict.soft);
    free(s);
}

void space_drop(struct core *c, struct space *s)
{
    struct space **at = &c->spaces.by_id[s->id % SPACE_BUCKETS];
    while (*at != s)
        at = &(*at)->by_id;
    *at = s->by_id;
    if (c->evict.most == s)
        c->evict.most = NULL;
    link_remove(&s->link);
    c->spaces.count--;
    space_free(s);
}

int space_make(struct core *c, const char *name, struct space **out)
{
    if (c->spaces.count >= SPACES_MAX || c->spaces.last_id == UINT32_MAX)
        return CENOTE_LIMIT;
    struct space *s = add(c, c->spaces.last_id + 1, name);
    if (s == NULL)
        return CENOTE_NO_MEMORY;
    c->env.random(c->env.arg, s->key.b, sizeof(s->key.b));
    *out = s;
    return CENOTE_OK;
}

void space_settled(struct list *waiters, int status, struct space *s)
{
    struct link *l;
    while ((l = list_pop(waiters)) != NULL) {
        struct space_wait *w = container_of(l, struct space_wait, link);
        w->done(w, status, s);
    }
}

/* ---- the record ---- */

struct space_key {
    uint8_t b[4];
};

static struct space_key key_of(const struct space *s)
{
    struct space_key key;
    struct bytes b = bytes_over(key.b, sizeof(key.b));
    bytes_put_u32(&b, s->id);
    return key;
}

void space_draft(struct core *c, const struct space *s, const struct space_settings *settings)
{
    uint8_t record[SPACE_RECORD_MAX];
    struct space_key key = key_of(s);
    struct bytes b = bytes_over(record, sizeof(record));
    bytes_put_u8(&b, SPACE_FORMAT);
    bytes_put(&b, s->key.b, sizeof(s->key.b));
    bytes_put_u8(&b, (uint8_t)strlen(s->name));
    bytes_put(&b, s->name, strlen(s->name));
    bytes_put_u64(&b, settings->quota_bytes);
    bytes_put_u64(&b, settings->quota_objects);
    bytes_put_u64(&b, settings->ttl_ms);
    bytes_put_u64(&b, settings->pin_limit_bytes);
    change_put(&c->changes, STORE_NAMESPACES, key.b, sizeof(key.b), record,
               (size_t)(b.at - record));
}

void space_draft_removed(struct core *c, const struct space *s)
{
    uint8_t last[4];
    struct space_key key = key_of(s);
    struct bytes b = bytes_over(last, sizeof(last));
    bytes_put_u32(&b, c->spaces.last_id);
    change_remove(&c->changes, STORE_NAMESPACES, key.b, sizeof(key.b));
    change_put(&c->changes, STORE_META, LAST_ID, strlen(LAST_ID), last, sizeof(last));
}

/* ---- for a session ---- */

static void made(struct change *ch, int status)
{
    struct space *s = container_of(ch, struct space, change);
    struct core *c = s->core;
    struct list waiters = {0};
    list_move_all(&waiters, &s->waiters);
    s->durable = status == CENOTE_OK;
    s->busy = false;
    if (status == CENOTE_OK) {
        notes_changed(c, true);
    } else {
        space_drop(c, s);
        s = NULL;
    }
    space_settled(&waiters, status, s);
}

void spaces_get(struct core *c, const char *name, struct space_wait *w)
{
    struct space *s = space_by_name(c, name);
    if (s != NULL && s->durable && !s->removing) {
        w->done(w, CENOTE_OK, s);
        return;
    }
    if (s == NULL) {
        int status = space_make(c, name, &s);
        if (status != CENOTE_OK) {
            w->done(w, status, NULL);
            return;
        }
        space_draft(c, s, &s->settings);
        s->busy = true;
        s->change.done = made;
        change_submit(&c->changes, &s->change, CHANGE_SYNC);
    }
    list_append(&s->waiters, &w->link);
}

/* ---- the start ---- */

struct load {
    struct core *core;
    int status;
};

static bool load_one(void *arg, const void *key, uint32_t key_len, const void *value,
                     uint32_t value_len)
{
    struct load *load = arg;
    struct bytes k = bytes_over_const(key, key_len), b = bytes_over_const(value, value_len);
    char name[CENOTE_NAMESPACE_MAX + 1] = {0};
    struct hash_key secret;
    uint32_t id = bytes_get_u32(&k);
    uint8_t format = bytes_get_u8(&b);
    bytes_get(&b, secret.b, sizeof(secret.b));
    size_t len = bytes_get_u8(&b);
    if (len <= CENOTE_NAMESPACE_MAX)
        bytes_get(&b, name, len);
    struct space_settings settings = {0};
    if (format == SPACE_FORMAT)
        settings = (struct space_settings){.quota_bytes = bytes_get_u64(&b),
                                           .quota_objects = bytes_get_u64(&b),
                                           .ttl_ms = bytes_get_u64(&b),
                                           .pin_limit_bytes = bytes_get_u64(&b)};
    bool known = format == SPACE_FORMAT || format == SPACE_FORMAT_BARE;
    if (!known || !bytes_ok(&b) || !bytes_ok(&k) || !spaces_name_valid(name)) {
        log_error("meta", "the record of namespace %u can't be read", (unsigned)id);
        load->status = CENOTE_IO;
        return false;
    }
    struct space *s = add(load->core, id, name);
    if (s == NULL) {
        load->status = CENOTE_NO_MEMORY;
        return false;
    }
    s->key = secret;
    s->settings = settings;
    s->durable = true;
    return true;
}

/* None was removed yet, or: so far went their numbers. */
static int load_last_id(struct core *c)
{
    struct store *store = c->changes.store;
    const void *value;
    uint32_t len;
    int status =
        store->ops->get(store, STORE_META, LAST_ID, (uint32_t)strlen(LAST_ID), &value, &len);
    if (status != CENOTE_OK)
        return status == CENOTE_NOT_FOUND ? CENOTE_OK : status;
    struct bytes b = bytes_over_const(value, len);
    c->spaces.last_id = bytes_get_u32(&b);
    return bytes_ok(&b) ? CENOTE_OK : CENOTE_IO;
}

int spaces_load(struct core *c)
{
    struct load load = {.core = c, .status = CENOTE_OK};
    struct store *store = c->changes.store;
    int status = load_last_id(c);
    if (status == CENOTE_OK)
        status = store->ops->scan(store, STORE_NAMESPACES, "", 0, load_one, &load);
    return status != CENOTE_OK ? status : load.status;
}

void spaces_free(struct core *c)
{
    struct link *l;
    while ((l = list_pop(&c->spaces.list)) != NULL)
        space_free(container_of(l, struct space, link));
}
