/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of request traces under hostile text: what it takes stays inside its limits. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/trace_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    static int fd = -1;
    struct trace t;
    char reason[256];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    if (trace_read(path, 1000, &t, reason, sizeof reason) != 0)
        return 0;
    assert(t.request_count > 0 && t.request_count <= 1000);
    for (size_t i = 0; i < t.request_count; i++) {
        const struct trace_request *r = &t.requests[i];
        assert(r->count <= t.longest && t.longest <= TRACE_BLOCKS_MAX);
        assert(r->first + r->count <= t.id_count);
    }
    trace_file_free(&t);
    return 0;
}
