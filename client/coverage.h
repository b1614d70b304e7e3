/* SPDX-License-Identifier: Apache-2.0 */
/* Which bytes of a value have been claimed by somebody who writes them: each only once. */
#ifndef CENOTE_CLIENT_COVERAGE_H
#define CENOTE_CLIENT_COVERAGE_H

#include <stddef.h>
#include <stdint.h>

/* Runs of claimed bytes with gaps between them; neighbours are one run. */
#define COVERAGE_RUNS_MAX 65536u

/* Zero-filled: nothing is claimed. Runs lie in ascending order and don't touch each other. */
struct coverage {
    struct coverage_run {
        uint64_t begin, end;
    } * runs;
    size_t count, room;
};

/* Claims [begin, end), which isn't empty. CENOTE_OK; CENOTE_INVALID: some of it is claimed already;
 * CENOTE_LIMIT: too many runs; CENOTE_NO_MEMORY. On an error nothing has changed. */
int coverage_claim(struct coverage *c, uint64_t begin, uint64_t end);
void coverage_free(struct coverage *c);

#endif
