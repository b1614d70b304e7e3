/* SPDX-License-Identifier: Apache-2.0 */
/* The search for devices and ports that settings ask for: everything is opened and looked at, the
 * best are chosen, the rest is closed. Private to device.c. */
#ifndef CENOTE_TRANSPORT_RDMA_FIND_H
#define CENOTE_TRANSPORT_RDMA_FIND_H

#include "transport/rdma/port.h"

#define FIND_DEVICES_MAX 64u
#define FIND_PORTS_MAX   128u

struct find_device {
    char name[RDMA_NAME_MAX];
    struct ibv_context *context; /* NULL: closed, or taken over by the caller */
    struct ibv_device_attr attr;
    int numa_node;
};

struct find_port {
    struct rdma_port port; /* without its device */
    unsigned device;       /* index in devices */
    unsigned order;        /* of the name, by which it was asked for */
    bool near;             /* this process runs at its device's NUMA node */
};

struct find {
    const struct rdma_verbs *verbs;
    const struct rdma_settings *settings;
    struct gid_own own;
    struct find_device devices[FIND_DEVICES_MAX];
    unsigned device_count;
    struct find_port ports[FIND_PORTS_MAX]; /* usable, best first */
    unsigned port_count;
    bool limited; /* a device couldn't be opened for want of memory or descriptors */
};

/* CENOTE_OK: at least one port. Otherwise as rdma_devices_open(), logged; nothing is left open. */
int find_ports(struct find *f);
/* Closes what is still open. */
void find_close(struct find *f);

#endif
