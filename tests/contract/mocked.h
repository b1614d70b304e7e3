/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA over devices that are made up (tests/support/mockverbs.h), for the contract suite.
 *
 *   mockrdma             two devices, so that there are two rails; requests are executed at once
 *   mockrdma:MODE,...    one      one rail: the port of the other device is down
 *                        tiny     devices of which one gets as little as is possible
 *                        threads  a thread executes requests, at random and a little later; its
 *                                 seed is said, and seed=N is the same with that one
 *                        late     WRITEs are visible only when a READ behind them has come
 *                        stray    WRITEs of queue pairs that have failed may arrive later
 *                        swapped  READs overtake each other
 */
#ifndef CENOTE_TESTS_CONTRACT_MOCKED_H
#define CENOTE_TESTS_CONTRACT_MOCKED_H

#include <stdbool.h>

#include "tests/support/mockverbs.h"

/* Makes the devices; change(), or NULL, may change their descriptions before they are opened. */
void mocked_make(struct mock_device *made[2], void (*change)(void));
/* The same, as the name says. Returns whether it asks for them. */
bool mocked_start(const char *name);
/* Nothing is in use. */
void mocked_stop(void);

#endif
