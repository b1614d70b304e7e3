/* SPDX-License-Identifier: Apache-2.0 */
/* A device that does nothing: what is posted is complete at once, and no byte has moved. One at a
 * time, for one thread. */
#ifndef CENOTE_TESTS_NULLVERBS_H
#define CENOTE_TESTS_NULLVERBS_H

#include "transport/rdma/verbs.h"

/* Posting and polling by this context do nothing from now on. */
void nullverbs_use(struct ibv_context *context);
/* Bytes of all work requests so far, and how many there were. */
uint64_t nullverbs_bytes(void);
uint64_t nullverbs_requests(void);
/* How often it was told of some, and completions that were taken. */
uint64_t nullverbs_doorbells(void);
uint64_t nullverbs_completions(void);

#endif
