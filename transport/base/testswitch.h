/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Negative controls. In a build with -DCENOTE_TEST_SWITCHES=ON a safety mechanism can be switched
 * off by naming it in the environment (CENOTE_TEST_OFF=fence,seal), so that the test which guards
 * it can be seen to fail. In every other build test_off() is the constant false.
 */
#ifndef CENOTE_BASE_TESTSWITCH_H
#define CENOTE_BASE_TESTSWITCH_H

#include <stdbool.h>

enum test_switch {
    TEST_FENCE,          /* a fence answers at once, without fencing */
    TEST_SEAL,           /* readers accept any seal */
    TEST_SUMS,           /* readers don't compare the root */
    TEST_LEASE,          /* readers don't look at the lease after the transfer; nor does reuse */
    TEST_DOUBT,          /* readers call bytes corrupt that have failed once */
    TEST_GRANT,          /* nodes don't check grants */
    TEST_REIGN,          /* a start of the service takes no new reign */
    TEST_LIVES,          /* the service asks nodes for no life of its earlier reigns */
    TEST_NAMES,          /* lives of the service that have the same reign give the same names */
    TEST_KEEP,           /* a node forgets the slots of its earlier life */
    TEST_WANT,           /* what a node lacks for a look at its earlier life is an answer to it */
    TEST_HOLD,           /* a node doesn't look for holds: what is viewed is reused */
    TEST_SHARD,          /* the service takes every key for its own */
    TEST_RETRY,          /* the service keeps no answers: a repeated call is done again */
    TEST_CANCEL,         /* an operation completes while its copy is still under way */
    TEST_ENTRIES,        /* a node drops no entry of its directory */
    TEST_FLUSH,          /* rdma: nothing makes sure that WRITEs have arrived in memory */
    TEST_RDMA_ORDER,     /* rdma: a tail is read while its payload is still on its way */
    TEST_VOID,           /* a node says that a seal is void, and leaves it alive */
    TEST_WATCH,          /* nobody hears of memory that is unmapped */
    TEST_EVICT,          /* nothing is evicted to make room */
    TEST_EVICT_LEASE,    /* eviction takes what is leased */
    TEST_EVICT_PIN,      /* eviction takes what is pinned hard */
    TEST_WAIT_ORDER,     /* puts that fit overtake those that wait, for ever */
    TEST_QUOTA,          /* nobody looks at quotas */
    TEST_GROUP,          /* a group's members are evicted one by one */
    TEST_TTL,            /* leases don't end with the ttl */
    TEST_QUARANTINE,     /* what a put leaves is free at once: no fence, no void, no wait */
    TEST_SLOTS,          /* shm: a fence doesn't look at what writers have published */
    TEST_HANGUP,         /* shm: whoever has hung up counts as dead */
    TEST_BOOT,           /* grants and greetings of a node's earlier life are as good as new ones */
    TEST_PUT_ID,         /* a commit ends whichever put its session has pending */
    TEST_PIN,            /* registered memory is forgotten while transfers use it */
    TEST_EPOCH,          /* nobody waits for readers of what has been replaced */
    TEST_REBUILD_SEALS,  /* a node says of every seal that it is live, when a rebuild asks */
    TEST_REBUILD_SETTLE, /* a rebuild uses free space at once, whoever writes to it */
    TEST_SCRUB,          /* a node finds no damage in what it looks through */
    TEST_SYNC,           /* the store's commits aren't synced */
    TEST_TRUST,          /* the store believes its files after a crash of the system */
    TEST_RECORDS,        /* the store believes damaged records */
    TEST_HTTP_LIMITS,    /* the HTTP server takes what is too large, or too many */
    TEST_HTTP_PATIENCE,  /* the HTTP server waits for everybody for ever */
    TEST_GATEWAY_ABORT,  /* a put by HTTP whose client goes is left as it is */
    TEST_REPAIR,         /* fsck says that it has mended what it leaves as it is */
    TEST_SWITCHES        /* their number */
};

#ifdef CENOTE_TEST_SWITCHES
bool test_off(enum test_switch which);
#else
static inline bool test_off(enum test_switch which)
{
    (void)which;
    return false;
}
#endif

#endif
