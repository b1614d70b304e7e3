/* SPDX-License-Identifier: Apache-2.0 */
/* A full map and a full disk: what frees goes on, nothing fails because of another's size. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/scenario/store/kit.h"

#define VALUE_BYTES 990u /* four on a page */
#define GROUP       32u

/* Adds values from n on until one is refused; the number of those that are in. */
static unsigned fill(struct store *s, unsigned group)
{
    struct kit_tally t = {0};
    unsigned submitted = 0;
    while (t.full == 0) {
        CHECK(t.io == 0 && submitted < 1000000);
        for (unsigned i = 0; i < group; i++)
            kit_submit(s, STORE_OBJECTS, submitted++, VALUE_BYTES, 0, &t);
        kit_wait(s, &t, submitted);
    }
    CHECK(kit_count(s, STORE_OBJECTS) == t.ok);
    return t.ok;
}

static void empty(struct store *s, unsigned count, unsigned group)
{
    struct kit_tally t = {0};
    for (unsigned n = 0; n < count;) {
        for (unsigned i = 0; i < group && n < count; i++, n++)
            kit_submit(s, STORE_OBJECTS, n, 0, KIT_REMOVE | KIT_FREES, &t);
        kit_wait(s, &t, n);
    }
    CHECK(t.ok == count && kit_count(s, STORE_OBJECTS) == 0);
}

/* Full again and again: the space comes back. */
static void run_cycles(struct store *s, unsigned least)
{
    for (unsigned cycle = 0; cycle < 3; cycle++) {
        unsigned group = cycle % 2 ? 1 : GROUP;
        unsigned count = fill(s, group);
        CHECK(count >= least);
        CHECK(kit_put(s, STORE_META, 1, 200, KIT_FREES | KIT_SYNC) == CENOTE_OK);
        CHECK(kit_put(s, STORE_META, 2, 200, 0) == CENOTE_META_FULL);
        CHECK(cycle > 0 || kit_said("only changes that free space"));
        empty(s, count, group);
        CHECK(kit_put(s, STORE_META, 1, 0, KIT_REMOVE) == CENOTE_OK);
    }
}

/* One that doesn't fit, in the midst of a group, whether refused beforehand or found out late. */
static void run_big_one(struct store *s, int flags)
{
    struct kit_tally small = {0}, big = {0};
    for (unsigned i = 0; i < GROUP; i++) {
        kit_submit(s, STORE_NAMES, i, 100, 0, &small);
        if (i % 8 == 4)
            kit_submit(s, STORE_META, 5, 5 << 20, flags, &big);
    }
    kit_wait(s, &small, GROUP);
    kit_wait(s, &big, 4);
    CHECK(small.ok == GROUP && big.full == 4);
    CHECK(kit_count(s, STORE_NAMES) == GROUP && !kit_has(s, STORE_META, 5));
}

static void run_full_map(void)
{
    char dir[64];
    struct store_lmdb_options options = {.map_size_bytes = 4 << 20};
    kit_dir_make(dir);
    struct store *s = kit_open(dir, &options);
    run_big_one(s, 0);
    run_big_one(s, KIT_FREES);
    run_cycles(s, 2000);
    unsigned count = fill(s, GROUP);
    store_lmdb_close(s);
    s = kit_open(dir, &options);
    CHECK(kit_count(s, STORE_OBJECTS) == count);
    empty(s, count, 1);
    store_lmdb_close(s);
    kit_dir_remove(dir);
}

/* ---- a disk of 8 MiB under a larger map ------------------------------------------------------ */

/* Even the blocks kept for changes that free run out when such a change is misused. */
static void run_reserve_gone(struct store *s)
{
    unsigned count = fill(s, GROUP);
    struct kit_tally t = {0};
    unsigned submitted = 0;
    while (t.full == 0) {
        CHECK(t.io == 0 && submitted < 1000000);
        for (unsigned i = 0; i < GROUP; i++)
            kit_submit(s, STORE_NAMES, submitted++, VALUE_BYTES, KIT_FREES, &t);
        kit_wait(s, &t, submitted);
    }
    CHECK(kit_count(s, STORE_OBJECTS) == count && kit_count(s, STORE_NAMES) == t.ok);
}

static void full_disk(const char *disk)
{
    char dir[80];
    struct store_lmdb_options options = {.map_size_bytes = 16 << 20};
    snprintf(dir, sizeof(dir), "%s/data", disk);
    struct store *s = kit_open(dir, &options);
    run_cycles(s, 3000);
    run_reserve_gone(s);
    unsigned count = kit_count(s, STORE_NAMES);
    store_lmdb_close(s);
    options.boot_id = "another"; /* believed, because it was closed cleanly */
    s = kit_open(dir, &options);
    CHECK(kit_count(s, STORE_NAMES) == count);
    store_lmdb_close(s);
}

/* Not one block left: opening says so (and isn't killed by a signal). */
static void no_disk(const char *disk)
{
    char name[80];
    static unsigned char block[4096];
    snprintf(name, sizeof(name), "%s/ballast", disk);
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    unsigned blocks = 0;
    while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
        blocks++;
    CHECK(blocks > 100);
    snprintf(name, sizeof(name), "%s/data", disk);
    struct store_lmdb_options options = {.map_size_bytes = 4 << 20};
    for (unsigned free_blocks = 0;; free_blocks++) {
        CHECK(free_blocks < 100 && ftruncate(fd, (off_t)(blocks - free_blocks) * 4096) == 0);
        struct store *s = NULL;
        int rc = store_lmdb_open(name, &options, &s);
        if (rc == CENOTE_OK) {
            CHECK(kit_put(s, STORE_META, 1, 8, KIT_FREES) != CENOTE_IO);
            store_lmdb_close(s);
            break;
        }
        CHECK(rc == CENOTE_META_FULL && kit_said("No space left"));
    }
    close(fd);
}

int main(void)
{
    char dir[64];
    kit_log_keep();
    run_full_map();
    kit_dir_make(dir);
    if (kit_in_tmpfs(dir, "8m", full_disk))
        CHECK(kit_in_tmpfs(dir, "1m", no_disk));
    kit_dir_remove(dir);
    return 0;
}
