/* SPDX-License-Identifier: Apache-2.0 */
/* Traces made here, for what a policy must not fall for. */
#ifndef TESTS_POLICY_WORKLOAD_H
#define TESTS_POLICY_WORKLOAD_H

#include <stdbool.h>

#include "bench/trace_file.h"

struct workload {
    const char *name, *what;
    uint32_t (*chain)(uint64_t seed, uint32_t request); /* the number of a chain of 8 blocks */
};

extern const struct workload workloads[]; /* ends with one without a name */

/* False: no memory. trace_file_free() gives it back. */
bool workload_make(const struct workload *w, struct trace *out);

#endif
