/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put and get while memory runs out: the Nth allocation of a machine fails, for every N. The
 * operation then says so, or gets along without; nothing leaks, and what is success is right.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenario/check.h"
#include "tests/unit/client/fake_pool.h"

#define VALUE_BYTES 300000u
#define SWEEP_MAX   1000u

/* The linker sends all of this program's allocations here (--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static struct fake f;
static uint8_t value[VALUE_BYTES], got[VALUE_BYTES];
static unsigned made, failing; /* allocations of machines; the number of the one that fails */

static bool fails(void)
{
    return f.in_machine && ++made == failing;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

static void begin(void)
{
    fake_begin(&f);
    f.replicas = 2;
    f.stripe_bytes = 2 * SUMS_CHUNK_BYTES;
    f.cache = cache_new(CACHE_BYTES_DEFAULT);
    CHECK(f.cache);
    made = 0;
}

/* True when the failing allocation was reached. */
static bool put_once(unsigned number)
{
    begin();
    failing = number;
    int status = fake_put(&f, "k", value, sizeof value, 0);
    bool reached = made >= number;
    failing = 0;
    CHECK(status == CENOTE_OK || (reached && status == CENOTE_NO_MEMORY));
    if (status == CENOTE_OK)
        CHECK(fake_get(&f, "k", got, sizeof got, NULL) == CENOTE_OK &&
              memcmp(got, value, sizeof value) == 0);
    else
        CHECK(!fake_find(&f, "k"));
    fake_end(&f);
    return reached;
}

static bool get_once(unsigned number)
{
    begin();
    CHECK(fake_put(&f, "k", value, sizeof value, 0) == CENOTE_OK);
    memset(got, 0, sizeof got);
    made = 0;
    failing = number;
    int status = fake_get(&f, "k", got, sizeof got, NULL);
    bool reached = made >= number;
    failing = 0;
    CHECK(status == CENOTE_OK || (reached && status == CENOTE_NO_MEMORY));
    CHECK(status != CENOTE_OK || memcmp(got, value, sizeof value) == 0);
    fake_end(&f);
    return reached;
}

/* One that begins with what the cache knows. */
static bool get_known_once(unsigned number)
{
    begin();
    CHECK(fake_put(&f, "k", value, sizeof value, 0) == CENOTE_OK);
    CHECK(fake_get(&f, "k", got, sizeof got, NULL) == CENOTE_OK);
    memset(got, 0, sizeof got);
    made = f.lookups = 0;
    failing = number;
    int status = fake_get(&f, "k", got, sizeof got, NULL);
    bool reached = made >= number;
    failing = 0;
    CHECK(f.lookups == 0);
    CHECK(status == CENOTE_OK || (reached && status == CENOTE_NO_MEMORY));
    CHECK(status != CENOTE_OK || memcmp(got, value, sizeof value) == 0);
    fake_end(&f);
    return reached;
}

static void sweep(const char *what, bool (*once)(unsigned number))
{
    unsigned number = 1;

    while (once(number)) {
        number++;
        CHECK(number < SWEEP_MAX);
    }
    CHECK(number > 5);
    printf("%s: %u allocations\n", what, number - 1);
}

int main(void)
{
    fake_fill(value, sizeof value, 4);
    sweep("put", put_once);
    sweep("get", get_once);
    sweep("get of a known key", get_known_once);
    return 0;
}
