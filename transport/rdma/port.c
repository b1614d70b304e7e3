/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/port.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/log.h"

static uint64_t lane_mbps(uint8_t speed)
{
    static const struct {
        uint8_t code;
        uint64_t mbps;
    } speeds[] = {{1, 2500},   {2, 5000},   {4, 10000},  {8, 10000},
                  {16, 14000}, {32, 25000}, {64, 50000}, {128, 100000}};
    for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++)
        if (speeds[i].code == speed)
            return speeds[i].mbps;
    return 2500;
}

static uint64_t lanes(uint8_t width)
{
    switch (width) {
    case 2:
        return 4;
    case 4:
        return 8;
    case 8:
        return 12;
    case 16:
        return 2;
    default:
        return 1;
    }
}

static uint32_t mtu_bytes(enum ibv_mtu mtu)
{
    return mtu >= IBV_MTU_256 && mtu <= IBV_MTU_4096 ? UINT32_C(128) << mtu : 0;
}

static const char *state_text(enum ibv_port_state state)
{
    switch (state) {
    case IBV_PORT_DOWN:
        return "the port is down";
    case IBV_PORT_INIT:
    case IBV_PORT_ARMED:
        return "the port waits for its subnet manager";
    default:
        return "the port isn't active";
    }
}

static bool is_infiniband(const struct ibv_port_attr *attr)
{
    return attr->link_layer != IBV_LINK_LAYER_ETHERNET;
}

static const char *look_at_attributes(const struct ibv_port_attr *attr,
                                      const struct rdma_settings *settings)
{
    if (attr->state != IBV_PORT_ACTIVE)
        return state_text(attr->state);
    if (mtu_bytes(attr->active_mtu) == 0)
        return "its active MTU is unknown";
    if (attr->max_msg_sz == 0)
        return "it allows no messages";
    if (attr->pkey_tbl_len > 0 && settings->pkey >= attr->pkey_tbl_len)
        return "its table of partitions ends before the index that was said (pkey=)";
    return NULL;
}

static const char *choose_gid(const struct rdma_verbs *verbs, struct ibv_context *context,
                              const struct rdma_settings *settings, const struct gid_own *own,
                              const struct rdma_port *port, const struct ibv_port_attr *attr,
                              struct gid_choice *out)
{
    struct gid_search search = {.verbs = verbs,
                                .context = context,
                                .port = port->number,
                                .infiniband = is_infiniband(attr),
                                .wanted = port->gid_wanted,
                                .ipv = settings->ipv,
                                .own = own};
    return gid_choose(&search, attr, out);
}

const char *port_look(const struct rdma_verbs *verbs, struct ibv_context *context,
                      const struct rdma_settings *settings, const struct gid_own *own,
                      struct rdma_port *port)
{
    struct ibv_port_attr attr;
    struct gid_choice choice;
    memset(&attr, 0, sizeof(attr));
    if (verbs->query_port(context, port->number, &attr) != 0)
        return "its attributes can't be read";
    const char *why = look_at_attributes(&attr, settings);
    if (why == NULL)
        why = choose_gid(verbs, context, settings, own, port, &attr, &choice);
    if (why != NULL)
        return why;
    port->link = choice.link;
    port->gid_index = choice.index;
    port->gid = port->gid_first = choice.gid;
    port->lid = attr.lid;
    port->grh_required = (attr.flags & IBV_QPF_GRH_REQUIRED) != 0;
    port->mtu_bytes = mtu_bytes(attr.active_mtu);
    if (port->mtu_bytes > settings->mtu_bytes)
        port->mtu_bytes = settings->mtu_bytes;
    port->message_max = attr.max_msg_sz;
    port->rate_mbps = lane_mbps(attr.active_speed) * lanes(attr.active_width);
    return NULL;
}

void port_set_down(struct rdma_port *port, bool down, const char *why)
{
    char text[XCOPY_RAIL_TEXT];
    if (atomic_exchange(&port->down, down) == down)
        return;
    rdma_port_text(port, text);
    if (down)
        log_warn("rdma", "%s: %s", text, why);
    else
        log_info("rdma", "%s", text);
}

/* Takes the address over, if it is another one. */
static void set_address(struct rdma_port *port, const struct gid_choice *choice, uint16_t lid)
{
    pthread_mutex_t *lock = &port->device->address_lock;
    char text[XCOPY_RAIL_TEXT];
    pthread_mutex_lock(lock);
    bool changed = port->gid_index != choice->index || !gid_equal(&port->gid, &choice->gid) ||
                   port->lid != lid;
    port->gid_index = choice->index;
    port->gid = choice->gid;
    port->lid = lid;
    pthread_mutex_unlock(lock);
    if (!changed)
        return;
    rdma_port_text(port, text);
    log_warn("rdma", "another address: %s", text);
}

/* Is the GID that is in use still where it was? Then it stays, whatever else there is now, unless
 * it stands in for the first one: that is what the other ends' are like. */
static bool still_there(const struct rdma_devices *d, const struct rdma_port *port,
                        const struct ibv_port_attr *attr, struct gid_choice *out)
{
    static const struct gid_own none;
    struct rdma_port as_it_is = {.number = port->number, .gid_wanted = port->gid_index};
    return choose_gid(d->verbs, port->device->context, &d->settings, &none, &as_it_is, attr, out) ==
               NULL &&
           out->link == port->link && gid_equal(&out->gid, &port->gid);
}

void port_refresh(const struct rdma_devices *d, struct rdma_port *port)
{
    struct ibv_port_attr attr;
    struct gid_choice choice;
    struct gid_own own;
    memset(&attr, 0, sizeof(attr));
    if (d->verbs->query_port(port->device->context, port->number, &attr) != 0) {
        port_set_down(port, true, "its attributes can't be read");
        return;
    }
    const char *why = look_at_attributes(&attr, &d->settings);
    bool stays = why == NULL && still_there(d, port, &attr, &choice);
    if (why == NULL && (!stays || !gid_equal(&port->gid, &port->gid_first))) {
        struct gid_choice best;
        gid_own_addresses(&own);
        why = choose_gid(d->verbs, port->device->context, &d->settings, &own, port, &attr, &best);
        if (why == NULL && best.link != port->link)
            why = "its link has changed";
        if (why == NULL && (!stays || gid_equal(&best.gid, &port->gid_first)))
            choice = best;
    }
    if (why == NULL)
        set_address(port, &choice, attr.lid);
    port_set_down(port, why != NULL, why);
}

void rdma_port_address(const struct rdma_port *port, struct rdma_remote_port *out,
                       uint8_t *gid_index)
{
    pthread_mutex_t *lock = &port->device->address_lock;
    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(lock);
    out->link = port->link;
    out->gid = port->gid;
    out->lid = port->lid;
    out->mtu_bytes = port->mtu_bytes;
    if (gid_index != NULL)
        *gid_index = port->gid_index;
    pthread_mutex_unlock(lock);
}

bool rdma_port_is_up(const struct rdma_port *port)
{
    return !atomic_load(&port->down) && !atomic_load(&port->device->lost);
}

static const char *port_state_text(const struct rdma_port *port)
{
    if (atomic_load(&port->device->lost))
        return "lost";
    return atomic_load(&port->down) ? "down" : "up";
}

void rdma_port_text(const struct rdma_port *port, char out[XCOPY_RAIL_TEXT])
{
    static const char *const links[] = {"", "InfiniBand", "RoCE v1", "RoCE v2"};
    struct rdma_remote_port address;
    char gid[GID_TEXT_MAX], lid[16] = "", whole[2 * XCOPY_RAIL_TEXT];
    uint8_t index = 0;
    rdma_port_address(port, &address, &index);
    gid_text(&address.gid, gid);
    if (address.link == RDMA_LINK_IB)
        snprintf(lid, sizeof(lid), "LID %u ", address.lid);
    snprintf(whole, sizeof(whole), "%s:%u %s, %s %sGID %u %s, %" PRIu64 " Mb/s, MTU %u",
             port->device->name, port->number, port_state_text(port), links[address.link], lid,
             index, gid, port->rate_mbps, address.mtu_bytes);
    snprintf(out, XCOPY_RAIL_TEXT, "%.*s", (int)XCOPY_RAIL_TEXT - 1, whole);
}
