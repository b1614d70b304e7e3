/* SPDX-License-Identifier: Apache-2.0 */
/* GIDs, the addresses of ports: their kinds, their text, and which of a port's to use. */
#ifndef CENOTE_TRANSPORT_RDMA_GID_H
#define CENOTE_TRANSPORT_RDMA_GID_H

#include "transport/rdma/device.h"

/* In the order of preference. */
enum gid_kind { GID_IPV4, GID_IPV6, GID_LINK_LOCAL, GID_LOOPBACK, GID_NONE };

#define GID_TEXT_MAX  48u
/* A port's table is searched so far: an address vector has 8 bits for the index. */
#define GID_INDEX_MAX 255u
/* Addresses of this network name space that are looked at. */
#define GID_OWN_MAX   256u

struct gid_own {
    unsigned count;
    union ibv_gid at[GID_OWN_MAX];
};

struct gid_choice {
    uint8_t index;
    enum rdma_link link;
    union ibv_gid gid;
};

enum gid_kind gid_kind_of(const union ibv_gid *gid);
bool gid_is_ipv4(const union ibv_gid *gid);
bool gid_equal(const union ibv_gid *a, const union ibv_gid *b);
/* Bits that they have in common from the first on. */
unsigned gid_common_bits(const union ibv_gid *a, const union ibv_gid *b);
/* As an IP address. */
void gid_text(const union ibv_gid *gid, char out[GID_TEXT_MAX]);
/* The addresses of all interfaces that this process sees, as GIDs. */
void gid_own_addresses(struct gid_own *out);

/* Chooses a port's GID. wanted: its index, -1: any. Returns NULL, or why there is none. */
struct gid_search {
    const struct rdma_verbs *verbs;
    struct ibv_context *context;
    uint8_t port;
    bool infiniband;
    int wanted;
    unsigned ipv; /* as rdma_settings.ipv */
    const struct gid_own *own;
};
const char *gid_choose(const struct gid_search *search, const struct ibv_port_attr *attr,
                       struct gid_choice *out);

#endif
