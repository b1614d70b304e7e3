/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of one user (a client's context, an exporter): opened, with a protection domain each,
 * and the ports that are used, best first. Ports are called rails where several carry one
 * transfer.
 *
 * A port is usable when it is active and has a usable GID. Order: those that were named as they
 * were named; else by the active rate, then devices near the memory that this process runs on
 * (NUMA), then by name. Unnamed, a port with less than half the rate of the best isn't used: a part
 * of a transfer that takes the slow way ends it late. GIDs of a port: RoCE v2 only (v1 when its
 * index was said), addresses of this network name space first (a container may see its host's GIDs,
 * and can't use them), IPv4-mapped before global IPv6 before link-local before loopback, then by
 * index; InfiniBand: index 0 and the LID.
 */
#ifndef CENOTE_TRANSPORT_RDMA_DEVICE_H
#define CENOTE_TRANSPORT_RDMA_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "transport/rdma/settings.h"
#include "transport/rdma/verbs.h"
#include "transport/xcopy.h"

#define RDMA_DEVICES_MAX 8u

enum rdma_link { RDMA_LINK_IB = 1, RDMA_LINK_ROCE_V1 = 2, RDMA_LINK_ROCE_V2 = 3 };

struct rdma_device {
    char name[RDMA_NAME_MAX];
    unsigned index; /* in rdma_devices.at */
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_device_attr attr;
    int numa_node;                /* -1: unknown */
    _Atomic bool lost;            /* removed, or broken beyond repair: don't use it any more */
    _Atomic uint32_t queue_pairs; /* alive */
    _Atomic uint32_t regions;     /* ibv_mr alive */
    pthread_mutex_t address_lock; /* its ports' gid_index, gid, lid */
};

struct rdma_port {
    struct rdma_device *device;
    uint8_t number;
    enum rdma_link link;
    /* The address. Events may change it: read it by rdma_port_address(). */
    uint8_t gid_index;
    union ibv_gid gid;
    uint16_t lid;
    union ibv_gid gid_first; /* chosen when the device was opened */
    int gid_wanted;          /* index that was said; -1: any */
    bool grh_required;       /* InfiniBand: the fabric wants it in every packet */
    uint32_t mtu_bytes;      /* active, capped by the settings */
    uint64_t message_max;    /* longest message of one request */
    uint64_t rate_mbps;
    _Atomic bool down; /* by its events */
};

struct rdma_devices {
    const struct rdma_verbs *verbs;
    struct rdma_settings settings;
    struct rdma_device at[RDMA_DEVICES_MAX];
    unsigned count;
    struct rdma_port rails[XCOPY_RAILS_MAX];
    unsigned rail_count; /* at least 1 */
    pthread_mutex_t events_lock;
    /* for reports */
    _Atomic uint64_t errors, fenced, rails_lost;
};

/* Opens what the settings ask for. CENOTE_OK; CENOTE_NOT_SUPPORTED: nothing usable here and nothing
 * named (or "none"): logged at level info once; CENOTE_INVALID: something named isn't there or
 * isn't usable, logged; CENOTE_NO_MEMORY, which includes the limits of locked memory and
 * descriptors. */
int rdma_devices_open(const struct rdma_settings *settings, struct rdma_devices **out);
/* No queue pair, region or queue may be left. NULL: nothing. */
void rdma_devices_close(struct rdma_devices *d);
/* In a forked child: closes its copies of the descriptors, leaves the devices alone. */
void rdma_devices_abandon(struct rdma_devices *d);

/* Descriptor to poll(2) for events of the device, as long as the device isn't lost: of one that was
 * removed it stays readable for ever. */
int rdma_device_event_fd(const struct rdma_device *device);
/* Takes all events that wait, without blocking, notes what they say in devices and ports, logs
 * them. Any thread. */
void rdma_devices_take_events(struct rdma_devices *d);

/* A port's address as peers must know it, and the index of its GID (NULL: not wanted). */
struct rdma_remote_port {
    enum rdma_link link;
    union ibv_gid gid;
    uint16_t lid;
    uint32_t mtu_bytes;
};
void rdma_port_address(const struct rdma_port *port, struct rdma_remote_port *out,
                       uint8_t *gid_index);
/* Neither down nor its device lost. */
bool rdma_port_is_up(const struct rdma_port *port);

/* Pairs of ports that reach each other: link and family of GID are the same; the same subnet first
 * (the longest common prefix), each port once as long as there are others. Fills pairs[] with
 * indices, at most max; returns how many, 0: none. remote[]: GIDs and links as they were told.
 * Ports that aren't up have no pair. */
struct rdma_pair {
    unsigned local, remote;
};
unsigned rdma_pair_ports(const struct rdma_port *local, unsigned local_count,
                         const struct rdma_remote_port *remote, unsigned remote_count,
                         struct rdma_pair *pairs, unsigned max);

/* Device, port, GID and state as one text. */
void rdma_port_text(const struct rdma_port *port, char out[XCOPY_RAIL_TEXT]);
/* Fills rails, queue_pairs, regions, errors, fenced, rails_lost. */
void rdma_devices_report(const struct rdma_devices *d, struct xcopy_report *out);

#endif
