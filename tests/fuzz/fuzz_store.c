/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service's start with a store that isn't what it wrote: it refuses, or it serves without harm
 * to itself (fsck tells what is wrong). A record's tag names the tree, its aim the length of the
 * key that the body begins with; the value follows.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/support/metaworld.h"

static void put_record(struct world *w, const struct fuzz_record *r)
{
    uint32_t key_len = r->aim < r->len ? r->aim : (uint32_t)r->len;
    if (key_len == 0)
        return;
    memstore_put(w->store, &(struct store_write){.tree = r->tag % STORE_TREES,
                                                 .key = r->body,
                                                 .key_len = key_len,
                                                 .value = r->body + key_len,
                                                 .value_len = (uint32_t)r->len - key_len});
}

/* It serves: whoever comes is answered, and time passes. */
static void use(struct world *w)
{
    struct end *e = client_open(w, "default");
    (void)client_put(e, "key", 100, 0);
    (void)client_exists(e, "key");
    (void)client_remove(e, "key");
    world_pass(w, 1000);
    (void)service_check(w->service);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_record r;
    struct fuzz_input in = fuzz_input(data, size);
    struct world *w = world_new(&(struct service_options){.lease_ms = 100,
                                                          .put_timeout_ms = 300,
                                                          .session_grace_ms = 300,
                                                          .heartbeat_ms = 100,
                                                          .suspect_ms = 400,
                                                          .dead_ms = 900});
    while (fuzz_next(&in, &r))
        put_record(w, &r);
    if (world_start(w) == CENOTE_OK)
        use(w);
    world_free(w);
    return 0;
}
