/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes per second of put-like changes (two small writes), submitted in groups: the next group
 * when the last is done.
 *
 * Usage: store_rate [MILLISECONDS [DIR]]    of each measurement; DIR: on the disk of interest
 */
#include <string.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/scenario/store/kit.h"
#include "transport/base/clock.h"

static void measure(const char *dir, enum store_durability durability, unsigned group,
                    uint64_t time_ms)
{
    struct store_lmdb_options options = {.map_size_bytes = UINT64_C(4) << 30,
                                         .durability = durability};
    struct store_usage usage;
    struct store *s = kit_open(dir, &options);
    struct kit_tally t = {0};
    unsigned submitted = 0;
    uint64_t slowest_ns = 0, begin_ns = clock_now_ns(), end_ns = begin_ns + time_ms * 1000000;
    uint64_t now_ns = begin_ns;
    while (now_ns < end_ns) {
        for (unsigned i = 0; i < group; i++, submitted++) {
            struct kit_key id = kit_key_of(submitted);
            unsigned char value[120], name[40];
            kit_value_fill(submitted, value, sizeof(value));
            kit_value_fill(submitted * 2654435761u, name, sizeof(name));
            struct store_write writes[] = {
                {.tree = STORE_OBJECTS,
                 .key = id.b,
                 .key_len = 8,
                 .value = value,
                 .value_len = 120},
                {.tree = STORE_NAMES, .key = name, .key_len = 40, .value = id.b, .value_len = 8},
            };
            s->ops->submit(s, &(struct store_change){
                                  .writes = writes, .count = 2, .done = kit_done, .arg = &t});
        }
        kit_wait(s, &t, submitted);
        uint64_t after_ns = clock_now_ns();
        if (after_ns - now_ns > slowest_ns)
            slowest_ns = after_ns - now_ns;
        now_ns = after_ns;
    }
    CHECK(t.ok == submitted);
    s->ops->usage(s, &usage);
    double seconds = (double)(now_ns - begin_ns) / 1e9;
    printf("durability=%-7s group=%-4u %9.0f changes/s %8.0f commits/s %6.1f changes/commit "
           "slowest group %.1f ms\n",
           durability == STORE_SYNC ? "sync" : "process", group, submitted / seconds,
           (double)usage.commits / seconds, (double)usage.changes / (double)usage.commits,
           (double)slowest_ns / 1e6);
    store_lmdb_close(s);
}

int main(int argc, char **argv)
{
    static const unsigned groups[] = {1, 32, 256};
    uint64_t time_ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 100;
    char dir[64];
    for (int durability = STORE_PROCESS; durability <= STORE_SYNC; durability++) {
        for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
            kit_dir_make(dir);
            measure(argc > 2 ? argv[2] : dir, (enum store_durability)durability, groups[i],
                    time_ms);
            kit_dir_remove(dir);
        }
    }
    return 0;
}
