/* SPDX-License-Identifier: Apache-2.0 */
/* Part of test builds only. */
#include "transport/base/testswitch.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"

static const char *const switch_names[TEST_SWITCHES] = {
    [TEST_FENCE] = "fence",
    [TEST_SEAL] = "seal",
    [TEST_SUMS] = "sums",
    [TEST_LEASE] = "lease",
    [TEST_DOUBT] = "doubt",
    [TEST_GRANT] = "grant",
    [TEST_REIGN] = "reign",
    [TEST_RETRY] = "retry",
    [TEST_LIVES] = "lives",
    [TEST_NAMES] = "names",
    [TEST_KEEP] = "keep",
    [TEST_WANT] = "want",
    [TEST_VOID] = "void",
    [TEST_ENTRIES] = "entries",
    [TEST_HOLD] = "hold",
    [TEST_SHARD] = "shard",
    [TEST_CANCEL] = "cancel",
    [TEST_WATCH] = "watch",
    [TEST_FLUSH] = "flush",
    [TEST_RDMA_ORDER] = "rdma_order",
    [TEST_REBUILD_SEALS] = "rebuild_seals",
    [TEST_REBUILD_SETTLE] = "rebuild_settle",
    [TEST_SCRUB] = "scrub",
    [TEST_EVICT] = "evict",
    [TEST_EVICT_LEASE] = "evict_lease",
    [TEST_EVICT_PIN] = "evict_pin",
    [TEST_WAIT_ORDER] = "wait_order",
    [TEST_QUOTA] = "quota",
    [TEST_GROUP] = "group",
    [TEST_TTL] = "ttl",
    [TEST_QUARANTINE] = "quarantine",
    [TEST_SLOTS] = "slots",
    [TEST_HANGUP] = "hangup",
    [TEST_BOOT] = "boot",
    [TEST_PUT_ID] = "put_id",
    [TEST_PIN] = "pin",
    [TEST_EPOCH] = "epoch",
    [TEST_SYNC] = "sync",
    [TEST_TRUST] = "trust",
    [TEST_RECORDS] = "records",
    [TEST_HTTP_LIMITS] = "http_limits",
    [TEST_HTTP_PATIENCE] = "http_patience",
    [TEST_GATEWAY_ABORT] = "gateway_abort",
    [TEST_REPAIR] = "repair",
};

static pthread_once_t read_once = PTHREAD_ONCE_INIT;
static bool switched_off[TEST_SWITCHES];

static void switch_off(const char *name, size_t len)
{
    for (size_t i = 0; i < TEST_SWITCHES; i++) {
        if (strlen(switch_names[i]) == len && memcmp(switch_names[i], name, len) == 0) {
            switched_off[i] = true;
            log_warn("test", "CENOTE_TEST_OFF: %s is switched off", switch_names[i]);
            return;
        }
    }
    log_error("test", "CENOTE_TEST_OFF: no safety mechanism is called '%.*s'", (int)len, name);
}

static void read_environment(void)
{
    const char *at = getenv("CENOTE_TEST_OFF");

    while (at != NULL && *at != '\0') {
        size_t len = strcspn(at, ",");
        switch_off(at, len);
        at += len + (at[len] == ',');
    }
}

bool test_off(enum test_switch which)
{
    assert(which < TEST_SWITCHES);
    pthread_once(&read_once, read_environment);
    return switched_off[which];
}
