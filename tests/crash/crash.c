/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crashes of the service and of the system at every moment of a pool's life, over the real store.
 *
 * The story of tests/scenario/service runs over LMDB in each durability mode, with a kill or a
 * clean end before its restart, while all that reaches the disk is recorded. Then, for every
 * operation of the record, the directory that a crash just there leaves is made and opened by the
 * real store and service:
 *   killed   the process dies: what was done until then, and a part of the operation under way
 *   system   the system dies: what was synced, and any choice of what wasn't; all choices of pages
 *            where they are few, else a sample of them, of pages and of sectors
 * Either the service comes up with all promises kept (promises.h) and no difference between
 * records, table and allocators; or it refuses and says what to do, which it may only after an
 * unclean end in the mode "process" of a system that has been started again.
 *
 * Usage: crash [--times n] [--part n] [--seed s]
 *   times   so many samples more, and all choices of larger windows
 *   part    looks at each n-th operation only
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meta/service/peer.h"
#include "tests/crash/image.h"
#include "tests/crash/life.h"
#include "tests/crash/scratch.h"
#include "tests/linear/random.h"
#include "tests/scenario/check.h"

#define SAMPLES      4u /* of a crash of the system at one operation, times --times */
#define CHOICES_BITS 5u /* as many units are tried in all choices, plus one each for --times * 2 */
#define BITS_MAX     12u
#define MIDST_EVERY  4u  /* operations, from one to the next that isn't the last before a sync */
#define DEEP_EVERY   64u /* so many images from one whose pool lives on to the next */
#define DEEP_MS      20000u
#define VIOLATIONS   20u /* enough is enough */

static struct {
    unsigned times, part;
    uint64_t seed, state; /* of what is drawn */
    size_t operations;
    unsigned killed, system, refused, deep, violations;
    char dir[DISK_PATH_MAX];
    struct unit units[UNITS_MAX];
} run = {.times = 1, .part = 1};

static const struct service_options pool = {.lease_ms = 500,
                                            .put_timeout_ms = 5000,
                                            .session_grace_ms = 8000,
                                            .heartbeat_ms = 100,
                                            .suspect_ms = 1000,
                                            .dead_ms = 4000};

/* ---- one image ------------------------------------------------------------------------------- */

static bool violated(const struct life *life, size_t at, const char *what)
{
    run.violations++;
    fprintf(stderr, "%s, %s, operation %zu of %zu, seed %llu: %s (%s)\n",
            life->durability == STORE_SYNC ? "sync" : "process", life->clean ? "clean" : "killed",
            at, life->record.count, (unsigned long long)run.seed, what, life_said());
    if (run.violations >= VIOLATIONS)
        exit(1);
    return false;
}

/* Nobody comes back: all that was there ends, and there is room for others. */
static bool lives_on(struct world *w)
{
    const struct core *c = &w->service->core;
    world_pass(w, DEEP_MS);
    run.deep++;
    if (c->table.count > 0 || c->pending > 0 || c->reuse.extents > 0 || c->sessions.count > 0)
        return false;
    struct end *node = node_up(w, "later", 9999, 1, UINT64_C(8) << 20);
    struct end *client = client_open(w, "default");
    bool good = client_put(client, "one more", 5000, 0) == CENOTE_OK &&
                client_lookup(client, "one more", NULL, NULL) == CENOTE_OK &&
                client_exists(client, "one more");
    end_close(node);
    end_close(client);
    return good && service_check(w->service) == 0;
}

static bool refusal_clear(int status)
{
    return status == CENOTE_UNTRUSTED && strstr(life_said(), "--rebuild") != NULL;
}

/* The directory is made. trusted: it may not be refused. */
static bool open_image(const struct life *life, size_t at, const char *boot_id, bool trusted)
{
    struct lmdb_disk lmdb;
    struct store_lmdb_options options = life->lmdb.options;
    options.boot_id = boot_id;
    lmdb_disk_init(&lmdb, run.dir, &options);
    life_log_keep();
    struct world *w = world_new_on(&lmdb.disk, &pool);
    int status = world_start(w);
    bool good = true;
    if (status != CENOTE_OK) {
        run.refused++;
        if (trusted || !refusal_clear(status))
            good = violated(life, at, "refused");
    } else if (!promises_kept(&life->promises, at, w)) {
        good = violated(life, at, "a promise is broken");
    } else if (service_check(w->service) != 0) {
        good = violated(life, at, "the service differs from its records");
    } else if (random_next(&run.state) % DEEP_EVERY == 0 && !lives_on(w)) {
        good = violated(life, at, "the pool does not go on");
    }
    world_free(w);
    return good;
}

/* ---- the process dies ------------------------------------------------------------------------ */

static void die_killed(const struct life *life, const struct walk *w)
{
    struct image image = {0};
    const struct disk_op *next = w->at < life->record.count ? &life->record.ops[w->at] : NULL;
    image_write(&w->cached, run.dir);
    run.killed++;
    open_image(life, w->at, LIFE_BOOT_ID, true);
    if (next == NULL || next->kind != DISK_WRITE || next->file != DISK_DATA)
        return;
    for (unsigned i = 0; i < run.times; i++) {
        image_copy(&w->cached, &image);
        image_take_part(&image, next, random_next(&run.state) % next->len_bytes);
        image_write(&image, run.dir);
        run.killed++;
        open_image(life, w->at, LIFE_BOOT_ID, true);
    }
    image_free(&image);
}

/* ---- the system dies ------------------------------------------------------------------------- */

static void die_with(const struct life *life, const struct walk *w, size_t count,
                     bool (*taken)(void *arg, size_t unit), void *arg)
{
    struct image image = {0};
    image_copy(&w->durable, &image);
    for (size_t i = 0; i < count; i++)
        if (taken(arg, i))
            image_take(&image, &run.units[i]);
    image_write(&image, run.dir);
    image_free(&image);
    run.system++;
    open_image(life, w->at, "boot-2", life->durability == STORE_SYNC);
}

static bool in_mask(void *arg, size_t unit)
{
    return (*(const uint64_t *)arg >> unit & 1) != 0;
}

/* So many of a hundred. */
static bool by_chance(void *arg, size_t unit)
{
    (void)unit;
    return random_next(&run.state) % 100 < *(const unsigned *)arg;
}

static bool all_but(void *arg, size_t unit)
{
    return unit != *(const size_t *)arg;
}

static void die_sampled(const struct life *life, const struct walk *w)
{
    static const unsigned percents[] = {50, 90, 10, 97};
    static unsigned nothing, all = 100;
    size_t pages = walk_units(w, PAGE_BYTES, run.units);
    die_with(life, w, pages, by_chance, &nothing);
    die_with(life, w, pages, by_chance, &all);
    for (unsigned i = 0; i < SAMPLES * run.times; i++) {
        size_t count = walk_units(w, i % 2 == 0 ? PAGE_BYTES : SECTOR_BYTES, run.units);
        unsigned percent = percents[random_next(&run.state) % 4];
        size_t missing = random_next(&run.state) % (count + 1);
        if (i % 4 == 3)
            die_with(life, w, count, all_but, &missing);
        else
            die_with(life, w, count, by_chance, &percent);
    }
}

/* The units in the most choices come before an operation that makes some of them durable. */
static bool window_ends(const struct life *life, const struct walk *w)
{
    if (w->at == life->record.count)
        return true;
    const struct disk_op *next = &life->record.ops[w->at];
    return next->kind == DISK_SYNC || next->kind == DISK_SYNC_DIR || next->durable;
}

static void die_system(const struct life *life, const struct walk *w)
{
    unsigned bits = CHOICES_BITS + 2 * (run.times - 1);
    size_t count = walk_units(w, PAGE_BYTES, run.units);
    if (count > (bits < BITS_MAX ? bits : BITS_MAX)) {
        die_sampled(life, w);
        return;
    }
    for (uint64_t mask = 0; mask < UINT64_C(1) << count; mask++)
        die_with(life, w, count, in_mask, &mask);
}

/* Found by this program: the state file said "open" before the name of data.mdb was on the disk. A
 * crash of the system could leave the one without the other, and was refused for ever. */
static void check_name_before_open(const struct life *life)
{
    bool come = false, synced = false;
    for (size_t i = 0; i < life->record.count; i++) {
        const struct disk_op *op = &life->record.ops[i];
        come |= op->kind == DISK_COME && op->file == DISK_DATA;
        synced |= come && op->kind == DISK_SYNC_DIR;
        if (op->kind == DISK_WRITE && op->file == DISK_STATE &&
            memmem(op->bytes, op->len_bytes, "phase=open", strlen("phase=open")) != NULL)
            CHECK(synced);
    }
    CHECK(synced);
}

static void try_life(enum store_durability durability, bool clean)
{
    struct life life = {.durability = durability, .clean = clean};
    struct walk w;
    char dir[DISK_PATH_MAX];
    scratch_make(dir);
    life_record(&life, dir);
    scratch_remove(dir);
    check_name_before_open(&life);
    walk_begin(&w, &life.record);
    size_t offset = random_next(&run.state) % run.part;
    for (;;) {
        bool ends = window_ends(&life, &w);
        bool looked_at = w.at % run.part == offset || w.at == life.record.count;
        if (looked_at)
            die_killed(&life, &w);
        if (looked_at && ends)
            die_system(&life, &w);
        else if (looked_at && w.at % MIDST_EVERY == 0)
            die_sampled(&life, &w);
        if (w.at == life.record.count)
            break;
        walk_step(&w);
    }
    run.operations += life.record.count;
    walk_end(&w);
    life_free(&life);
}

int main(int argc, char **argv)
{
    run.seed = (uint64_t)time(NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--times") == 0)
            run.times = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--part") == 0)
            run.part = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            run.seed = strtoull(argv[i + 1], NULL, 10);
    }
    run.state = run.seed;
    printf("seed %llu\n", (unsigned long long)run.seed);
    CHECK(run.times > 0 && run.part > 0);
    scratch_make(run.dir);
    for (unsigned i = 0; i < 4; i++)
        try_life(i < 2 ? STORE_SYNC : STORE_PROCESS, i % 2 == 1);
    scratch_remove(run.dir);
    printf("%zu operations: %u images of a killed process, %u of a crashed system, %u refused, "
           "%u lived on\n",
           run.operations, run.killed, run.system, run.refused, run.deep);
    printf("count %u violations %u\n", run.killed + run.system, run.violations);
    return run.violations > 0;
}
