/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the store fails once (LMDB's own are its own). Linked with --wrap. */
#include <string.h>

#include <cenote/status.h>

#include "meta/store/change.h"
#include "tests/scenario/store/kit.h"

/* Allocations of the owner's thread from now on that succeed before they all fail; -1: all do. */
static _Thread_local long allowed = -1;

static bool allow(void)
{
    if (allowed < 0)
        return true;
    if (allowed == 0)
        return false;
    allowed--;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    return allow() ? __real_malloc(size) : NULL;
}
void *__wrap_calloc(size_t count, size_t size)
{
    return allow() ? __real_calloc(count, size) : NULL;
}
void *__wrap_realloc(void *p, size_t size)
{
    return allow() ? __real_realloc(p, size) : NULL;
}
char *__wrap_strdup(const char *text)
{
    return allow() ? __real_strdup(text) : NULL;
}

static const struct store_lmdb_options options = {.map_size_bytes = 4 << 20};

static void opening(const char *dir)
{
    for (long n = 0;; n++) {
        struct store *s = NULL;
        CHECK(n < 10000);
        allowed = n;
        int rc = store_lmdb_open(dir, &options, &s);
        bool failed = allowed == 0 && rc != CENOTE_OK;
        allowed = -1;
        if (!failed) {
            CHECK(rc == CENOTE_OK);
            store_lmdb_close(s);
            return;
        }
        CHECK(rc == CENOTE_NO_MEMORY && !s);
    }
}

static void submit_one(struct store *s, struct kit_tally *t)
{
    static uint8_t value[CHANGE_SMALL_MAX]; /* an allocation for each */
    struct kit_key key = kit_key_of(5);
    struct store_write w = {
        .tree = STORE_META, .key = key.b, .key_len = 8, .value = value, .value_len = sizeof(value)};
    s->ops->submit(s, &(struct store_change){.writes = &w, .count = 1, .done = kit_done, .arg = t});
}

/* Changes that can't be copied are refused, in their turn, and told to their owner. */
static void submitting(const char *dir)
{
    struct kit_tally t = {0};
    struct store *s = kit_open(dir, &options);
    submit_one(s, &t);
    allowed = 0;
    for (unsigned i = 0; i < 100; i++)
        submit_one(s, &t);
    allowed = 1; /* memory is back for one */
    submit_one(s, &t);
    allowed = 0;
    kit_wait(s, &t, 102);
    CHECK(t.ok == 2 && t.io == 100);
    allowed = 0; /* fewer spares than before: dispatch could not refill them */
    for (unsigned i = 0; i < 100; i++)
        submit_one(s, &t);
    kit_wait(s, &t, 202);
    CHECK(t.io == 200);

    const void *value;
    uint32_t len;
    struct kit_key key = kit_key_of(5);
    CHECK(s->ops->get(s, STORE_META, key.b, 8, &value, &len) == CENOTE_IO);
    allowed = -1;
    CHECK(s->ops->get(s, STORE_META, key.b, 8, &value, &len) == CENOTE_OK);
    CHECK(len == CHANGE_SMALL_MAX);
    submit_one(s, &t);
    kit_wait(s, &t, 203);
    CHECK(t.ok == 3);
    store_lmdb_close(s);
}

int main(void)
{
    char dir[64];
    kit_log_keep();
    kit_dir_make(dir);
    opening(dir);
    submitting(dir);
    kit_dir_remove(dir);
    return 0;
}
