/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/spaces.h"

#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"

#define SPACE_FORMAT     1u
#define SPACE_RECORD_MAX (2 + CENOTE_NAMESPACE_MAX + HASH_KEY_BYTES)

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

static struct space *by_name(const struct core *c, const char *name)
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
    return s;
}

static void space_free(struct space *s)
{
    policy_free(&s->evict.queue);
    policy_free(&s->evict.soft);
    free(s);
}

static void drop(struct core *c, struct space *s)
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

static void made(struct change *ch, int status)
{
    struct space *s = container_of(ch, struct space, change);
    struct core *c = s->core;
    struct list waiters = {0};
    list_move_all(&waiters, &s->waiters);
    s->durable = status == CENOTE_OK;
    if (status == CENOTE_OK)
        notes_changed(c, true);
    else
        drop(c, s);
    struct link *l;
    while ((l = list_pop(&waiters)) != NULL) {
        struct space_wait *w = container_of(l, struct space_wait, link);
        w->done(w, status, status == CENOTE_OK ? s : NULL);
    }
}

static void make_durable(struct core *c, struct space *s)
{
    uint8_t id[4], record[SPACE_RECORD_MAX];
    struct bytes k = bytes_over(id, sizeof(id)), b = bytes_over(record, sizeof(record));
    bytes_put_u32(&k, s->id);
    bytes_put_u8(&b, SPACE_FORMAT);
    bytes_put(&b, s->key.b, sizeof(s->key.b));
    bytes_put_u8(&b, (uint8_t)strlen(s->name));
    bytes_put(&b, s->name, strlen(s->name));
    change_put(&c->changes, STORE_NAMESPACES, id, sizeof(id), record, (size_t)(b.at - record));
    s->change.done = made;
    change_submit(&c->changes, &s->change, CHANGE_SYNC);
}

static uint32_t next_id(const struct core *c)
{
    uint32_t id = 1;
    list_each(&c->spaces.list, l)
    {
        const struct space *s = container_of(l, struct space, link);
        id = s->id >= id ? s->id + 1 : id;
    }
    return id;
}

void spaces_get(struct core *c, const char *name, struct space_wait *w)
{
    struct space *s = by_name(c, name);
    if (s != NULL && s->durable) {
        w->done(w, CENOTE_OK, s);
        return;
    }
    if (s == NULL) {
        if (c->spaces.count >= SPACES_MAX) {
            w->done(w, CENOTE_LIMIT, NULL);
            return;
        }
        s = add(c, next_id(c), name);
        if (s == NULL) {
            w->done(w, CENOTE_NO_MEMORY, NULL);
            return;
        }
        c->env.random(c->env.arg, s->key.b, sizeof(s->key.b));
        make_durable(c, s);
    }
    list_append(&s->waiters, &w->link);
}

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
    if (format != SPACE_FORMAT || !bytes_ok(&b) || !bytes_ok(&k) || !spaces_name_valid(name)) {
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
    s->durable = true;
    return true;
}

int spaces_load(struct core *c)
{
    struct load load = {.core = c, .status = CENOTE_OK};
    int status =
        c->changes.store->ops->scan(c->changes.store, STORE_NAMESPACES, "", 0, load_one, &load);
    return status != CENOTE_OK ? status : load.status;
}

void spaces_free(struct core *c)
{
    struct link *l;
    while ((l = list_pop(&c->spaces.list)) != NULL)
        space_free(container_of(l, struct space, link));
}
