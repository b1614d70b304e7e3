/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is full, or bad, for one operation: the story of a pool over the real store, again
 * and again, each time with another write, change of size or sync of the store's files that fails.
 * Clients may hear of it; the contents stay as they were acknowledged, and the pool goes on: by
 * itself, or where the store says that it takes no more changes, after the service was killed and
 * started again.
 *
 * Usage: full [all | seed]   (all: each operation; otherwise some, drawn by the seed)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/crash/image.h"
#include "tests/crash/life.h"
#include "tests/crash/scratch.h"
#include "tests/scenario/check.h"

#define RUNS          12u /* of each kind, unless all are wanted */
#define NEVER_MS      3600000u
#define ERRORS_OF_ONE 40u /* that are heard of: until the service is started again */

static struct lmdb_disk lmdb;
static unsigned restarts, tried;

static bool broken(void)
{
    bool said = strstr(life_said(), "until the service is started again") != NULL;
    restarts += said;
    if (said)
        life_log_keep();
    return said;
}

static void prepare(struct world *w)
{
    (void)w;
}

/* The kernel keeps what was written; that the store closes cleanly is undone. */
static void on_killed(void *arg)
{
    (void)arg;
}

static unsigned run(enum store_durability durability, unsigned first, int error, bool syncs)
{
    char dir[DISK_PATH_MAX];
    struct store_lmdb_options options = {.map_size_bytes = LIFE_MAP_BYTES,
                                         .durability = durability,
                                         .flush_ms = NEVER_MS,
                                         .boot_id = LIFE_BOOT_ID};
    scratch_make(dir);
    lmdb_disk_init(&lmdb, dir, &options);
    lmdb.killed = on_killed;
    life_log_keep();
    disk_watch(dir);
    disk_fail(first, first > 0 ? 1 : 0, error, syncs);
    struct story told = story_run(&(struct story_options){
        .troubled = first > 0, .prepare = prepare, .broken = broken, .disk = &lmdb.disk});
    disk_watch(NULL);
    scratch_remove(dir);
    CHECK(first > 0 || told.errors == 0);
    CHECK(told.errors <= ERRORS_OF_ONE);
    return told.errors;
}

static void sweep(const char *what, enum store_durability durability, int error, bool syncs,
                  unsigned runs, unsigned seed)
{
    run(durability, 0, error, syncs);
    unsigned operations = disk_counted();
    unsigned stride = runs < operations ? operations / runs : 1;
    unsigned done = 0, heard = 0, most = 0;
    restarts = 0;
    for (unsigned first = 1 + seed % stride; first <= operations; first += stride, done++) {
        if (getenv("FULL_LOG") != NULL)
            fprintf(stderr, "%s: number %u\n", what, first);
        unsigned errors = run(durability, first, error, syncs);
        heard += errors > 0;
        most = errors > most ? errors : most;
    }
    tried += done;
    printf("%s: %u of %u operations, %u were heard of, %u errors in one at most, %u restarts\n",
           what, done, operations, heard, most, restarts);
}

int main(int argc, char **argv)
{
    bool all = argc > 1 && strcmp(argv[1], "all") == 0;
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)time(NULL);
    unsigned runs = all ? UINT32_MAX : RUNS;
    printf("seed %u\n", seed);
    sweep("sync, a full disk", STORE_SYNC, ENOSPC, false, runs, seed);
    sweep("sync, a bad disk", STORE_SYNC, EIO, true, runs, seed);
    sweep("process, a full disk", STORE_PROCESS, ENOSPC, false, runs, seed);
    sweep("process, a bad disk", STORE_PROCESS, EIO, true, runs, seed);
    printf("count %u violations 0\n", tried); /* the first one ends the program */
    return 0;
}
