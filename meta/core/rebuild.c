/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/rebuild.h"

#include <stdlib.h>
#include <string.h>

#include "meta/core/rebuild_nodes.h"
#include "meta/core/recover.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"

/* In the store: a rebuild isn't over; puts up to this one have to settle. */
#define VALUE_MARK   "rebuild"
#define VALUE_SETTLE "settle"

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
    return is_named(name, len, VALUE_MARK) || is_named(name, len, VALUE_SETTLE);
}

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

struct candidate *rebuild_candidate(const struct core *c, const char *name)
{
    list_each(&c->rebuild.candidates, l)
    {
        struct candidate *k = container_of(l, struct candidate, link);
        if (strcmp(k->params.name, name) == 0)
            return k;
    }
    return NULL;
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
    draft_u64(c, VALUE_MARK, 1);
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
    int status = store->ops->get(store, STORE_META, VALUE_MARK, strlen(VALUE_MARK), &value, &len);
    if (status == CENOTE_NOT_FOUND || rebuild_under_way(&c->rebuild))
        return CENOTE_OK;
    if (status == CENOTE_OK) {
        log_error("meta", "a rebuild of this database was not finished: start it again, with "
                          "--rebuild");
        status = CENOTE_UNTRUSTED;
    }
    return status;
}

/* ---- notes ---- */

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

static bool is_own_pool(const struct rebuild *r, const struct candidate *k)
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

/* Most nodes have been told the same. */
static int merge(struct candidate *k, struct wire_value notes, uint32_t count)
{
    struct rebuild *r = &k->core->rebuild;
    uint64_t reign = 0;
    uint64_t digest = look_through(k, notes, count, &reign);
    if (!is_own_pool(r, k) || (r->has_key && digest == r->last_digest) ||
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

/* ---- joins that are held ---- */

static void answer_join(struct candidate *k, int status)
{
    k->peer = NULL;
    k->done(k->arg, status, NULL, NULL);
}

static void pass_on(struct candidate *k)
{
    int status = CENOTE_DENIED;
    struct service_peer *peer = k->peer;
    k->peer = NULL;
    if (is_own_pool(&k->core->rebuild, k)) {
        k->passed = true;
        status = members_join(k->core, &k->params, &k->line, peer, k->done, k->arg);
    } else {
        log_error("meta", "rebuild: node %s belongs to another pool", k->params.name);
        k->read = true;
    }
    k->gone_ms = k->core->now_ms;
    if (status != CENOTE_OK)
        k->done(k->arg, status, NULL, NULL);
}

struct asked {
    struct candidate *candidate;
    uint32_t number;
};

static void heard_notes(void *arg, int status, struct wire_value result)
{
    struct asked *asked = arg;
    struct candidate *k = asked->candidate;
    struct core *c = k->core;
    uint32_t count;
    bool current = k->peer != NULL && k->asked == asked->number;
    free(asked);
    k->asked_calls--;
    if (!current)
        return;
    if (status == CENOTE_OK && !notes_result_get(result, &count))
        status = CENOTE_PROTOCOL;
    if (status == CENOTE_OK)
        status = merge(k, result, count);
    if (status != CENOTE_OK) {
        answer_join(k, status);
        return;
    }
    k->noted = true;
    if (c->rebuild.phase == REBUILD_READING || c->rebuild.phase == REBUILD_ENDING ||
        c->rebuild.phase == REBUILD_OFF)
        pass_on(k);
}

static int ask_notes(struct candidate *k)
{
    struct wire_buf b = {0};
    struct asked *asked = malloc(sizeof(*asked));
    wire_put_request(&b, 0, METHOD_NOTES_READ);
    wire_put_array(&b, 0);
    if (asked == NULL || b.failed) {
        free(asked);
        wire_buf_free(&b);
        return CENOTE_NO_MEMORY;
    }
    *asked = (struct asked){k, ++k->asked};
    k->asked_calls++;
    k->line.call(k->line.arg, b.data, b.len, 0, heard_notes, asked);
    wire_buf_free(&b);
    return CENOTE_OK;
}

static struct candidate *candidate_for(struct core *c, const struct node_join_params *params)
{
    struct candidate *k = rebuild_candidate(c, params->name);
    if (k != NULL)
        return k;
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return NULL;
    k->core = c;
    list_append(&c->rebuild.candidates, &k->link);
    return k;
}

/* Everything that a node remembers of the service's earlier lives. */
static void remember(struct rebuild *r, const struct node_join_params *p)
{
    raise_to(&r->notes_reign, p->highest_reign);
    for (uint32_t i = 0; i < p->segment_count; i++) {
        const struct node_segment *s = &p->segments[i];
        if (s->gva.v != 0 && gva_covers(gva_make(GVA_FIRST), GVA_END - GVA_FIRST, s->gva,
                                        s->len_bytes > 0 ? s->len_bytes : 1))
            raise_to(&r->notes_gva, s->gva.v + s->len_bytes);
    }
}

int rebuild_join(struct core *c, const struct node_join_params *params,
                 const struct service_link *line, struct service_peer *peer,
                 void (*done)(void *arg, int status, struct node *node,
                              const struct node_join_result *result),
                 void *arg)
{
    struct rebuild *r = &c->rebuild;
    if (params->protocol != PROTOCOL_VERSION)
        return CENOTE_VERSION;
    if (params->name[0] == '\0' || params->segment_count == 0)
        return CENOTE_INVALID;
    if (r->phase == REBUILD_FAILED ||
        (r->phase == REBUILD_READING && params->highest_reign > c->ids.reign))
        return r->phase == REBUILD_FAILED ? CENOTE_UNAVAILABLE : CENOTE_OLD_REIGN;
    struct candidate *k = candidate_for(c, params);
    if (k == NULL)
        return CENOTE_NO_MEMORY;
    if (k->peer != NULL && k->params.boot != params->boot)
        return CENOTE_NODE_KNOWN;
    if (k->peer != NULL)
        answer_join(k, CENOTE_UNAVAILABLE); /* the same process, on another connection */
    k->params = *params;
    if (r->phase < REBUILD_READING)
        remember(r, params);
    k->line = *line;
    k->done = done;
    k->arg = arg;
    k->noted = false;
    int status = ask_notes(k);
    if (status == CENOTE_OK)
        k->peer = peer;
    return status;
}

void rebuild_disconnected(struct core *c, const struct service_peer *peer)
{
    list_each(&c->rebuild.candidates, l)
    {
        struct candidate *k = container_of(l, struct candidate, link);
        if (k->peer != peer || peer == NULL)
            continue;
        k->gone_ms = c->now_ms;
        k->noted = false;
        answer_join(k, CENOTE_UNAVAILABLE);
    }
}

bool rebuild_adopts(const struct core *c, const char *name)
{
    if (c->rebuild.phase != REBUILD_READING)
        return false;
    const struct candidate *k = rebuild_candidate(c, name);
    return k != NULL && !k->joined;
}

bool rebuild_segment_fits(const struct core *c, const struct node_segment *s)
{
    uint64_t first, end;
    slot_gva_part(c->shard.map.epoch, c->shard.number, &first, &end);
    return s->incarnation >> IDS_COUNT_BITS < c->ids.reign && s->gva.v % GVA_ALIGN == 0 &&
           gva_covers(gva_make(first), c->members.gva_next - first, s->gva, s->len_bytes);
}

void rebuild_joined(struct core *c, struct node *n)
{
    struct candidate *k =
        c->rebuild.phase == REBUILD_READING ? rebuild_candidate(c, n->name) : NULL;
    if (k == NULL)
        return;
    k->joined = true;
    for (uint32_t i = 0; i < n->segment_count && !n->settle.wanted; i++)
        if (n->segments[i]->id >> IDS_COUNT_BITS < c->ids.reign)
            rebuild_settle(c, n); /* it refuses what is of before, then it reads out */
    if (!k->read)
        rebuild_read(k);
}

/* ---- who is there, and who is missing ---- */

static bool is_there(const struct candidate *k)
{
    return k->peer != NULL && k->noted;
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
        if (k != NULL && (is_there(k) || k->joined))
            continue;
        if (count < max)
            names[count] = (const char *)note->bytes;
        count++;
    }
    return count;
}

static uint32_t count_there(const struct rebuild *r, bool *contents)
{
    uint32_t count = 0;
    *contents = false;
    list_each(&r->candidates, l)
    {
        const struct candidate *k = container_of(l, struct candidate, link);
        if (!is_there(k) || !is_own_pool(r, k))
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

static void draft_notes(struct core *c)
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
        if (is_there(k))
            pass_on(k);
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
    draft_notes(c);
    draft_u64(c, "reign", reign);
    draft_u64(c, "gva", first_address(c));
    draft_u64(c, VALUE_SETTLE, (reign + 1) << IDS_COUNT_BITS);
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
    change_remove(&c->changes, STORE_META, VALUE_MARK, strlen(VALUE_MARK));
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
    while ((l = list_pop(&c->rebuild.notes)) != NULL)
        free(container_of(l, struct kept_note, link));
}
