/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/scene.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"

int main(int argc, char **argv)
{
    static struct plan plan;
    uint64_t first = 1, count = 100;
    bool tracing = false;
    hash_init();
    log_set_sink(NULL, NULL);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            first = strtoull(argv[++i], NULL, 10);
            count = 1;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            count = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--trace") == 0) {
            tracing = true;
        } else if (strcmp(argv[i], "--log") == 0) {
            log_set_sink(log_to_stderr, NULL);
            log_set_level(LOG_DEBUG);
        }
    }
    unsigned bad = 0;
    uint64_t steps = 0;
    clock_t begun = clock();
    for (uint64_t seed = first; seed < first + count; seed++) {
        plan_draw(&plan, seed);
        if (tracing)
            plan_print(&plan);
        scene_run(&plan, tracing);
        steps += world.steps;
        if (violated()) {
            bad++;
            printf("seed %llu: %s\n", (unsigned long long)seed, world.violation);
        } else if (count == 1) {
            printf("seed %llu: good, %llu steps, %u operations, %llx\n", (unsigned long long)seed,
                   (unsigned long long)world.steps, history_count(),
                   (unsigned long long)world.tolls);
        }
    }
    double s = (double)(clock() - begun) / CLOCKS_PER_SEC;
    printf("%llu seeds, %llu steps, %u bad, %.1f s, %.0f seeds/s\n", (unsigned long long)count,
           (unsigned long long)steps, bad, s, (double)count / s);
    return bad > 0;
}
