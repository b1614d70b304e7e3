/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/rawstore.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/clock.h"

#define MAP_BYTES    (UINT64_C(16) << 30)
#define RECORD_BYTES 96u /* of an object of one extent with a key of 17 bytes */
#define NAME_BYTES   21u
#define ANSWER_BYTES 20u
#define PUTS         300000u
#define GETS         1000000u
#define FILL_GROUP   10000u

struct rawstore {
    char dir[64];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi objects, names, sessions;
};

static bool store_begin(struct rawstore *s)
{
    snprintf(s->dir, sizeof s->dir, "/tmp/cenote-bench-XXXXXX");
    if (!mkdtemp(s->dir))
        return false;
    return mdb_env_create(&s->env) == 0 && mdb_env_set_maxdbs(s->env, 3) == 0 &&
           mdb_env_set_mapsize(s->env, MAP_BYTES) == 0 &&
           mdb_env_open(s->env, s->dir, MDB_NOSYNC, 0600) == 0 &&
           mdb_txn_begin(s->env, NULL, 0, &s->txn) == 0 &&
           mdb_dbi_open(s->txn, "objects", MDB_CREATE, &s->objects) == 0 &&
           mdb_dbi_open(s->txn, "names", MDB_CREATE, &s->names) == 0 &&
           mdb_dbi_open(s->txn, "sessions", MDB_CREATE, &s->sessions) == 0;
}

static void store_end(struct rawstore *s)
{
    char path[96];
    if (s->txn)
        mdb_txn_abort(s->txn);
    if (s->env)
        mdb_env_close(s->env);
    snprintf(path, sizeof path, "%s/data.mdb", s->dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/lock.mdb", s->dir);
    unlink(path);
    rmdir(s->dir);
}

static bool store_next(struct rawstore *s)
{
    int rc = mdb_txn_commit(s->txn);
    s->txn = NULL;
    return rc == 0 && mdb_txn_begin(s->env, NULL, 0, &s->txn) == 0;
}

static bool write_one(struct rawstore *s, MDB_dbi tree, void *key, size_t key_len, size_t len)
{
    static uint8_t value[RECORD_BYTES];
    MDB_val k = {key_len, key}, v = {len, value};
    return mdb_put(s->txn, tree, &k, &v, 0) == 0;
}

static bool write_record(struct rawstore *s, uint64_t put_id)
{
    uint64_t key = __builtin_bswap64(put_id);
    return write_one(s, s->objects, &key, sizeof key, RECORD_BYTES);
}

static bool write_name(struct rawstore *s, uint64_t n)
{
    char name[NAME_BYTES + 1];
    snprintf(name, sizeof name, "%0*llu", (int)NAME_BYTES,
             (unsigned long long)(n * UINT64_C(0x9e3779b97f4a7c15) % 1000000000));
    return write_one(s, s->names, name, NAME_BYTES, sizeof n);
}

static bool write_answer(struct rawstore *s, uint64_t n)
{
    uint8_t key[11] = {(uint8_t)(n % 64), (uint8_t)(n / 64 % 128)};
    return write_one(s, s->sessions, key, sizeof key, ANSWER_BYTES);
}

/* A batch is begun with one change, and committed with one for each put. */
static bool write_batch(struct rawstore *s, uint64_t first, uint32_t batch)
{
    bool good = write_answer(s, first / batch);
    for (uint32_t i = 0; good && i < batch; i++)
        good = write_record(s, first + i);
    for (uint32_t i = 0; good && i < batch; i++)
        good = write_record(s, first + i) && write_name(s, first + i);
    return good;
}

double rawstore_puts(uint32_t batch, double changes_per_transaction)
{
    struct rawstore s = {0};
    double batches = changes_per_transaction / (batch + 1), due = batches;
    bool good = store_begin(&s);
    uint64_t start_ns = clock_now_ns(), n = 0;

    for (uint64_t done = 0; good && n < PUTS; n += batch) {
        good = write_batch(&s, n, batch);
        if ((double)++done < due)
            continue;
        good = good && store_next(&s);
        due += batches;
    }
    double seconds = (double)(clock_now_ns() - start_ns) / 1e9;
    store_end(&s);
    return good ? (double)n / seconds : 0;
}

static bool fill(struct rawstore *s, uint64_t objects)
{
    bool good = true;
    for (uint64_t i = 0; good && i < objects; i++)
        good = write_record(s, i) && (i % FILL_GROUP > 0 || store_next(s));
    return good && store_next(s);
}

double rawstore_gets(uint64_t objects)
{
    struct rawstore s = {0};
    bool good = store_begin(&s) && fill(&s, objects);
    uint64_t start_ns = clock_now_ns(), random = 88172645463325252u;

    for (uint32_t i = 0; good && i < GETS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t key = __builtin_bswap64((random >> 16) % objects);
        MDB_val k = {sizeof key, &key}, v;
        good = mdb_get(s.txn, s.objects, &k, &v) == 0;
    }
    double seconds = (double)(clock_now_ns() - start_ns) / 1e9;
    store_end(&s);
    return good ? GETS / seconds : 0;
}
