/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning and the end of a writer. */
#include "client/writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void writer_next(struct machine *m, uint64_t now_ms, struct step *out)
{
    putting_next(&((struct writer *)m)->putting, now_ms, out);
}

static void writer_done(struct machine *m, uint64_t now_ms, int status, struct wire_value result)
{
    putting_done(&((struct writer *)m)->putting, now_ms, status, result);
}

static const struct machine_ops writer_ops = {
    .op = TALLY_PUT, .next = writer_next, .done = writer_done};

static bool copy_seal(void *arg, struct writing *w, const struct writing_value *v,
                      const struct locate *map, struct fabric_req *copy)
{
    const struct writer *writer = arg;
    return writing_seal(w, v, map, writer->sums_le + w->offset / SUMS_CHUNK_BYTES, copy);
}

struct writer *writer_new(const struct machine_env *env, const struct cenote_key *key,
                          uint64_t len_bytes, unsigned flags)
{
    struct writer *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    memcpy(w->key_bytes, key->data, key->len_bytes);
    w->key = (struct cenote_key){w->key_bytes, key->len_bytes};
    w->machine.ops = &writer_ops;
    w->value = (struct putting_value){.state = PUTTING_START,
                                      .key = &w->key,
                                      .status = &w->status,
                                      .common = {.len_bytes = len_bytes}};
    putting_begin(&w->putting, &w->machine, env, flags, &w->value);
    putting_values(&w->putting, 1);
    w->putting.held = true;
    w->putting.copy = copy_seal;
    w->putting.arg = w;
    return w;
}

void writer_keep(struct writer *w, const struct keep *keep)
{
    w->putting.keep = *keep;
}

void writer_free(struct writer *w)
{
    for (size_t i = 0; i < WRITER_BUCKETS; i++) {
        while (w->chunks[i]) {
            struct writer_chunk *c = w->chunks[i];
            w->chunks[i] = c->next;
            free(c);
        }
    }
    coverage_free(&w->claimed);
    putting_end(&w->putting);
    pthread_mutex_destroy(&w->lock);
    free(w->sums_le);
    free(w);
}

struct machine *writer_open(struct writer *w)
{
    return &w->machine;
}

int writer_opened(struct writer *w)
{
    if (w->value.state != PUTTING_WRITE) {
        w->ended = true;
        return w->status;
    }
    w->sums_le = calloc((size_t)sums_chunks(w->value.common.len_bytes) + 1, sizeof *w->sums_le);
    return w->sums_le ? CENOTE_OK : CENOTE_NO_MEMORY;
}

/* What was written can't be written again from here: the put isn't begun anew. */
static void let_go(struct writer *w)
{
    w->value.rounds = PUT_ROUNDS_MAX;
    w->putting.held = false;
    w->putting.map_fresh = false;
    w->ended = true;
}

struct machine *writer_abort(struct writer *w)
{
    if (w->ended)
        return NULL;
    let_go(w);
    w->value.state = PUTTING_ABORT;
    w->value.failure = w->failure ? w->failure : CENOTE_ABORTED;
    return &w->machine;
}

int writer_commit(struct writer *w, struct machine **out)
{
    if (w->ended)
        return w->status;
    pthread_mutex_lock(&w->lock);
    int failure = w->failure;
    bool whole = w->written == w->value.common.len_bytes;
    pthread_mutex_unlock(&w->lock);
    if (failure == CENOTE_OK && !whole)
        return CENOTE_INVALID;
    if (failure != CENOTE_OK) {
        *out = writer_abort(w);
        return CENOTE_OK;
    }
    let_go(w);
    w->value.left = 0;
    for (uint32_t i = 0; i < w->value.writings; i++)
        w->value.left += !w->putting.writings[w->value.first_writing + i].done;
    *out = &w->machine;
    return CENOTE_OK;
}
