/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which changes are synced, and what happens when a sync fails. LMDB's fdatasync() is this
 * program's: it counts, and it fails when it is told to.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/scenario/store/kit.h"

#define NEVER_MS 3600000u

static atomic_uint syncs, failures; /* of fdatasync: done; to come */

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    unsigned left = atomic_load(&failures);
    if (left > 0) {
        atomic_store(&failures, left - 1);
        errno = EIO;
        return -1;
    }
    atomic_fetch_add(&syncs, 1);
    return (int)syscall(SYS_fdatasync, fd);
}

static struct store *open_as(const char *dir, enum store_durability durability, uint32_t flush_ms)
{
    struct store *s = kit_open(dir, &(struct store_lmdb_options){
                                        .map_size_bytes = 4 << 20,
                                        .durability = durability,
                                        .flush_ms = flush_ms,
                                        .boot_id = "boot-1",
                                    });
    atomic_store(&syncs, 0);
    return s;
}

static void process_mode(const char *dir)
{
    struct store *s = open_as(dir, STORE_PROCESS, NEVER_MS);
    for (uint64_t n = 0; n < 100; n++)
        CHECK(kit_put(s, STORE_META, n, 8, 0) == CENOTE_OK);
    CHECK(atomic_load(&syncs) == 0);
    CHECK(kit_put(s, STORE_META, 1, 8, KIT_SYNC) == CENOTE_OK);
    unsigned synced = atomic_load(&syncs);
    CHECK(synced > 0);
    CHECK(kit_put(s, STORE_META, 2, 8, 0) == CENOTE_OK);
    CHECK(atomic_load(&syncs) == synced);
    store_lmdb_close(s);
    CHECK(atomic_load(&syncs) > synced);
}

static void sync_mode(const char *dir)
{
    struct store *s = open_as(dir, STORE_SYNC, 0);
    for (unsigned n = 0; n < 100; n++) {
        CHECK(kit_put(s, STORE_META, n, 8, 0) == CENOTE_OK);
        CHECK(atomic_load(&syncs) > n);
    }
    store_lmdb_close(s);
}

/* Waits for the background without sleeping longer than needed. */
static void wait_for(bool (*met)(void))
{
    for (unsigned i = 0; !met(); i++) {
        CHECK(i < 20000);
        poll(NULL, 0, 1);
    }
}

static bool synced_once(void)
{
    return atomic_load(&syncs) > 0;
}

static bool failed_once(void)
{
    return atomic_load(&failures) == 0;
}

static void background(const char *dir)
{
    struct store *s = open_as(dir, STORE_PROCESS, 2);
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&syncs, 0);
        CHECK(kit_put(s, STORE_META, i, 8, 0) == CENOTE_OK);
        wait_for(synced_once);
    }
    store_lmdb_close(s);
}

/* The change that asked fails, all later ones fail, what was there can be read, and the directory
 * isn't marked as clean. */
static void broken_check(const char *dir, struct store *s)
{
    atomic_store(&failures, 0);
    CHECK(kit_put(s, STORE_META, 3, 8, KIT_FREES) == CENOTE_IO);
    CHECK(kit_has(s, STORE_META, 1) && !kit_has(s, STORE_META, 3));
    CHECK(kit_said("takes no more changes"));
    store_lmdb_close(s);
    struct store_lmdb_options later = {.map_size_bytes = 4 << 20, .boot_id = "boot-2"};
    CHECK(kit_refused(dir, &later) == CENOTE_UNTRUSTED);
}

static void failed_sync_change(const char *dir)
{
    struct store *s = open_as(dir, STORE_PROCESS, NEVER_MS);
    CHECK(kit_put(s, STORE_META, 1, 8, 0) == CENOTE_OK);
    atomic_store(&failures, 100);
    CHECK(kit_put(s, STORE_META, 2, 8, KIT_SYNC) == CENOTE_IO);
    CHECK(!kit_has(s, STORE_META, 2));
    broken_check(dir, s);
}

static void failed_background(const char *dir)
{
    struct store *s = open_as(dir, STORE_PROCESS, 2);
    atomic_store(&failures, 1);
    CHECK(kit_put(s, STORE_META, 1, 8, 0) == CENOTE_OK);
    wait_for(failed_once);
    while (kit_put(s, STORE_META, 1, 8, 0) == CENOTE_OK)
        poll(NULL, 0, 1);
    broken_check(dir, s);
}

/* A group whose sync fails is tried again, each change in its own transaction. */
static void failed_sync_mode(const char *dir)
{
    struct store *s = open_as(dir, STORE_SYNC, 0);
    atomic_store(&failures, 1);
    CHECK(kit_put(s, STORE_META, 1, 8, 0) == CENOTE_OK);
    atomic_store(&failures, 2);
    CHECK(kit_put(s, STORE_META, 2, 8, 0) == CENOTE_IO);
    CHECK(kit_said("a change failed"));
    CHECK(kit_has(s, STORE_META, 1) && !kit_has(s, STORE_META, 2));
    CHECK(kit_put(s, STORE_META, 3, 8, 0) == CENOTE_OK);
    store_lmdb_close(s);
    s = open_as(dir, STORE_SYNC, 0);
    CHECK(kit_count(s, STORE_META) == 2);
    store_lmdb_close(s);
}

int main(void)
{
    void (*const cases[])(const char *dir) = {
        process_mode,       sync_mode,         background,
        failed_sync_change, failed_background, failed_sync_mode,
    };
    char dir[64];
    kit_log_keep();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kit_dir_make(dir);
        cases[i](dir);
        kit_dir_remove(dir);
    }
    return 0;
}
