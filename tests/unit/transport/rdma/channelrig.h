/* SPDX-License-Identifier: Apache-2.0 */
/* A channel to a node of this process over two devices that are made up, seen from inside. */
#ifndef CENOTE_TESTS_CHANNELRIG_H
#define CENOTE_TESTS_CHANNELRIG_H

#include "tests/contract/rig.h"
#include "tests/support/mockverbs.h"
#include "transport/rdma/channel.h"

struct channelrig {
    struct rig node;
    struct xcopy_channel *c;
    struct rdma_channel *ch;
};

/* settings as --rdma; change: NULL, or what is to be different about the devices. */
void channelrig_start(struct channelrig *r, const char *settings, void (*change)(void));
void channelrig_stop(struct channelrig *r);
struct mock_device *channelrig_device(unsigned i);

/* A value whose memory is registered, and so is the memory that it is read to. */
struct channelvalue {
    struct rig_value v;
    struct cenote_buffer whole;
    uint8_t *out, *tail;
    struct cenote_buffer to;
    struct sums *sums;
    void *from_handle, *to_handle;
};
void channelvalue_make(struct channelrig *r, struct channelvalue *x, uint64_t offset, uint64_t len,
                       bool registered);
void channelvalue_free(struct channelrig *r, struct channelvalue *x);
/* Reads all of it, with all of its tail. */
struct xcopy_req channelvalue_read(struct channelvalue *x);
struct xcopy_req channelvalue_write(struct channelvalue *x);
/* Has it been read as it is in memory? */
bool channelvalue_came(const struct channelvalue *x);

/* progress() until nothing moves. */
void channelrig_settle(struct channelrig *r);

#endif
