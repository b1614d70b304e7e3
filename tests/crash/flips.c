/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flipped bits in what lies on the nodes.
 *   extents     each bit of payload, padding, sums and seal of small values, and bursts anywhere in
 *               larger ones: with a whole replica a get, of all or of a range, gives the right
 *               bytes, without one it says CORRUPT. Nobody reads the padding, and a get of all
 *               doesn't read the list of sums: such flips do no harm
 *   directory   each bit of a directory's file: an entry that was damaged isn't believed, the
 *               others are as they were, and the directory goes on
 *
 * Usage: flips [--times n] [--seed s]    (bursts, and rounds over the directory)
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/get.h"
#include "server/node/directory_slot.h"
#include "tests/linear/random.h"
#include "tests/scenario/check.h"
#include "tests/unit/client/fake_pool.h"
#include "tests/unit/server/entries.h"

#define BURSTS      300u
#define BURST_MAX   200u
#define LARGE_BYTES 200000u
#define LIMIT       (UINT64_C(64) << 20)
#define ENTRIES     6u

static struct fake f;
static uint8_t value[LARGE_BYTES], got[LARGE_BYTES], before[BURST_MAX];
static uint64_t seed, state;
static unsigned flips, detected, harmless, violations;

static void violated(const char *what, uint64_t at)
{
    violations++;
    fprintf(stderr, "%s, offset %llu, seed %llu\n", what, (unsigned long long)at,
            (unsigned long long)seed);
}

/* ---- extents ------------------------------------------------------------------------------ */

/* The list of sums is looked at by ranged gets; a whole get sums up all it got. */
static bool is_unread(size_t len, uint64_t from, uint64_t count)
{
    return from >= len && from + count <= extent_seal_offset(len);
}

/* The bytes at an offset of the first replica's extent have been changed. */
static void get_flipped(size_t len, uint32_t replicas, uint64_t at, uint64_t count)
{
    uint64_t got_len = 0;
    memset(got, 0xee, len);
    int status = fake_get(&f, "k", got, sizeof(got), &got_len);
    bool right = got_len == len && memcmp(got, value, len) == 0;
    bool seen = status != CENOTE_OK;
    flips++;
    detected += seen || replicas > 1;
    harmless += is_unread(len, at, count);
    if (status == CENOTE_OK && !right)
        violated("wrong bytes", at);
    else if (replicas > 1 && !right)
        violated("the other replica wasn't taken", at);
    else if (replicas == 1 && seen && status != CENOTE_CORRUPT)
        violated("not called corrupt", at);
    else if (replicas == 1 && !seen && !is_unread(len, at, count))
        violated("nobody has noticed", at);
}

static int get_range(size_t from, size_t len)
{
    const struct cenote_buffer to = {got, len};
    struct cenote_range_item item = {
        .key = {"k", 1}, .offset = from, .buffers = &to, .buffer_count = 1};
    struct machine_env env = fake_env(&f);
    struct get *g = get_begin_ranges(&env, &item, 1);
    CHECK(g != NULL);
    fake_run(&f, get_machine(g));
    get_free(g);
    return item.status;
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

/* A range within one chunk: what was changed of the chunk, its sum or the seal is seen. */
static void range_flipped(size_t len, uint32_t replicas, uint64_t at, uint64_t count)
{
    uint64_t chunk = random_next(&state) % sums_chunks(len);
    uint64_t begin = chunk * SUMS_CHUNK_BYTES;
    uint64_t end = begin + SUMS_CHUNK_BYTES < len ? begin + SUMS_CHUNK_BYTES : len;
    uint64_t from = begin + random_next(&state) % (end - begin);
    uint64_t range = 1 + random_next(&state) % (end - from);
    bool touched = overlap(at, count, begin, end - begin) ||
                   overlap(at, count, extent_sums_offset(len) + 8 * chunk, 8) ||
                   overlap(at, count, extent_seal_offset(len), SEAL_BYTES);
    memset(got, 0xee, range);
    int status = get_range(from, range);
    flips++;
    detected += status != CENOTE_OK || replicas > 1;
    if (status == CENOTE_OK && memcmp(got, value + from, range) != 0)
        violated("wrong bytes of a range", at);
    else if (replicas > 1 && status != CENOTE_OK)
        violated("the other replica wasn't taken for a range", at);
    else if (replicas == 1 && touched && status == CENOTE_OK)
        violated("nobody has noticed in a range", at);
}

static uint8_t *begin_extent(size_t len, uint32_t replicas)
{
    fake_begin(&f);
    f.replicas = replicas;
    fake_fill(value, len, 3);
    CHECK_EQ(fake_put(&f, "k", value, len, 0), CENOTE_OK);
    struct fake_object *o = fake_find(&f, "k");
    CHECK(o != NULL && o->stripe_count == 1);
    return fake_at(&f, o->stripes[0].gva[0]);
}

static void flip_bits(size_t len, uint32_t replicas)
{
    uint8_t *extent = begin_extent(len, replicas);
    for (uint64_t at = 0; at < extent_size(len); at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            extent[at] ^= (uint8_t)(1u << bit);
            get_flipped(len, replicas, at, 1);
            extent[at] ^= (uint8_t)(1u << bit);
        }
    }
    fake_end(&f);
}

static void flip_bursts(size_t len, uint32_t replicas, unsigned times)
{
    uint8_t *extent = begin_extent(len, replicas);
    for (unsigned i = 0; i < BURSTS * times; i++) {
        uint64_t count = 1 + random_next(&state) % BURST_MAX;
        uint64_t at = random_next(&state) % (extent_size(len) - count + 1);
        if (i % 3 == 0) /* where the sums and the seal are */
            at = extent_size(len) - count - random_next(&state) % (SEAL_BYTES + 16);
        memcpy(before, extent + at, count);
        for (uint64_t k = 0; k < count; k++)
            extent[at + k] = (uint8_t)(random_next(&state) >> 32);
        if (memcmp(before, extent + at, count) != 0) {
            get_flipped(len, replicas, at, count);
            range_flipped(len, replicas, at, count);
        }
        memcpy(extent + at, before, count);
    }
    fake_end(&f);
}

/* ---- a directory -------------------------------------------------------------------------- */

static int file;
static struct directory *directory;

static void reopen(void)
{
    directory_close(directory);
    directory = NULL;
    CHECK_EQ(directory_open(file, LIMIT, &entry_range, 1, &directory), CENOTE_OK);
}

/* What is in it must be what was set, as it was set. */
static unsigned believed(uint64_t at)
{
    struct directory_entry found;
    uint64_t cursor = 0;
    unsigned count = 0;
    while (directory_next(directory, &cursor, &found)) {
        uint64_t i = (found.gva.v - ENTRY_GVA) / 16;
        struct directory_entry good = entry_make(i, 50 + i);
        count++;
        if (i >= ENTRIES || !entry_equal(&found, &good))
            violated("a damaged entry is believed", at);
    }
    return count;
}

static void set_all(void)
{
    for (uint64_t i = 0; i < ENTRIES; i++) {
        struct directory_entry e = entry_make(i, 50 + i);
        CHECK_EQ(directory_set(directory, &e), CENOTE_OK);
    }
}

/* A round, as the service begins one when it hears of another sum, makes all well again. */
static void renew(uint64_t at)
{
    directory_round_begin(directory);
    set_all();
    directory_round_end(directory);
    if (believed(at) != ENTRIES || directory_sum(directory).entries != ENTRIES)
        violated("the directory isn't whole again", at);
    directory_drop(directory, gva_make(ENTRY_GVA));
    if (believed(at) != ENTRIES - 1)
        violated("an entry can't be dropped", at);
}

static void flip_directory(unsigned times)
{
    struct stat st;
    file = memfd_create("directory", MFD_CLOEXEC);
    CHECK(file >= 0);
    reopen();
    set_all();
    CHECK_EQ(fstat(file, &st), 0);
    uint8_t *good = malloc((size_t)st.st_size);
    CHECK(good != NULL && pread(file, good, (size_t)st.st_size, 0) == st.st_size);
    for (uint64_t at = 0; at < (uint64_t)st.st_size; at++) {
        unsigned one_of = (good[at] != 0 ? 8 : 512) / times;
        if (one_of > 1 && random_next(&state) % one_of != 0)
            continue;
        uint8_t byte = good[at] ^ (uint8_t)(1u << random_next(&state) % 8);
        directory_close(directory);
        directory = NULL;
        CHECK(ftruncate(file, 0) == 0 && pwrite(file, good, (size_t)st.st_size, 0) == st.st_size);
        CHECK(pwrite(file, &byte, 1, (off_t)at) == 1);
        reopen();
        unsigned count = believed(at);
        flips++;
        detected += count < ENTRIES;
        harmless += count == ENTRIES;
        renew(at);
    }
    directory_close(directory);
    close(file);
    free(good);
}

int main(int argc, char **argv)
{
    unsigned times = 1;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--times") == 0)
            times = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    }
    CHECK(times > 0);
    state = seed;
    printf("seed %llu\n", (unsigned long long)seed);
    hash_init();
    for (uint32_t replicas = 1; replicas <= 2; replicas++) {
        flip_bits(0, replicas);
        flip_bits(300, replicas);
        flip_bits(4096, replicas);
        flip_bursts(70000, replicas, times);
        flip_bursts(LARGE_BYTES, replicas, times);
    }
    printf("extents: %u flips, %u detected, %u where nobody reads\n", flips, detected, harmless);
    flip_directory(times);
    printf("all: %u detected, %u without effect\n", detected, harmless);
    printf("count %u violations %u\n", flips, violations);
    return violations > 0;
}
