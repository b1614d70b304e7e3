/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of software RDMA devices, of their wires and of the peers, under load (rdma_faults.h), in
 * a guest of tests/vm with the network "pair", or "rails" for the cases with that in their name.
 * Usage: rdma_faults [-v] [CASE...]; without any: all of this network. -v shows more of the log.
 */
#include "tests/contract/rdma_faults.h"

#include <string.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
#define FAULT_ENTRY(name) {#name, fault_##name},
    FAULT_CASES(FAULT_ENTRY)
#undef FAULT_ENTRY
};

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc <= 1 && (strstr(name, "rail") != NULL) == softrdma_has("rxe2");
}

static void run(const char *name, void (*function)(void))
{
    uint64_t since_ms = clock_now_ms();
    struct softrdma_counts before = softrdma_counts();
    printf("%s\n", name);
    fflush(stdout);
    function();
    softrdma_await(&before);
    CHECK(softrdma_errors() == 0);
    printf("  %.1f s\n", (double)(clock_now_ms() - since_ms) / 1000);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (!softrdma_has("rxe1")) {
        printf("there are no software RDMA devices (tests/vm)\n");
        return 77;
    }
    softrdma_watch_log();
    bool talks = argc > 1 && strcmp(argv[1], "-v") == 0;
    log_set_level(talks ? LOG_INFO : LOG_ERROR);
    argc -= talks;
    argv += talks;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (wanted(cases[i].name, argc, argv))
            run(cases[i].name, cases[i].run);
    return 0;
}
