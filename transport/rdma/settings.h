/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator may say about RDMA, as one text: --rdma of cenoted, cenote_options.rdma and
 * $CENOTE_RDMA of clients.
 *
 *   auto                   all active ports, best first, at most rails=; "" and settings alone too
 *   none                   no RDMA here
 *   mlx5_0:1/3,mlx5_1      these devices, each with an optional port and GID index; insisted on. A
 *                          device without a port stands for all of its active ports.
 *
 * followed by settings, separated by commas: rails=2 (ports used at a time, 1 to 8; if it isn't
 * said, 4 of auto's and all that were named), gid=3 (index, for all ports), tc=106 (traffic class),
 * sl=0 (service level), hops=64 (hop limit), mtu=4096 (path MTU at most), timeout=14 (of one try,
 * 4.096 us times 2 to the power of it, 1 to 22), retry=6 (tries more, 1 to 6: 7 would mean for ever
 * on some devices), depth=256 (requests a queue pair), qps=1024 (queue pairs of this process on a
 * device), ipv=4|6 (kind of GID), pkey=0 (index of the partition, for all ports), cache=1 (0: a
 * client registers nothing on the way; what isn't registered goes by way of bounce buffers).
 */
#ifndef CENOTE_TRANSPORT_RDMA_SETTINGS_H
#define CENOTE_TRANSPORT_RDMA_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RDMA_NAMED_MAX 8u
#define RDMA_NAME_MAX  64u /* as IBV_SYSFS_NAME_MAX */

struct rdma_named {
    char device[RDMA_NAME_MAX];
    uint8_t port; /* 0: any */
    int gid;      /* -1: any */
};

struct rdma_settings {
    bool none;
    struct rdma_named named[RDMA_NAMED_MAX];
    uint32_t named_count; /* 0: auto */
    uint32_t rails;
    int gid;      /* -1: any */
    unsigned ipv; /* 4, 6; 0: either */
    uint8_t traffic_class, service_level, hop_limit;
    uint16_t pkey; /* index */
    uint32_t mtu_bytes;
    uint8_t timeout; /* exponent, as ibv_qp_attr.timeout */
    uint8_t retry;
    uint32_t depth;
    uint32_t queue_pairs_max;
    bool no_cache;
};

/* text NULL: "auto". CENOTE_OK; CENOTE_INVALID with a line in error. */
int rdma_settings_parse(const char *text, struct rdma_settings *out, char *error,
                        size_t error_size);

#endif
