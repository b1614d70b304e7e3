/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to software RDMA devices, and to those at their ends, in the middle of transfers. */
#ifndef CENOTE_TESTS_CONTRACT_RDMA_FAULTS_H
#define CENOTE_TESTS_CONTRACT_RDMA_FAULTS_H

#include "tests/contract/rig.h"
#include "tests/contract/traffic.h"
#include "tests/support/softrdma.h"

/* One wire (vm-net pair): the client is at va, the node at vb. */
#define FAULTS_CLIENT   "rxe0"
#define FAULTS_NODE     "rxe1"
/* Of a client none of whose requests may fail: two seconds of tries, as its processor may stand
 * still for more than the usual half. */
#define FAULTS_STEADY   ",timeout=16"
/* Nothing takes longer, whatever happens: all tries of a request are half a second's, but the
 * machine may be slow, and busy with something else. */
#define FAULTS_LIMIT_MS 20000u
/* Of clients whose requests are to succeed, and of those some of whose are to fail. */
#define FAULTS_WAIT_MS  15000u
#define FAULTS_FAIL_MS  3000u

#define FAULT_CASES(X)                                                                             \
    X(loss_1)                                                                                      \
    X(loss_10)                                                                                     \
    X(client_link_down)                                                                            \
    X(node_link_down)                                                                              \
    X(client_gid_removed)                                                                          \
    X(node_gid_removed)                                                                            \
    X(client_device_removed)                                                                       \
    X(node_device_removed)                                                                         \
    X(client_card_pulled)                                                                          \
    X(rail_link_down)                                                                              \
    X(rail_device_removed)                                                                         \
    X(rail_card_pulled)                                                                            \
    X(node_killed)                                                                                 \
    X(node_stopped)                                                                                \
    X(client_killed)                                                                               \
    X(client_stopped)                                                                              \
    X(queue_full)                                                                                  \
    X(buffer_unmapped)                                                                             \
    X(connects_at_once)

#define FAULT_DECLARE(name) void fault_##name(void);
FAULT_CASES(FAULT_DECLARE)

#endif
