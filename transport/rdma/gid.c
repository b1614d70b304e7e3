/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/gid.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool gid_is_ipv4(const union ibv_gid *gid)
{
    return memcmp(gid->raw, mapped, sizeof(mapped)) == 0;
}

bool gid_equal(const union ibv_gid *a, const union ibv_gid *b)
{
    return memcmp(a->raw, b->raw, sizeof(a->raw)) == 0;
}

enum gid_kind gid_kind_of(const union ibv_gid *gid)
{
    static const union ibv_gid none, loopback = {.raw = {[15] = 1}};
    const uint8_t *b = gid->raw;
    if (gid_is_ipv4(gid)) {
        if (b[12] == 127)
            return GID_LOOPBACK;
        return b[12] == 169 && b[13] == 254 ? GID_LINK_LOCAL : GID_IPV4;
    }
    if (gid_equal(gid, &none) || b[0] == 0xff) /* multicast */
        return GID_NONE;
    if (gid_equal(gid, &loopback))
        return GID_LOOPBACK;
    return b[0] == 0xfe && (b[1] & 0xc0) == 0x80 ? GID_LINK_LOCAL : GID_IPV6;
}

unsigned gid_common_bits(const union ibv_gid *a, const union ibv_gid *b)
{
    for (unsigned i = 0; i < sizeof(a->raw); i++) {
        unsigned differing = (unsigned)(a->raw[i] ^ b->raw[i]);
        if (differing != 0)
            return i * 8 + (unsigned)__builtin_clz(differing) - 24;
    }
    return 128;
}

void gid_text(const union ibv_gid *gid, char out[GID_TEXT_MAX])
{
    const char *done = gid_is_ipv4(gid) ? inet_ntop(AF_INET, gid->raw + 12, out, GID_TEXT_MAX)
                                        : inet_ntop(AF_INET6, gid->raw, out, GID_TEXT_MAX);
    if (done == NULL)
        out[0] = '\0';
}

static bool gid_of_address(const struct sockaddr *address, union ibv_gid *out)
{
    if (address == NULL)
        return false;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        memcpy(out->raw, mapped, sizeof(mapped));
        memcpy(out->raw + sizeof(mapped), &v4.sin_addr, 4);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        memcpy(out->raw, &v6.sin6_addr, sizeof(out->raw));
        return true;
    }
    return false;
}

void gid_own_addresses(struct gid_own *out)
{
    struct ifaddrs *list = NULL;
    out->count = 0;
    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *i = list; i != NULL && out->count < GID_OWN_MAX; i = i->ifa_next)
        if (gid_of_address(i->ifa_addr, &out->at[out->count]))
            out->count++;
    freeifaddrs(list);
}

static bool is_own(const struct gid_own *own, const union ibv_gid *gid)
{
    for (unsigned i = 0; i < own->count; i++)
        if (gid_equal(&own->at[i], gid))
            return true;
    return false;
}

static bool family_fits(const union ibv_gid *gid, unsigned ipv)
{
    return ipv == 0 || gid_is_ipv4(gid) == (ipv == 4);
}

static bool read_entry(const struct gid_search *search, uint32_t index, struct gid_choice *out)
{
    struct ibv_gid_entry entry;
    memset(&entry, 0, sizeof(entry));
    if (search->verbs->query_gid(search->context, search->port, index, &entry) != 0 ||
        gid_kind_of(&entry.gid) == GID_NONE)
        return false;
    out->index = (uint8_t)index;
    out->gid = entry.gid;
    if (search->infiniband)
        out->link = RDMA_LINK_IB;
    else
        out->link = entry.gid_type == IBV_GID_TYPE_ROCE_V2 ? RDMA_LINK_ROCE_V2 : RDMA_LINK_ROCE_V1;
    return true;
}

/* Lower is better. */
static unsigned rank_of(const struct gid_search *search, const union ibv_gid *gid)
{
    enum gid_kind kind = gid_kind_of(gid);
    bool own = (kind == GID_IPV4 || kind == GID_IPV6) && is_own(search->own, gid);
    return (unsigned)kind + (own ? 0 : (unsigned)GID_NONE);
}

static const char *choose_for_ethernet(const struct gid_search *search, uint32_t table_len,
                                       struct gid_choice *out)
{
    unsigned best = UINT32_MAX;
    bool any = false, any_v2 = false;
    for (uint32_t i = 0; i < table_len; i++) {
        struct gid_choice entry;
        if (!read_entry(search, i, &entry))
            continue;
        any = true;
        if (entry.link != RDMA_LINK_ROCE_V2)
            continue;
        any_v2 = true;
        if (!family_fits(&entry.gid, search->ipv))
            continue;
        unsigned rank = rank_of(search, &entry.gid);
        if (rank < best) {
            best = rank;
            *out = entry;
        }
    }
    if (best != UINT32_MAX)
        return NULL;
    if (any_v2)
        return search->ipv == 4 ? "no GID of RoCE v2 with an IPv4 address (ipv=4)"
                                : "no GID of RoCE v2 with an IPv6 address (ipv=6)";
    return any ? "GIDs of RoCE v1 only, which routers don't pass: say a GID index to use one"
               : "no GID: its interface has no address, or is down";
}

const char *gid_choose(const struct gid_search *search, const struct ibv_port_attr *attr,
                       struct gid_choice *out)
{
    uint32_t table_len = attr->gid_tbl_len < 0 ? 0 : (uint32_t)attr->gid_tbl_len;
    if (table_len > GID_INDEX_MAX + 1)
        table_len = GID_INDEX_MAX + 1;
    if (search->wanted < 0 && !search->infiniband)
        return choose_for_ethernet(search, table_len, out);
    uint32_t index = search->wanted < 0 ? 0 : (uint32_t)search->wanted;
    if (index >= table_len || !read_entry(search, index, out))
        return search->wanted < 0 ? "no GID at index 0" : "no GID at the index that was said";
    return NULL;
}
