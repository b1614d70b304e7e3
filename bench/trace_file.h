/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request traces: a line of JSON for each request, {"timestamp", "input_length", "output_length",
 * "hash_ids": [...]}; hash_ids name the prefix blocks of the request in order (the format that
 * Mooncake's authors published their FAST'25 traces in).
 */
#ifndef CENOTE_BENCH_TRACE_FILE_H
#define CENOTE_BENCH_TRACE_FILE_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_BLOCKS_MAX   4096u /* of one request */
#define TRACE_REQUESTS_MAX 10000000u

struct trace_request {
    size_t first;   /* index into trace.ids */
    uint64_t at_ms; /* since the trace began; 0 where the line doesn't say */
    uint32_t count;
};

struct trace {
    struct trace_request *requests;
    size_t request_count;
    uint32_t *ids;
    size_t id_count;
    uint32_t longest; /* most blocks in one request */
};

/* CENOTE_OK, or CENOTE_IO, CENOTE_INVALID, CENOTE_NO_MEMORY with a reason that names the line. */
int trace_read(const char *path, size_t requests_max, struct trace *out, char *reason,
               size_t reason_size);
void trace_file_free(struct trace *t);

#endif
