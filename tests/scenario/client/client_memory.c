/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts, gets, ranges and writers while memory runs out: the Nth allocation of a machine fails, for
 * every N. The operation then says so, or gets along without; nothing leaks, and what is success
 * is right.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/get.h"
#include "client/writer.h"
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
static bool store_once(unsigned number, int (*store)(void))
{
    begin();
    failing = number;
    int status = store();
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

static int put(void)
{
    return fake_put(&f, "k", value, sizeof value, 0);
}

static bool put_once(unsigned number)
{
    return store_once(number, put);
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

static int write_part(struct writer *w, size_t offset, size_t len)
{
    struct writer_range *r;

    f.in_machine = true;
    int status = writer_range_begin(w, offset, value + offset, len, &r);
    f.in_machine = false;
    if (status != CENOTE_OK)
        return status;
    fake_run(&f, writer_range_machine(r));
    return writer_range_end(r);
}

/* A range that wasn't taken for want of memory may be written again. */
static int write_value(struct writer *w)
{
    int status = CENOTE_OK;

    for (size_t at = 0; at < sizeof value && status == CENOTE_OK; at += 100000) {
        status = write_part(w, at, 100000);
        if (status == CENOTE_NO_MEMORY && !w->failure)
            status = write_part(w, at, 100000);
    }
    return status;
}

static int put_by_ranges(void)
{
    struct machine_env env = fake_env(&f);
    struct machine *m = NULL;

    f.in_machine = true;
    struct writer *w = writer_new(&env, &(struct cenote_key){"k", 1}, sizeof value, 0);
    f.in_machine = false;
    if (!w)
        return CENOTE_NO_MEMORY;
    fake_run(&f, writer_open(w));
    f.in_machine = true;
    int status = writer_opened(w);
    f.in_machine = false;
    if (status == CENOTE_OK)
        status = write_value(w);
    if (status == CENOTE_OK) {
        CHECK(writer_commit(w, &m) == CENOTE_OK && m);
        fake_run(&f, m);
        status = w->status;
    } else if ((m = writer_abort(w)) != NULL) {
        fake_run(&f, m);
    }
    writer_free(w);
    return status;
}

static bool write_once(unsigned number)
{
    return store_once(number, put_by_ranges);
}

static int get_ranges(void)
{
    const struct cenote_buffer pieces[2] = {{got, 70000}, {got + 70000, 100000}};
    struct cenote_range_item items[2] = {
        {.key = {"k", 1}, .offset = 5, .buffers = pieces, .buffer_count = 1},
        {.key = {"k", 1}, .offset = 70005, .buffers = pieces + 1, .buffer_count = 1}};
    struct machine_env env = fake_env(&f);

    f.in_machine = true;
    struct get *g = get_begin_ranges(&env, items, 2);
    f.in_machine = false;
    if (!g)
        return CENOTE_NO_MEMORY;
    fake_run(&f, get_machine(g));
    get_free(g);
    return items[0].status != CENOTE_OK ? items[0].status : items[1].status;
}

static bool range_once(unsigned number)
{
    begin();
    CHECK(fake_put(&f, "k", value, sizeof value, 0) == CENOTE_OK);
    made = 0;
    failing = number;
    int status = get_ranges();
    bool reached = made >= number;
    failing = 0;
    CHECK(status == CENOTE_OK || (reached && status == CENOTE_NO_MEMORY));
    CHECK(status != CENOTE_OK || memcmp(got, value + 5, 170000) == 0);
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
    sweep("ranges", range_once);
    sweep("writer", write_once);
    sweep("get of a known key", get_known_once);
    return 0;
}
