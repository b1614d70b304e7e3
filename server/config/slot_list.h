/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that divide a pool's keys among several services, as text:
 *
 *   --shards 0-8191=HOST:PORT,8192-16383=unix:PATH    the map, the same for all services
 *   --slots 0-8191                                    what this one owns
 *
 * Services are numbered in the order in which their endpoints first appear. "none" in place of
 * slots keeps a number for a service that owns nothing.
 */
#ifndef CENOTE_SERVER_SLOT_LIST_H
#define CENOTE_SERVER_SLOT_LIST_H

#include "meta/stub/slots.h"
#include "transport/base/config.h"

struct slot_list {
    struct slot_map map;
    uint32_t shard; /* which of its services is meant by --slots */
};

/* CENOTE_OK; CENOTE_INVALID with a line in error. */
int slot_list_parse(const struct config_list *shards, const struct config_list *slots,
                    uint64_t epoch, struct slot_list *out, char *error, size_t error_size);

#endif
