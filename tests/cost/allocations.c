/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cost/allocations.h"

#include <cenote/status.h>
#include <stddef.h>

/* glibc's own, which its functions of the usual names call. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

CENOTE_API void *malloc(size_t size);
CENOTE_API void *calloc(size_t count, size_t size);
CENOTE_API void *realloc(void *p, size_t size);

static __thread uint64_t count;

uint64_t allocations(void)
{
    return count;
}

void *malloc(size_t size)
{
    count++;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    count++;
    return __libc_realloc(p, size);
}
