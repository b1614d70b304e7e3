/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flipped bits in the service's records: each byte of each record (key, value, checksum) of a small
 * pool's store, one bit or a burst of bytes at a time. Whoever comes upon the record says so: the
 * start is refused, or the check that reads it fails. What the service says of the pool without a
 * complaint is as it was.
 *
 * Usage: flip_records [--times n] [--seed s]    (n bits of each byte; 0: of one byte in eight)
 */
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meta/service/peer.h"
#include "tests/crash/image.h"
#include "tests/crash/life.h"
#include "tests/crash/scratch.h"
#include "tests/linear/random.h"
#include "tests/scenario/check.h"

#define RECORDS_MAX 4096u
#define BURST_MAX   64u
#define SPARSE      8u

/* Where a record's bytes lie in data.mdb. */
struct range {
    size_t at_bytes, len_bytes;
};

static struct {
    struct life life;
    struct image image;
    size_t at; /* operation of the life's record */
    char dir[DISK_PATH_MAX];
    struct range ranges[RECORDS_MAX];
    unsigned range_count;
    uint64_t seed, state;
    unsigned flips, refused, read, violations;
} run;

static const struct service_options pool = {.lease_ms = 500,
                                            .put_timeout_ms = 5000,
                                            .session_grace_ms = 8000,
                                            .heartbeat_ms = 100,
                                            .suspect_ms = 1000,
                                            .dead_ms = 4000};

/* ---- where the records are ------------------------------------------------------------------- */

static size_t offset_in_file(const void *bytes, size_t len_bytes)
{
    const struct image_file *f = &run.image.files[DISK_DATA];
    const uint8_t *found = memmem(f->bytes, f->len_bytes, bytes, len_bytes);
    CHECK(found != NULL);
    return (size_t)(found - f->bytes);
}

static void add_range(size_t at, size_t len_bytes)
{
    CHECK(run.range_count < RECORDS_MAX);
    run.ranges[run.range_count++] = (struct range){at, len_bytes};
}

/* A leaf has the key and the value side by side. Older copies of a page may hold the same bytes:
 * the offset in the page that LMDB has mapped tells them apart. */
static void find_record(const uint8_t *map, const MDB_val *key, const MDB_val *value)
{
    add_range((size_t)((const uint8_t *)key->mv_data - map), key->mv_size);
    add_range((size_t)((const uint8_t *)value->mv_data - map), value->mv_size);
}

/* LMDB doesn't tell where its map is: a record whose bytes are in the file once does. */
static const uint8_t *map_of(const MDB_val *value)
{
    const struct image_file *f = &run.image.files[DISK_DATA];
    size_t at = offset_in_file(value->mv_data, value->mv_size);
    const uint8_t *rest = f->bytes + at + 1;
    bool once = memmem(rest, f->len_bytes - at - 1, value->mv_data, value->mv_size) == NULL;
    return once ? (const uint8_t *)value->mv_data - at : NULL;
}

static void each_record(MDB_txn *txn, MDB_dbi tree, const uint8_t **map)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    CHECK(mdb_cursor_open(txn, tree, &cursor) == 0);
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
        if (*map != NULL)
            find_record(*map, &k, &v);
        else if (map_of(&v) != NULL)
            *map = map_of(&v);
        if (run.range_count == 0 && *map != NULL) {
            mdb_cursor_close(cursor);
            return;
        }
    }
    mdb_cursor_close(cursor);
}

static void find_records(void)
{
    static const char *const names[] = {"meta",    "objects",    "names",
                                        "members", "namespaces", "sessions"};
    const uint8_t *map = NULL;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi trees[6];
    CHECK(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 6) == 0);
    CHECK(mdb_env_set_mapsize(env, LIFE_MAP_BYTES) == 0);
    CHECK(mdb_env_open(env, run.dir, MDB_RDONLY, 0600) == 0);
    CHECK(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0);
    for (unsigned i = 0; i < 6; i++) {
        CHECK(mdb_dbi_open(txn, names[i], 0, &trees[i]) == 0);
        if (map == NULL)
            each_record(txn, trees[i], &map);
    }
    CHECK(map != NULL);
    for (unsigned i = 0; i < 6; i++)
        each_record(txn, trees[i], &map);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    for (unsigned i = 0; i < run.range_count; i++)
        CHECK(run.ranges[i].at_bytes + run.ranges[i].len_bytes <=
              run.image.files[DISK_DATA].len_bytes);
}

/* ---- a pool in its middle -------------------------------------------------------------------- */

static uint32_t records_at(size_t at)
{
    uint32_t told = 0;
    for (size_t i = 0; i < run.life.promises.count; i++)
        told += run.life.promises.events[i].stamp <= at &&
                run.life.promises.events[i].kind == EVENT_TOLD;
    return told;
}

/* Some time after the service's restart: there are objects of each kind. */
static void begin(void)
{
    struct walk w;
    char dir[DISK_PATH_MAX];
    run.life = (struct life){.durability = STORE_PROCESS};
    scratch_make(dir);
    life_record(&run.life, dir);
    scratch_remove(dir);
    walk_begin(&w, &run.life.record);
    while (records_at(w.at) * 5 < records_at(run.life.record.count) * 2)
        walk_step(&w);
    run.at = w.at;
    image_copy(&w.cached, &run.image);
    walk_end(&w);
    scratch_make(run.dir);
    image_write(&run.image, run.dir);
    find_records();
}

/* ---- flips ----------------------------------------------------------------------------------- */

static bool violated(size_t at, const char *what)
{
    run.violations++;
    fprintf(stderr, "byte %zu of data.mdb, seed %llu: %s (%s)\n", at, (unsigned long long)run.seed,
            what, life_said());
    return false;
}

static bool reported(void)
{
    return strstr(life_said(), "is damaged") != NULL;
}

/* A damaged key may hide its record, or others: then who misses it says so. */
static bool refusal_clear(int status)
{
    return status == CENOTE_IO && (reported() || strstr(life_said(), "can't be read") != NULL);
}

/* Reads every record. */
static bool read_all(struct world *w, size_t at)
{
    bool equal = service_check(w->service) == 0;
    if (equal && !reported())
        return violated(at, "nobody has noticed");
    if (!reported())
        return violated(at, "what is wrong isn't said");
    run.read++;
    return true;
}

static bool open_flipped(size_t at)
{
    struct lmdb_disk lmdb;
    lmdb_disk_init(&lmdb, run.dir, &run.life.lmdb.options);
    life_log_keep();
    struct world *w = world_new_on(&lmdb.disk, &pool);
    int status = world_start(w);
    bool good = true;
    run.flips++;
    if (status != CENOTE_OK) {
        run.refused++;
        if (!refusal_clear(status))
            good = violated(at, "the refusal isn't clear");
    } else if (!promises_kept(&run.life.promises, run.at, w)) {
        good = violated(at, "a promise is broken");
    } else {
        good = read_all(w, at);
    }
    world_free(w);
    return good;
}

static void flip(size_t at, size_t len_bytes, bool burst)
{
    struct image_file *f = &run.image.files[DISK_DATA];
    uint8_t before[BURST_MAX];
    memcpy(before, f->bytes + at, len_bytes);
    if (!burst)
        f->bytes[at] ^= (uint8_t)(1u << random_next(&run.state) % 8);
    for (size_t i = 0; burst && i < len_bytes; i++)
        f->bytes[at + i] = (uint8_t)(random_next(&run.state) >> 32);
    if (memcmp(before, f->bytes + at, len_bytes) != 0) {
        image_write(&run.image, run.dir);
        open_flipped(at);
    }
    memcpy(f->bytes + at, before, len_bytes);
}

static void flip_range(const struct range *r, unsigned times)
{
    for (size_t i = 0; i < r->len_bytes; i++) {
        bool left_out = times == 0 && random_next(&run.state) % SPARSE != 0;
        for (unsigned n = 0; n < (times == 0 ? 1 : times) && !left_out; n++)
            flip(r->at_bytes + i, 1, false);
    }
    for (unsigned n = 0; n < 1 + times && r->len_bytes > 0; n++) {
        size_t len = 1 + random_next(&run.state) % BURST_MAX;
        len = len < r->len_bytes ? len : r->len_bytes;
        flip(r->at_bytes + random_next(&run.state) % (r->len_bytes - len + 1), len, true);
    }
}

int main(int argc, char **argv)
{
    unsigned times = 0;
    run.seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--times") == 0)
            times = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            run.seed = strtoull(argv[i + 1], NULL, 10);
    }
    run.state = run.seed;
    begin();
    printf("seed %llu, %u records\n", (unsigned long long)run.seed, run.range_count / 2);
    for (unsigned i = 0; i < run.range_count; i++)
        flip_range(&run.ranges[i], times);
    scratch_remove(run.dir);
    image_free(&run.image);
    life_free(&run.life);
    printf("%u starts were refused, %u records were found damaged by the check\n", run.refused,
           run.read);
    printf("count %u violations %u\n", run.flips, run.violations);
    return run.violations > 0;
}
