/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's part of the scene in which each fault point is hit once: everything that the library
 * does, twice over where it fails. A step that fails is done again, and must succeed soon; bytes
 * that come are right.
 *
 * Usage: sweep_client ENDPOINT shm|tcp fill|read
 *   fill    stores, reads, changes and removes values, and leaves some
 *   read    finds those
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cenote/async.h>
#include <cenote/buffer.h>
#include <cenote/cenote.h>
#include <cenote/range.h>
#include <cenote/view.h>

#include "tests/scenario/check.h"
#include "tests/support/transport.h"

#define VALUE_BYTES 2500000u /* three stripes */
#define BATCH       12u
#define TIMEOUT_MS  2000u
#define TRIES_MAX   200u
#define PAUSE_MS    25u

static struct cenote *client;
static uint8_t out[VALUE_BYTES], in[VALUE_BYTES];
static unsigned errors;
static char endpoint[256];
static enum cenote_transport transport;

/* ---- values ------------------------------------------------------------------------------- */

static const size_t lengths[] = {0, 100, 4096, 70000, VALUE_BYTES};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static void fill(unsigned seed, size_t len_bytes)
{
    for (size_t i = 0; i < len_bytes; i++)
        out[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 7);
}

static bool right(unsigned seed, size_t at, size_t len_bytes)
{
    fill(seed, at + len_bytes);
    return memcmp(in, out + at, len_bytes) == 0;
}

static size_t key_of(char key[16], const char *kind, unsigned i)
{
    return (size_t)snprintf(key, 16, "%s%u", kind, i);
}

static int put(const char *kind, unsigned i, unsigned seed, size_t len_bytes, unsigned flags)
{
    char key[16];
    size_t key_len = key_of(key, kind, i);
    fill(seed, len_bytes);
    int status = cenote_put(client, key, key_len, out, len_bytes, flags);
    return status == CENOTE_EXISTS ? CENOTE_OK : status;
}

static int get(const char *kind, unsigned i, unsigned seed, size_t len_bytes)
{
    char key[16];
    uint64_t len = 0;
    size_t key_len = key_of(key, kind, i);
    memset(in, 0xee, len_bytes);
    int status = cenote_get(client, key, key_len, in, sizeof(in), &len);
    CHECK(status != CENOTE_OK || (len == len_bytes && right(seed, 0, len_bytes)));
    return status;
}

/* ---- steps -------------------------------------------------------------------------------- */

static int plain_put(unsigned i)
{
    return put("k", i, i, lengths[i % LENGTHS], 0);
}

static int plain_get(unsigned i)
{
    return get("k", i, i, lengths[i % LENGTHS]);
}

static int replace(unsigned i)
{
    int status = put("r", i, 1, 5000, 0);
    if (status == CENOTE_OK)
        status = put("r", i, 2, 6000, CENOTE_PUT_REPLACE);
    return status == CENOTE_OK ? get("r", i, 2, 6000) : status;
}

static int batch(unsigned base)
{
    struct cenote_put_item puts[BATCH];
    struct cenote_get_item gets[BATCH];
    struct cenote_buffer from[BATCH], to[BATCH];
    char keys[BATCH][16];
    fill(base, BATCH * 1000);
    memset(in, 0, BATCH * 1000);
    for (unsigned i = 0; i < BATCH; i++) {
        struct cenote_key key = {keys[i], key_of(keys[i], "b", base + i)};
        from[i] = (struct cenote_buffer){out + i * 1000, 1000};
        to[i] = (struct cenote_buffer){in + i * 1000, 1000};
        puts[i] = (struct cenote_put_item){.key = key, .buffers = &from[i], .buffer_count = 1};
        gets[i] = (struct cenote_get_item){.key = key, .buffers = &to[i], .buffer_count = 1};
    }
    int status = cenote_put_batch(client, puts, BATCH, 0);
    status = status == CENOTE_EXISTS ? CENOTE_OK : status;
    for (unsigned i = 0; i < BATCH && status == CENOTE_OK; i++)
        status = puts[i].status == CENOTE_EXISTS ? CENOTE_OK : puts[i].status;
    if (status == CENOTE_OK)
        status = cenote_get_batch(client, gets, BATCH);
    for (unsigned i = 0; i < BATCH && status == CENOTE_OK; i++)
        status = gets[i].status;
    CHECK(status != CENOTE_OK || right(base, 0, BATCH * 1000));
    return status;
}

static int view(unsigned i)
{
    struct cenote_view v;
    int status = cenote_view_get(client, "k3", 2, &v);
    (void)i;
    if (status == CENOTE_NOT_SUPPORTED && transport == CENOTE_TRANSPORT_TCP)
        return CENOTE_OK;
    if (status != CENOTE_OK)
        return status;
    fill(3, lengths[3]);
    CHECK(v.len_bytes == lengths[3] && memcmp(v.data, out, v.len_bytes) == 0);
    cenote_view_release(client, &v);
    return CENOTE_OK;
}

static int wait_for(uint64_t id)
{
    struct cenote_completion done;
    CHECK_EQ(cenote_completions(client, &done, 1, 5 * TIMEOUT_MS), 1);
    CHECK(done.id == id);
    return done.status;
}

static int background(unsigned i)
{
    struct cenote_buffer from = {out, 30000}, to = {in, 30000};
    struct cenote_put_item p = {.key = {"async", 5}, .buffers = &from, .buffer_count = 1};
    struct cenote_get_item g = {.key = {"async", 5}, .buffers = &to, .buffer_count = 1};
    uint64_t id;
    (void)i;
    fill(77, 30000);
    int status = cenote_submit_put(client, &p, 1, 0, NULL, &id);
    if (status == CENOTE_OK && wait_for(id) != CENOTE_OK && p.status != CENOTE_EXISTS)
        status = p.status;
    if (status == CENOTE_OK)
        status = cenote_submit_get(client, &g, 1, NULL, &id);
    if (status == CENOTE_OK)
        status = wait_for(id);
    if (status == CENOTE_OK)
        status = g.status;
    CHECK(status != CENOTE_OK || right(77, 0, 30000));
    return status;
}

static int ranges(unsigned i)
{
    struct cenote_buffer to = {in, 50000};
    struct cenote_range_item r = {
        .key = {"k4", 2}, .offset = 1020000, .buffers = &to, .buffer_count = 1};
    (void)i;
    int status = cenote_get_ranges(client, &r, 1);
    if (status == CENOTE_OK)
        status = r.status;
    CHECK(status != CENOTE_OK || right(4, 1020000, 50000));
    return status;
}

static int writer(unsigned i)
{
    struct cenote_writer *w;
    fill(5, 200000);
    int status = cenote_writer_open(client, "written", 7, 200000, 0, &w);
    (void)i;
    if (status == CENOTE_EXISTS)
        return CENOTE_OK;
    if (status != CENOTE_OK)
        return status;
    for (unsigned at = 0; at < 200000 && status == CENOTE_OK; at += 50000)
        status = cenote_writer_write(w, at, out + at, 50000);
    if (status == CENOTE_OK)
        status = cenote_writer_commit(w);
    cenote_writer_close(&w);
    return status == CENOTE_EXISTS ? CENOTE_OK : status;
}

static int written(unsigned i)
{
    uint64_t len = 0;
    (void)i;
    int status = cenote_get(client, "written", 7, in, sizeof(in), &len);
    CHECK(status != CENOTE_OK || (len == 200000 && right(5, 0, 200000)));
    return status;
}

static int list(unsigned i)
{
    struct cenote_list l = {0};
    unsigned count = 0;
    int status;
    (void)i;
    do {
        status = cenote_list(client, "b", 1, &l);
        count += status == CENOTE_OK ? (unsigned)l.count : 0;
    } while (status == CENOTE_OK && l.more);
    cenote_list_free(&l);
    CHECK(status != CENOTE_OK || count == 2 * BATCH);
    return status;
}

static int look(unsigned i)
{
    struct cenote_key key = {"k1", 2};
    struct cenote_stat st;
    struct cenote_place *places = NULL;
    size_t count = 0, prefix = 0;
    bool present;
    char *json = NULL;
    (void)i;
    int status = cenote_stat(client, "k1", 2, &st);
    CHECK(status != CENOTE_OK || st.len_bytes == lengths[1]);
    if (status == CENOTE_OK)
        status = cenote_exists(client, &key, 1, &present, &prefix);
    CHECK(status != CENOTE_OK || (present && prefix == 1));
    if (status == CENOTE_OK)
        status = cenote_places(client, "k1", 2, &places, &count);
    CHECK(status != CENOTE_OK || count == 1);
    free(places);
    if (status == CENOTE_OK)
        status = cenote_pool_status(client, &json);
    if (status == CENOTE_OK)
        free(json);
    return status;
}

static int registered(unsigned i)
{
    uint64_t id;
    (void)i;
    int status = cenote_buffer_register(client, in, sizeof(in), CENOTE_MEMORY_HOST, &id);
    return status == CENOTE_OK ? cenote_buffer_unregister(client, id) : status;
}

static int remove_one(unsigned i)
{
    char name[16];
    int status, one;
    struct cenote_key key = {name, key_of(name, "r", i)};
    status = cenote_remove(client, &key, 1, &one);
    if (status != CENOTE_OK && status != CENOTE_NOT_FOUND)
        return status;
    status = get("r", i, 2, 6000);
    CHECK(status != CENOTE_OK);
    return status == CENOTE_NOT_FOUND ? CENOTE_OK : status;
}

/* A client of its own, that comes and goes. */
static int guest(unsigned i)
{
    struct cenote_options o = {.meta = endpoint,
                               .name_space = "guest",
                               .transport = transport,
                               .timeout_ms = TIMEOUT_MS,
                               .cache_bytes = 1};
    struct cenote *c = NULL;
    uint64_t len;
    (void)i;
    int status = cenote_open(&o, &c);
    if (status != CENOTE_OK)
        return status;
    fill(9, 9000);
    status = cenote_put(c, "g", 1, out, 9000, CENOTE_PUT_REPLACE);
    if (status == CENOTE_OK)
        status = cenote_get(c, "g", 1, in, sizeof(in), &len);
    CHECK(status != CENOTE_OK || (len == 9000 && right(9, 0, 9000)));
    cenote_close(&c);
    return status;
}

static int open_client(unsigned i)
{
    struct cenote_options o = {.meta = endpoint, .transport = transport, .timeout_ms = TIMEOUT_MS};
    (void)i;
    return cenote_open(&o, &client);
}

/* ---- the scene ---------------------------------------------------------------------------- */

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void step(const char *name, int (*run)(unsigned i), unsigned i)
{
    for (unsigned tries = 0;; tries++) {
        int status = run(i);
        if (status == CENOTE_OK)
            return;
        printf("%s %u: %s\n", name, i, cenote_status_name(status));
        errors++;
        if (tries == TRIES_MAX) {
            printf("%s does not succeed again\n", name);
            exit(1);
        }
        pause_ms(PAUSE_MS);
    }
}

#define STEP(run, i) step(#run, run, i)

static void scene_fill(void)
{
    for (unsigned i = 0; i < 2 * LENGTHS; i++)
        STEP(plain_put, i);
    for (unsigned i = 0; i < 2 * LENGTHS; i++)
        STEP(plain_get, i);
    STEP(plain_get, 4); /* by now its place is known */
    STEP(replace, 0);
    STEP(replace, 1);
    STEP(batch, 0);
    STEP(batch, BATCH);
    STEP(view, 0);
    STEP(background, 0);
    STEP(ranges, 0);
    STEP(writer, 0);
    STEP(written, 0);
    STEP(list, 0);
    STEP(look, 0);
    STEP(registered, 0);
    STEP(guest, 0);
    STEP(remove_one, 0);
    STEP(remove_one, 1);
}

static void scene_read(void)
{
    for (unsigned i = 0; i < 2 * LENGTHS; i++)
        STEP(plain_get, i);
    STEP(written, 0);
    STEP(list, 0);
    STEP(replace, 2);
    STEP(remove_one, 2);
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(endpoint, sizeof(endpoint), "%s", argv[1]);
    transport = transport_named(argv[2]);
    STEP(open_client, 0);
    if (strcmp(argv[3], "fill") == 0)
        scene_fill();
    else
        scene_read();
    cenote_close(&client);
    printf("%u errors\n", errors);
    return 0;
}
