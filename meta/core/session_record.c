/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/session_record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/core.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"

#define SESSION_FORMAT 1u
#define SESSION_KEY    8u  /* bytes */
#define ANSWER_KEY     11u /* session, slot, item: big-endian */
#define ANSWER_HEAD    20u

_Static_assert(WINDOW_CALLS <= 256, "a slot is one byte of a key");
_Static_assert(CENOTE_BATCH_MAX <= UINT16_MAX, "an item is two");

struct answer_key {
    uint8_t b[ANSWER_KEY];
};

static struct answer_key key_of(uint64_t session, uint32_t slot, uint32_t item)
{
    struct answer_key k;
    for (unsigned i = 0; i < SESSION_KEY; i++)
        k.b[i] = (uint8_t)(session >> (56 - 8 * i));
    k.b[8] = (uint8_t)slot;
    k.b[9] = (uint8_t)(item >> 8);
    k.b[10] = (uint8_t)item;
    return k;
}

uint64_t session_record_id(const void *key, uint32_t key_len, uint32_t *slot, uint32_t *item)
{
    const uint8_t *k = key;
    uint64_t id = 0;
    bool own = key_len == SESSION_KEY;
    if (!own && (key_len != ANSWER_KEY || k[8] >= WINDOW_CALLS))
        return 0;
    for (unsigned i = 0; i < SESSION_KEY; i++)
        id = id << 8 | k[i];
    *slot = own ? SESSION_RECORD_OWN : k[8];
    *item = own ? 0 : (uint32_t)k[9] << 8 | k[10];
    return id;
}

/* ---- drafting ---- */

void session_record_open(struct core *c, const struct session *s)
{
    uint8_t value[8 + TEXT_MAX];
    size_t len = strnlen(s->client, sizeof(s->client));
    struct answer_key key = key_of(s->id, 0, 0);
    struct bytes b = bytes_over(value, sizeof(value));
    bytes_put_u8(&b, SESSION_FORMAT);
    bytes_put_u32(&b, s->space->id);
    bytes_put(&b, s->client, len);
    change_put(&c->changes, STORE_SESSIONS, key.b, SESSION_KEY, value, (size_t)(b.at - value));
}

/* Statuses at the end that are OK go without saying. */
static uint32_t worth_storing(const struct numbered *n)
{
    uint32_t count = n->count;
    while (count > 0 && n->statuses[count - 1] == CENOTE_OK)
        count--;
    return count;
}

static void draft(struct core *c, struct session *s, const struct numbered *n, uint32_t item,
                  uint32_t statuses)
{
    uint8_t value[ANSWER_HEAD + CENOTE_BATCH_MAX];
    uint32_t slot = window_slot(n->seq);
    if (!n->kept || s->ended)
        return; /* the slot is another's by now; nobody will ask */
    struct answer_key key = key_of(s->id, slot, item);
    struct bytes b = bytes_over(value, sizeof(value));
    bytes_put_u8(&b, SESSION_FORMAT);
    bytes_put_u8(&b, n->kind);
    bytes_put_u16(&b, (uint16_t)n->count);
    bytes_put_u64(&b, n->seq);
    bytes_put_u64(&b, n->first_put_id);
    bytes_put(&b, n->statuses, statuses);
    assert(bytes_ok(&b));
    change_put(&c->changes, STORE_SESSIONS, key.b, sizeof(key.b), value, (size_t)(b.at - value));
    if (s->window->stored[slot] <= item)
        s->window->stored[slot] = (uint16_t)(item + 1);
}

void session_record_started(struct core *c, struct session *s, const struct numbered *n)
{
    assert(n->kind == NUMBERED_START);
    draft(c, s, n, 0, worth_storing(n));
}

static bool stored_by_item(unsigned kind)
{
    return kind >= NUMBERED_REMOVE && kind <= NUMBERED_SPACE_REMOVE;
}

void session_record_item(struct core *c, struct session *s, const struct numbered *n, uint32_t item)
{
    assert(stored_by_item(n->kind) && item < n->count);
    draft(c, s, n, item, 0);
}

bool session_record_forget(struct core *c, struct session *s)
{
    struct answer_key key = key_of(s->id, 0, 0);
    change_remove(&c->changes, STORE_SESSIONS, key.b, SESSION_KEY);
    uint32_t count = 0;
    for (; s->window != NULL && s->forget_slot < WINDOW_CALLS; s->forget_slot++) {
        uint32_t stored = s->window->stored[s->forget_slot];
        if (count > 0 && count + stored > SESSION_FORGET_MAX)
            return false;
        for (uint32_t item = 0; item < stored; item++) {
            key = key_of(s->id, s->forget_slot, item);
            change_remove(&c->changes, STORE_SESSIONS, key.b, sizeof(key.b));
        }
        count += stored;
    }
    return true;
}

/* ---- the start ---- */

struct load {
    struct core *core;
    int status;
};

static int load_session(struct core *c, uint64_t id, struct bytes *b)
{
    char client[TEXT_MAX] = "";
    uint8_t format = bytes_get_u8(b);
    struct space *space = spaces_by_id(c, bytes_get_u32(b));
    size_t len = bytes_left(b);
    if (len < sizeof(client))
        bytes_get(b, client, len);
    if (format != SESSION_FORMAT || !bytes_ok(b) || bytes_left(b) > 0 || space == NULL)
        return CENOTE_IO;
    struct session *s = sessions_add(c, id, space, client);
    if (s == NULL)
        return CENOTE_NO_MEMORY;
    s->durable = true;
    return CENOTE_OK;
}

static int load_statuses(struct numbered *n, struct bytes *b)
{
    size_t count = bytes_left(b);
    if (count > n->count)
        return CENOTE_IO;
    memset(n->statuses, CENOTE_OK, n->count);
    bytes_get(b, n->statuses, count);
    return CENOTE_OK;
}

static int load_answer(struct core *c, uint64_t id, uint32_t slot, uint32_t item, struct bytes *b)
{
    struct session *s = sessions_find(c, id);
    uint8_t format = bytes_get_u8(b);
    uint8_t kind = bytes_get_u8(b);
    uint32_t count = bytes_get_u16(b);
    uint64_t seq = bytes_get_u64(b);
    uint64_t first_put_id = bytes_get_u64(b);
    if (format != SESSION_FORMAT || !bytes_ok(b) || window_slot(seq) != slot || item >= count ||
        count > CENOTE_BATCH_MAX || (kind != NUMBERED_START && !stored_by_item(kind)))
        return CENOTE_IO;
    if (s == NULL && (s = sessions_add_ended(c, id)) == NULL)
        return CENOTE_NO_MEMORY;
    if (s->window == NULL && (s->window = window_new(&c->small)) == NULL)
        return CENOTE_NO_MEMORY;
    struct numbered *n;
    int status = window_recover(s->window, seq, kind, count, &n);
    if (s->window->stored[slot] <= item)
        s->window->stored[slot] = (uint16_t)(item + 1);
    if (status != CENOTE_OK || n == NULL)
        return status;
    if (kind != NUMBERED_START) {
        n->statuses[item] = CENOTE_OK;
        return CENOTE_OK;
    }
    n->first_put_id = first_put_id;
    return load_statuses(n, b);
}

static bool load_one(void *arg, const void *key, uint32_t key_len, const void *value,
                     uint32_t value_len)
{
    struct load *load = arg;
    uint32_t slot, item;
    uint64_t id = session_record_id(key, key_len, &slot, &item);
    struct bytes b = bytes_over_const(value, value_len);
    load->status = CENOTE_IO;
    if (id != 0 && slot == SESSION_RECORD_OWN)
        load->status = load_session(load->core, id, &b);
    else if (id != 0)
        load->status = load_answer(load->core, id, slot, item, &b);
    if (load->status != CENOTE_OK)
        log_error("meta", "the record of session %llu can't be recovered: %s",
                  (unsigned long long)id, cenote_status_text(load->status));
    return load->status == CENOTE_OK;
}

int session_records_load(struct core *c)
{
    struct load load = {.core = c, .status = CENOTE_OK};
    struct store *store = c->changes.store;
    int status = store->ops->scan(store, STORE_SESSIONS, "", 0, load_one, &load);
    return status == CENOTE_OK ? load.status : status;
}
