/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/pool.h"

#include <stdlib.h>

/* New ones at the end. */
const char *const fuzz_methods[] = {
    METHOD_SESSION_OPEN, METHOD_SESSION_RESUME, METHOD_SESSION_CLOSE,  METHOD_MAP,
    METHOD_PUT_START,    METHOD_PUT_COMMIT,     METHOD_PUT_ABORT,      METHOD_LOOKUP,
    METHOD_EXISTS,       METHOD_REMOVE,         METHOD_STAT,           METHOD_LIST,
    METHOD_STATUS,       METHOD_NODE_JOIN,      METHOD_NODE_HEARTBEAT, METHOD_NODE_LEAVE,
    METHOD_SLOTS,        METHOD_KEEP,           METHOD_NAMESPACES,     METHOD_SPACE_SET,
    METHOD_SPACE_REMOVE,
};
const size_t fuzz_method_count = sizeof fuzz_methods / sizeof *fuzz_methods;

static const struct service_options options = {.lease_ms = 200,
                                               .put_timeout_ms = 500,
                                               .session_grace_ms = 300,
                                               .heartbeat_ms = 100,
                                               .suspect_ms = 400,
                                               .dead_ms = 900,
                                               .stripe_bytes = 65536};

void fuzz_pool_up(struct fuzz_pool *p)
{
    struct world *w = world_new(&options);
    if (world_start(w) != CENOTE_OK)
        abort();
    *p = (struct fuzz_pool){.world = w};
    p->ends[WHO_STRANGER] = end_open(w);
    p->ends[WHO_ALICE] = client_open(w, "default");
    p->ends[WHO_BOB] = client_open(w, "other");
    p->ends[WHO_NODE] = node_up(w, "n0", 3, 1, FUZZ_NODE_BYTES);
    p->ends[WHO_OTHER_NODE] = node_up(w, "n1", 4, 2, FUZZ_NODE_BYTES);
    if (client_put(p->ends[WHO_ALICE], "key", 100, 0) != CENOTE_OK ||
        client_put_start(p->ends[WHO_ALICE], "other", 70000, 0, &p->put, NULL) != CENOTE_OK)
        abort();
}
