/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of the transports (transport/xcopy.h), one body for all of them.
 * Usage: xcopy_contract TRANSPORT [CASE... | -CASE...]    -CASE: without it
 */
#include <string.h>

#include "tests/contract/cases.h"
#include "tests/contract/processes.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"

static const struct {
    const char *name;
    void (*run)(struct rig *r);
} cases[] = {
#define CONTRACT_ENTRY(name) {#name, case_##name},
    CONTRACT_CASES(CONTRACT_ENTRY)
#undef CONTRACT_ENTRY
};

static bool wanted(const char *name, int argc, char **argv)
{
    bool some = argc <= 2 || argv[2][0] == '-'; /* unless told otherwise */

    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i] + some, name) == 0)
            return !some;
    return some;
}

int main(int argc, char **argv)
{
    static struct rig r;
    if (argc < 2) {
        fprintf(stderr, "usage: %s TRANSPORT [CASE... | -CASE...]\n", argv[0]);
        return 2;
    }
    log_set_sink(log_to_stderr, NULL);
    log_set_level(LOG_ERROR);
    int status = processes_main(argc, argv);
    if (status >= 0)
        return status;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (!wanted(cases[i].name, argc, argv))
            continue;
        uint64_t since_ms = clock_now_ms();
        printf("%s %s\n", argv[1], cases[i].name);
        fflush(stdout);
        rig_start(&r, argv[1]);
        cases[i].run(&r);
        rig_stop(&r);
        printf("  %.1f s\n", (double)(clock_now_ms() - since_ms) / 1000);
        fflush(stdout);
    }
    return 0;
}
