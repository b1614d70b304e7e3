/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/epoch.h"
#include "transport/base/hash.h"
#include "transport/base/testswitch.h"

#define LOCKS             64u
/* Bytes of the limit for each bucket: about the size of two entries. */
#define BYTES_PER_BUCKET  512u
#define BUCKETS_MIN       LOCKS
#define BUCKETS_MAX       (UINT64_C(1) << 20)
/* What one insertion may look at to make room; if that isn't enough, nothing is inserted. */
#define EVICT_BUCKETS_MAX 256u

/*
 * A table of chains. An entry is written before it can be found and doesn't change afterwards, but
 * for four words: its place in the chain, whether it was used, the notes of cache_verify(), and
 * that it was found when its lease had ended: for good then, whatever clocks do. Another answer
 * about the key is another entry.
 *
 * Readers enter the epoch, walk a chain, copy the answer out, and leave. Changes are made under one
 * of LOCKS locks, by bucket: a new entry is put before the others, then an older one of its key is
 * taken out. What is taken out still points into the chain, so that a reader who stands on it finds
 * on; it is freed when the epoch has passed. Until then it counts as memory in use, so that the
 * limit holds whatever readers do: a reader who never left would stop insertions, not more.
 *
 * Room is made by the second-chance rule: a hand goes round the buckets, forgives an entry that was
 * used since it came by last, and takes out the others. Those whose lease has ended are not used.
 */
struct entry {
    _Atomic(struct entry *) next;
    _Atomic uint32_t used;
    _Atomic uint32_t verified;
    _Atomic uint32_t ended; /* the lease has; only its notes are of use */
    uint64_t hash;
    uint64_t put_id, len_bytes, lease_end_ms;
    uint32_t sum_kind, stripe_count;
    uint32_t key_len_bytes, size_bytes;

    struct entry *next_out; /* since it was taken out: the one that was next */
    uint64_t mark;          /* likewise: the readers who may still stand on it */

    uint64_t words[]; /* of each stripe: length, root, replicas, their addresses; then the key */
};

struct cache {
    struct epoch *epoch;
    uint64_t seed, limit_bytes;
    _Atomic uint64_t bytes; /* of all entries, also of those taken out */
    _Atomic uint64_t hand;  /* the bucket it looks at next, modulo their number */
    uint64_t bucket_count;  /* a power of two */
    _Atomic(struct entry *) *buckets;
    pthread_mutex_t locks[LOCKS];

    pthread_mutex_t out_lock; /* taken last */
    struct entry *out_first, **out_end;
};

/* ---- entries --------------------------------------------------------------------------------- */

static size_t words_of(const struct cache_found *found)
{
    size_t words = 0;

    for (uint32_t i = 0; i < found->stripe_count; i++)
        words += 3 + found->stripes[i].replicas;
    return words;
}

static struct entry *entry_new(const struct cenote_key *key, uint64_t hash,
                               const struct cache_found *found)
{
    size_t words = words_of(found), at = 0;
    size_t size = sizeof(struct entry) + words * sizeof(uint64_t) + key->len_bytes;
    struct entry *e = malloc(size);

    if (!e)
        return NULL;
    *e = (struct entry){.hash = hash,
                        .put_id = found->put_id,
                        .len_bytes = found->len_bytes,
                        .lease_end_ms = found->lease_end_ms,
                        .sum_kind = found->sum_kind,
                        .stripe_count = found->stripe_count,
                        .key_len_bytes = (uint32_t)key->len_bytes,
                        .size_bytes = (uint32_t)size};
    for (uint32_t i = 0; i < found->stripe_count; i++) {
        const struct stripe *s = &found->stripes[i];
        e->words[at++] = s->payload_len;
        e->words[at++] = s->root;
        e->words[at++] = s->replicas;
        for (uint32_t r = 0; r < s->replicas; r++)
            e->words[at++] = s->gva[r].v;
    }
    assert(at == words);
    memcpy(e->words + at, key->data, key->len_bytes);
    return e;
}

static const void *key_of(const struct entry *e)
{
    return (const uint8_t *)e + e->size_bytes - e->key_len_bytes;
}

static bool names(const struct entry *e, uint64_t hash, const struct cenote_key *key)
{
    return e->hash == hash && e->key_len_bytes == key->len_bytes &&
           memcmp(key_of(e), key->data, key->len_bytes) == 0;
}

static void copy_out(struct entry *e, struct cache_found *out)
{
    const uint64_t *word = e->words;
    uint64_t offset = 0;

    out->put_id = e->put_id;
    out->len_bytes = e->len_bytes;
    out->lease_end_ms = e->lease_end_ms;
    out->sum_kind = e->sum_kind;
    out->verified = atomic_load(&e->verified);
    out->stripe_count = e->stripe_count;
    for (uint32_t i = 0; i < e->stripe_count; i++) {
        struct stripe *s = &out->stripes[i];
        s->offset = offset;
        s->payload_len = *word++;
        s->root = *word++;
        s->replicas = (uint32_t)*word++;
        for (uint32_t r = 0; r < s->replicas; r++)
            s->gva[r] = gva_make(*word++);
        offset += s->payload_len;
    }
}

/* Same put, same stripes, same replicas. */
static bool same_places(const struct entry *a, const struct entry *b)
{
    size_t len = a->size_bytes - a->key_len_bytes - sizeof *a;

    return a->put_id == b->put_id && a->size_bytes == b->size_bytes &&
           memcmp(a->words, b->words, len) == 0;
}

/* ---- the cache ------------------------------------------------------------------------------- */

static uint64_t bucket_count(uint64_t limit_bytes)
{
    uint64_t n = BUCKETS_MIN;

    while (n < BUCKETS_MAX && n * BYTES_PER_BUCKET < limit_bytes)
        n *= 2;
    return n;
}

struct cache *cache_new(uint64_t limit_bytes)
{
    struct cache *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->bucket_count = bucket_count(limit_bytes);
    uint64_t table_bytes = c->bucket_count * sizeof *c->buckets;
    c->limit_bytes = limit_bytes > table_bytes ? limit_bytes - table_bytes : 0;
    c->buckets = calloc((size_t)c->bucket_count, sizeof *c->buckets);
    if (!c->buckets)
        goto free_cache;
    c->epoch = epoch_new();
    if (!c->epoch)
        goto free_buckets;
    c->seed = hash_random_u64();
    c->out_end = &c->out_first;
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&c->locks[i], NULL);
    pthread_mutex_init(&c->out_lock, NULL);
    return c;

free_buckets:
    free(c->buckets);
free_cache:
    free(c);
    return NULL;
}

/* In a forked child a thread of the parent may hold one for ever, in the middle of a change. */
static bool is_free(pthread_mutex_t *lock)
{
    if (pthread_mutex_trylock(lock) != 0)
        return false;
    pthread_mutex_unlock(lock);
    return true;
}

static bool nobody_changes(struct cache *c)
{
    bool idle = is_free(&c->out_lock);

    for (unsigned i = 0; i < LOCKS && idle; i++)
        idle = is_free(&c->locks[i]);
    return idle;
}

static void free_chain(struct entry *e)
{
    while (e) {
        struct entry *next = atomic_load(&e->next);
        free(e);
        e = next;
    }
}

void cache_free(struct cache *c)
{
    if (!c || !nobody_changes(c))
        return;
    for (uint64_t i = 0; i < c->bucket_count; i++)
        free_chain(atomic_load(&c->buckets[i]));
    while (c->out_first) {
        struct entry *e = c->out_first;
        c->out_first = e->next_out;
        free(e);
    }
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&c->locks[i]);
    pthread_mutex_destroy(&c->out_lock);
    epoch_free(c->epoch);
    free(c->buckets);
    free(c);
}

static uint64_t hash_of(const struct cache *c, const struct cenote_key *key)
{
    return hash_xxh3_seeded(key->data, key->len_bytes, c->seed);
}

static uint64_t bucket_of(const struct cache *c, uint64_t hash)
{
    return hash & (c->bucket_count - 1);
}

static pthread_mutex_t *lock_of(struct cache *c, uint64_t bucket)
{
    return &c->locks[bucket % LOCKS];
}

/* ---- finding --------------------------------------------------------------------------------- */

static struct entry *search(struct cache *c, uint64_t hash, const struct cenote_key *key)
{
    struct entry *e = atomic_load(&c->buckets[bucket_of(c, hash)]);

    while (e && !names(e, hash, key))
        e = atomic_load(&e->next);
    return e;
}

bool cache_find(struct cache *c, const struct cenote_key *key, uint64_t now_ms,
                struct cache_found *out)
{
    uint64_t hash = hash_of(c, key);
    unsigned ticket = epoch_enter(c->epoch);
    struct entry *e = search(c, hash, key);
    bool good =
        e && ((now_ms < e->lease_end_ms && !atomic_load(&e->ended)) || test_off(TEST_LEASE));

    if (good) {
        copy_out(e, out);
        if (!atomic_load_explicit(&e->used, memory_order_relaxed))
            atomic_store_explicit(&e->used, 1, memory_order_relaxed);
    } else if (e) {
        atomic_store(&e->ended, 1);
    }
    epoch_leave(c->epoch, ticket);
    return good;
}

/* Does it name this put, and does its first stripe lie there? */
static bool lies_there(const struct entry *e, const struct cache_found *found)
{
    const struct stripe *s = &found->stripes[0];
    bool same = e->put_id == found->put_id && e->words[0] == s->payload_len &&
                e->words[1] == s->root && e->words[2] == s->replicas;

    for (uint32_t i = 0; same && i < s->replicas; i++)
        same = e->words[3 + i] == s->gva[i].v;
    return same;
}

uint32_t cache_verified(struct cache *c, const struct cenote_key *key,
                        const struct cache_found *found)
{
    unsigned ticket = epoch_enter(c->epoch);
    const struct entry *e = search(c, hash_of(c, key), key);
    uint32_t bits = e && lies_there(e, found) ? atomic_load(&e->verified) : 0;

    epoch_leave(c->epoch, ticket);
    return bits;
}

void cache_verify(struct cache *c, const struct cenote_key *key, uint64_t put_id, uint32_t bits)
{
    unsigned ticket = epoch_enter(c->epoch);
    struct entry *e = search(c, hash_of(c, key), key);

    if (e && e->put_id == put_id)
        atomic_fetch_or(&e->verified, bits);
    epoch_leave(c->epoch, ticket);
}

/* ---- changing -------------------------------------------------------------------------------- */

static void free_passed(struct cache *c)
{
    pthread_mutex_lock(&c->out_lock);
    while (c->out_first && epoch_passed(c->epoch, c->out_first->mark)) {
        struct entry *e = c->out_first;
        c->out_first = e->next_out;
        if (!c->out_first)
            c->out_end = &c->out_first;
        atomic_fetch_sub(&c->bytes, e->size_bytes);
        free(e);
    }
    pthread_mutex_unlock(&c->out_lock);
}

/* Under the bucket's lock: takes out the entry that *at leads to. */
static void take_out(struct cache *c, _Atomic(struct entry *) *at, struct entry *e)
{
    atomic_store(at, atomic_load(&e->next));
    pthread_mutex_lock(&c->out_lock);
    e->mark = epoch_mark(c->epoch);
    e->next_out = NULL;
    *c->out_end = e;
    c->out_end = &e->next_out;
    pthread_mutex_unlock(&c->out_lock);
}

/* Under the bucket's lock: the place that leads to the entry of the key, at or behind this one; it
 * leads to NULL if there is none. */
static _Atomic(struct entry *) *place_of(_Atomic(struct entry *) *at, uint64_t hash,
                                         const struct cenote_key *key)
{
    struct entry *e;

    while ((e = atomic_load(at)) != NULL && !names(e, hash, key))
        at = &e->next;
    return at;
}

static void forget(struct cache *c, uint64_t hash, const struct cenote_key *key, uint64_t put_id)
{
    uint64_t bucket = bucket_of(c, hash);
    _Atomic(struct entry *) *at;
    struct entry *e;

    pthread_mutex_lock(lock_of(c, bucket));
    at = place_of(&c->buckets[bucket], hash, key);
    e = atomic_load(at);
    if (e && (put_id == 0 || e->put_id == put_id))
        take_out(c, at, e);
    pthread_mutex_unlock(lock_of(c, bucket));
    free_passed(c);
}

void cache_drop(struct cache *c, const struct cenote_key *key, uint64_t put_id)
{
    uint64_t hash = hash_of(c, key);
    unsigned ticket = epoch_enter(c->epoch);
    bool known = search(c, hash, key) != NULL;

    epoch_leave(c->epoch, ticket);
    if (known)
        forget(c, hash, key, put_id);
}

/* Takes out of one bucket what wasn't used since the last time, or all. */
static void sweep(struct cache *c, uint64_t bucket, bool all)
{
    _Atomic(struct entry *) *at = &c->buckets[bucket];
    struct entry *e;

    if (!atomic_load(at))
        return;
    pthread_mutex_lock(lock_of(c, bucket));
    while ((e = atomic_load(at)) != NULL) {
        if (!all && atomic_exchange(&e->used, 0))
            at = &e->next;
        else
            take_out(c, at, e);
    }
    pthread_mutex_unlock(lock_of(c, bucket));
}

void cache_clear(struct cache *c)
{
    for (uint64_t i = 0; i < c->bucket_count; i++)
        sweep(c, i, true);
    free_passed(c);
}

/* Counts the bytes as used. False: there is no room for them. */
static bool make_room(struct cache *c, uint64_t size_bytes)
{
    unsigned looks = 0;

    if (size_bytes > c->limit_bytes)
        return false;
    atomic_fetch_add(&c->bytes, size_bytes);
    while (atomic_load(&c->bytes) > c->limit_bytes && looks++ < EVICT_BUCKETS_MAX) {
        sweep(c, atomic_fetch_add(&c->hand, 1) & (c->bucket_count - 1), false);
        free_passed(c);
    }
    if (atomic_load(&c->bytes) <= c->limit_bytes)
        return true;
    atomic_fetch_sub(&c->bytes, size_bytes);
    return false;
}

/* Put ids grow, and so does what the service promises about one of them. */
static bool supersedes(const struct entry *fresh, const struct entry *old)
{
    return fresh->put_id > old->put_id || atomic_load(&old->ended) ||
           (fresh->put_id == old->put_id && fresh->lease_end_ms > old->lease_end_ms);
}

/* Under the bucket's lock. False: there is a newer one. */
static bool insert(struct cache *c, struct entry *e, const struct cenote_key *key)
{
    _Atomic(struct entry *) *head = &c->buckets[bucket_of(c, e->hash)];
    struct entry *old = atomic_load(place_of(head, e->hash, key));

    if (old && !supersedes(e, old))
        return false;
    if (old && same_places(e, old))
        atomic_init(&e->verified, atomic_load(&old->verified));
    atomic_init(&e->next, atomic_load(head));
    atomic_store(head, e);
    if (old)
        take_out(c, place_of(&e->next, e->hash, key), old);
    return true;
}

void cache_add(struct cache *c, const struct cenote_key *key, const struct cache_found *found)
{
    struct entry *e;
    bool kept;

    assert(found->stripe_count >= 1 && found->stripe_count <= CACHE_STRIPES_MAX);
    if (c->limit_bytes == 0 || !(e = entry_new(key, hash_of(c, key), found)))
        return;
    if (!make_room(c, e->size_bytes)) {
        free(e);
        return;
    }
    pthread_mutex_t *lock = lock_of(c, bucket_of(c, e->hash));
    pthread_mutex_lock(lock);
    kept = insert(c, e, key);
    pthread_mutex_unlock(lock);
    if (!kept) {
        atomic_fetch_sub(&c->bytes, e->size_bytes);
        free(e);
    }
    free_passed(c);
}
