/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of one connection over the mock's devices, by plain verbs. */
#ifndef CENOTE_TESTS_MOCKPAIR_H
#define CENOTE_TESTS_MOCKPAIR_H

#include "tests/support/mockverbs.h"

#define MOCK_PAIR_DEPTH 8u
#define MOCK_PAIR_BYTES 65536u

struct mock_end {
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    struct ibv_mr *mr; /* of bytes */
    uint8_t *bytes;    /* MOCK_PAIR_BYTES */
    struct mock_device *device;
};

/* A queue pair in state INIT and memory that everybody may read and write, on that device. */
void mock_end_open(struct mock_end *end, struct mock_device *device);
void mock_end_close(struct mock_end *end);
/* Leads the queue pair to the other one, to RTS: 0, or the errno of the transition that fails. */
int mock_end_connect(struct mock_end *end, const struct mock_end *other);
/* Both to RTS. */
void mock_ends_connect(struct mock_end *a, struct mock_end *b);

/* Two devices, "mock0" and "mock1", with an end on each, connected. */
void mock_pair_open(struct mock_end *a, struct mock_end *b);

/* One request between the ends' bytes at the same offset. Returns what post_send() does. */
int mock_end_post(struct mock_end *end, const struct mock_end *other, enum ibv_wr_opcode opcode,
                  uint64_t offset, uint32_t len_bytes, uint64_t id, unsigned flags);
/* Status of the next completion, which must have this id; -1: none. */
int mock_end_poll(struct mock_end *end, uint64_t id);

#endif
