/* SPDX-License-Identifier: Apache-2.0 */
/* What the nodes have been told to remember, made one. */
#include <stdlib.h>
#include <string.h>

#include "meta/core/rebuild_nodes.h"
#include "transport/base/bytes.h"

/* Of several nodes: the one that saw the highest reign is believed. */
struct kept_note {
    struct link link;
    uint64_t reign;
    uint32_t kind;
    uint32_t key_len, value_len;
    uint8_t bytes[]; /* key, value, and a zero: the name of a node is a text */
};

static bool is_named(const void *key, size_t len, const char *name)
{
    return len == strlen(name) && memcmp(key, name, len) == 0;
}

bool rebuild_own_value(const void *name, size_t len)
{
    return is_named(name, len, REBUILD_VALUE_MARK) || is_named(name, len, REBUILD_VALUE_SETTLE);
}

static struct kept_note *find_note(const struct rebuild *r, const struct note *note)
{
    list_each(&r->notes, l)
    {
        struct kept_note *k = container_of(l, struct kept_note, link);
        if (k->kind == note->kind && k->key_len == note->key_len &&
            memcmp(k->bytes, note->key, note->key_len) == 0)
            return k;
    }
    return NULL;
}

static uint64_t value_u64(const struct note *note)
{
    struct bytes b = bytes_over_const(note->value, note->value_len);
    uint64_t v = bytes_get_u64(&b);
    return bytes_ok(&b) && bytes_left(&b) == 0 ? v : 0;
}

static void raise_to(uint64_t *mark, uint64_t v)
{
    if (v > *mark)
        *mark = v;
}

/* The longest lease of all is that of the store, so the lower value isn't kept. */
static bool is_older(const struct kept_note *k, const struct note *note, uint64_t reign)
{
    if (note->kind == NOTE_META && is_named(note->key, note->key_len, "lease_ms")) {
        struct note kept = {.value = k->bytes + k->key_len, .value_len = k->value_len};
        return value_u64(note) <= value_u64(&kept);
    }
    return reign <= k->reign;
}

static int keep_note(struct rebuild *r, const struct note *note, uint64_t reign)
{
    struct kept_note *k = find_note(r, note);
    if (k != NULL && is_older(k, note, reign))
        return CENOTE_OK;
    struct kept_note *own = malloc(sizeof(*own) + note->key_len + note->value_len + 1);
    if (own == NULL)
        return CENOTE_NO_MEMORY;
    *own = (struct kept_note){.reign = reign,
                              .kind = note->kind,
                              .key_len = (uint32_t)note->key_len,
                              .value_len = (uint32_t)note->value_len};
    memcpy(own->bytes, note->key, note->key_len);
    if (note->value_len > 0)
        memcpy(own->bytes + note->key_len, note->value, note->value_len);
    own->bytes[note->key_len + note->value_len] = '\0';
    if (k != NULL) {
        link_remove(&k->link);
        free(k);
    }
    list_append(&r->notes, &own->link);
    return CENOTE_OK;
}

/* Of a node's notes: its pool, and the digest of the rest. */
static uint64_t look_through(struct candidate *k, struct wire_value notes, uint32_t count,
                             uint64_t *reign)
{
    uint64_t digest = count;
    for (uint32_t i = 0; i < count; i++) {
        struct note note;
        if (!note_get(wire_at(notes, i), &note))
            continue;
        digest = (digest ^ hash_xxh3(note.key, note.key_len)) * UINT64_C(0x9e3779b97f4a7c15) +
                 hash_xxh3(note.value, note.value_len);
        if (note.kind != NOTE_META)
            continue;
        if (is_named(note.key, note.key_len, "reign"))
            *reign = value_u64(&note);
        if (is_named(note.key, note.key_len, "pool_key") &&
            note.value_len == sizeof(k->pool_key.b)) {
            memcpy(k->pool_key.b, note.value, sizeof(k->pool_key.b));
            k->has_key = true;
        }
    }
    return digest;
}

bool rebuild_own_pool(const struct rebuild *r, const struct candidate *k)
{
    return !k->has_key || !r->has_key ||
           memcmp(r->pool_key.b, k->pool_key.b, sizeof(r->pool_key.b)) == 0;
}

/* What names numbers is raised; the rest is kept as it is. */
static int take_note(struct rebuild *r, const struct note *note, uint64_t reign)
{
    bool meta = note->kind == NOTE_META;
    if (meta && is_named(note->key, note->key_len, "reign"))
        raise_to(&r->notes_reign, value_u64(note));
    else if (meta && is_named(note->key, note->key_len, "gva"))
        raise_to(&r->notes_gva, value_u64(note));
    else if (!(meta && (rebuild_own_value(note->key, note->key_len) ||
                        lives_own_value(note->key, note->key_len) ||
                        is_named(note->key, note->key_len, "format"))))
        return keep_note(r, note, reign);
    return CENOTE_OK;
}

int rebuild_merge(struct candidate *k, struct wire_value notes, uint32_t count)
{
    struct rebuild *r = &k->core->rebuild;
    uint64_t reign = 0;
    uint64_t digest = look_through(k, notes, count, &reign);
    /* Most nodes have been told the same. */
    if (!rebuild_own_pool(r, k) || (r->has_key && digest == r->last_digest) ||
        r->phase >= REBUILD_NAMING)
        return CENOTE_OK;
    int status = CENOTE_OK;
    for (uint32_t i = 0; i < count && status == CENOTE_OK; i++) {
        struct note note;
        if (note_get(wire_at(notes, i), &note))
            status = take_note(r, &note, reign);
    }
    if (k->has_key && !r->has_key) {
        r->has_key = true;
        r->pool_key = k->pool_key;
    }
    r->last_digest = digest;
    return status;
}

void rebuild_remember(struct rebuild *r, const struct node_join_params *p)
{
    raise_to(&r->notes_reign, p->highest_reign);
    for (uint32_t i = 0; i < p->segment_count; i++) {
        const struct node_segment *s = &p->segments[i];
        if (s->gva.v != 0 && gva_covers(gva_make(GVA_FIRST), GVA_END - GVA_FIRST, s->gva,
                                        s->len_bytes > 0 ? s->len_bytes : 1))
            raise_to(&r->notes_gva, s->gva.v + s->len_bytes);
    }
}

void rebuild_draft_notes(struct core *c)
{
    struct rebuild *r = &c->rebuild;
    list_each(&r->notes, l)
    {
        const struct kept_note *k = container_of(l, struct kept_note, link);
        if (k->kind == NOTE_META || k->kind == NOTE_NAMESPACE)
            change_put(&c->changes, k->kind == NOTE_META ? STORE_META : STORE_NAMESPACES, k->bytes,
                       k->key_len, k->bytes + k->key_len, k->value_len);
    }
}

uint32_t rebuild_missing(const struct core *c, const char **names, uint32_t max)
{
    uint32_t count = 0;
    const struct rebuild *r = &c->rebuild;
    list_each(&r->notes, l)
    {
        struct kept_note *note = container_of(l, struct kept_note, link);
        if (note->kind != NOTE_NODE || note->value_len > 0)
            continue;
        const struct candidate *k = rebuild_candidate(c, (const char *)note->bytes);
        if (k != NULL && (rebuild_is_there(k) || k->joined))
            continue;
        if (count < max)
            names[count] = (const char *)note->bytes;
        count++;
    }
    return count;
}

void rebuild_free_notes(struct rebuild *r)
{
    struct link *l;
    while ((l = list_pop(&r->notes)) != NULL)
        free(container_of(l, struct kept_note, link));
}
