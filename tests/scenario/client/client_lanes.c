/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy for which there is no memory ends: found by tests/sweep, when the operation of a lane that
 * couldn't begin waited for ever, because nobody looked at it again.
 */
#include <cenote/async.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "client/pump_op.h"
#include "tests/scenario/check.h"
#include "tests/scenario/client/service.h"

#define BYTES   20000u
#define WAIT_MS 20000u

/* The linker sends this program's requests here (--wrap). */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static struct service service;
static uint8_t value[BYTES], got[BYTES];
static atomic_bool armed;
static atomic_uint failed;

void *__wrap_calloc(size_t count, size_t size)
{
    if (count * size != sizeof(struct stream_node) || !atomic_exchange(&armed, false))
        return __real_calloc(count, size);
    atomic_fetch_add(&failed, 1);
    return NULL;
}

static int get(struct cenote *client)
{
    struct cenote_buffer to = {got, BYTES};
    struct cenote_get_item item = {.key = {"k", 1}, .buffers = &to, .buffer_count = 1};
    struct cenote_completion done;
    uint64_t id;
    int status = cenote_submit_get(client, &item, 1, NULL, &id);
    if (status != CENOTE_OK)
        return status;
    CHECK_EQ(cenote_completions(client, &done, 1, WAIT_MS), 1);
    CHECK(done.id == id && done.status == item.status);
    return done.status;
}

int main(void)
{
    struct cenote *client;
    char path[64];
    snprintf(path, sizeof(path), "@cenote-lanes-%d", (int)getpid());
    service_begin(&service, path);
    const struct cenote_options o = {
        .meta = service.where, .transport = CENOTE_TRANSPORT_TCP, .cache_bytes = 1};
    memset(value, 7, sizeof(value));
    CHECK_EQ(cenote_open(&o, &client), CENOTE_OK);
    CHECK_EQ(cenote_put(client, "k", 1, value, BYTES, 0), CENOTE_OK);
    atomic_store(&armed, true);
    int status = get(client);
    CHECK_EQ(atomic_load(&failed), 1);
    CHECK(status == CENOTE_NO_MEMORY || status == CENOTE_OK);
    CHECK_EQ(get(client), CENOTE_OK);
    CHECK(memcmp(got, value, BYTES) == 0);
    cenote_close(&client);
    service_end(&service);
    return 0;
}
