/* SPDX-License-Identifier: Apache-2.0 */
/* Devices: described, listed, opened, asked. */
#include "tests/support/mockverbs_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void mock_gid_of(const char *address, union ibv_gid *out)
{
    memset(out, 0, sizeof(*out));
    out->raw[10] = out->raw[11] = 0xff;
    if (inet_pton(AF_INET, address, &out->raw[12]) == 1 ||
        inet_pton(AF_INET6, address, out->raw) == 1)
        return;
    mock_panic("%s is no address", address);
}

static void set_gid(struct mock_port *port, unsigned index, uint32_t type, const char *address)
{
    if (index >= MOCK_GIDS_MAX)
        mock_panic("a port has %u GIDs", MOCK_GIDS_MAX);
    struct ibv_gid_entry *entry = &port->gids[index];
    memset(entry, 0, sizeof(*entry));
    if (address == NULL)
        return;
    mock_gid_of(address, &entry->gid);
    entry->gid_index = index;
    entry->gid_type = type;
    entry->ndev_ifindex = type == IBV_GID_TYPE_IB ? 0 : 2;
}

void mock_set_gid(struct mock_port *port, unsigned index, uint32_t type, const char *address)
{
    pthread_rwlock_wrlock(&mock_world.lock);
    set_gid(port, index, type, address);
    pthread_rwlock_unlock(&mock_world.lock);
}

void mock_make_infiniband(struct mock_port *port, uint16_t lid)
{
    char address[INET6_ADDRSTRLEN];
    snprintf(address, sizeof(address), "fe80::1:%x", lid);
    port->attr.link_layer = IBV_LINK_LAYER_INFINIBAND;
    port->attr.lid = lid;
    port->attr.sm_lid = 1;
    memset(port->gids, 0, sizeof(port->gids));
    mock_set_gid(port, 0, IBV_GID_TYPE_IB, address);
}

static void describe_port(struct mock_port *port, unsigned device)
{
    port->attr = (struct ibv_port_attr){
        .state = IBV_PORT_ACTIVE,
        .max_mtu = IBV_MTU_4096,
        .active_mtu = IBV_MTU_4096,
        .gid_tbl_len = MOCK_GIDS_MAX,
        .max_msg_sz = UINT32_C(8) << 20,
        .pkey_tbl_len = 1,
        .active_width = 2,  /* 4 lanes ... */
        .active_speed = 32, /* ... of 25 Gb/s */
        .phys_state = 5,
        .link_layer = IBV_LINK_LAYER_ETHERNET,
    };
    char link_local[INET6_ADDRSTRLEN], address[INET_ADDRSTRLEN];
    snprintf(link_local, sizeof(link_local), "fe80::%x", device + 1);
    snprintf(address, sizeof(address), "10.0.0.%u", device + 1);
    set_gid(port, 0, IBV_GID_TYPE_ROCE_V1, link_local);
    set_gid(port, 1, IBV_GID_TYPE_ROCE_V2, link_local);
    set_gid(port, 2, IBV_GID_TYPE_ROCE_V1, address);
    set_gid(port, 3, IBV_GID_TYPE_ROCE_V2, address);
}

static void describe_device(struct mock_device *d, const char *name)
{
    snprintf(d->name, sizeof(d->name), "%s", name);
    snprintf(d->ibdev_path, sizeof(d->ibdev_path), "/nonexistent/%s", name);
    d->keeps_completions = true;
    d->inline_max = 512;
    d->attr = (struct ibv_device_attr){
        .max_mr_size = UINT64_MAX,
        .page_size_cap = 0xfffff000,
        .max_qp = 65536,
        .max_qp_wr = 16384,
        .max_sge = 32,
        .max_sge_rd = 32,
        .max_cq = 65536,
        .max_cqe = 32767,
        .max_mr = 65536,
        .max_pd = 65536,
        .max_qp_rd_atom = 128,
        .max_qp_init_rd_atom = 128,
        .max_pkeys = 1,
        .local_ca_ack_delay = 15,
        .phys_port_cnt = 1,
    };
}

struct mock_device *mock_add(const char *name)
{
    struct mock_world *w = &mock_world;
    struct mock_hardware *h = calloc(1, sizeof(*h));
    if (h == NULL || w->hardware_count == MOCK_DEVICES_MAX)
        mock_panic("too many devices");
    describe_device(&h->shown, name);
    pthread_rwlock_wrlock(&w->lock);
    for (unsigned i = 0; i < MOCK_PORTS_MAX; i++)
        describe_port(&h->shown.ports[i], w->hardware_count + 100 * i);
    w->hardware[w->hardware_count++] = h;
    pthread_rwlock_unlock(&w->lock);
    return &h->shown;
}

static struct mock_hardware *hardware_at(struct ibv_device *device)
{
    return (struct mock_hardware *)(void *)((char *)device -
                                            offsetof(struct mock_hardware, device));
}

static struct ibv_device *as_listed(struct mock_hardware *h)
{
    struct ibv_device *d = &h->device;
    d->node_type = IBV_NODE_CA;
    d->transport_type = IBV_TRANSPORT_IB;
    memcpy(d->name, h->shown.name, sizeof(d->name));
    memcpy(d->ibdev_path, h->shown.ibdev_path, sizeof(d->ibdev_path));
    return d;
}

struct ibv_device **mock_get_device_list(int *count)
{
    struct mock_world *w = &mock_world;
    errno = mock_verb_fails(NULL, MOCK_GET_DEVICE_LIST);
    if (errno != 0)
        return NULL;
    struct ibv_device **list = calloc(MOCK_DEVICES_MAX + 1, sizeof(*list));
    if (list == NULL)
        return NULL;
    int found = 0;
    pthread_rwlock_wrlock(&w->lock);
    for (unsigned i = 0; i < w->hardware_count; i++) {
        if (!w->hardware[i]->removed)
            list[found++] = as_listed(w->hardware[i]);
    }
    w->counts.lists++;
    pthread_rwlock_unlock(&w->lock);
    if (count != NULL)
        *count = found;
    return list;
}

void mock_free_device_list(struct ibv_device **list)
{
    pthread_rwlock_wrlock(&mock_world.lock);
    mock_world.counts.lists--;
    pthread_rwlock_unlock(&mock_world.lock);
    free(list);
}

const char *mock_get_device_name(struct ibv_device *device)
{
    return device->name;
}

struct ibv_context *mock_open_device(struct ibv_device *device)
{
    struct mock_hardware *h = hardware_at(device);
    struct mock_context *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->hardware = h;
    errno = mock_verb_fails(&c->verbs, MOCK_OPEN_DEVICE);
    if (errno != 0)
        goto free_context;
    errno = mock_mailbox_open(&c->mailbox);
    if (errno != 0)
        goto free_context;
    c->verbs.cmd_fd = eventfd(0, EFD_CLOEXEC);
    if (c->verbs.cmd_fd < 0)
        goto close_mailbox;
    c->verbs.device = device;
    c->verbs.ops = mock_context_ops;
    c->verbs.async_fd = c->mailbox.fd;
    c->verbs.num_comp_vectors = 1;
    pthread_rwlock_wrlock(&mock_world.lock);
    c->next = mock_world.contexts;
    mock_world.contexts = c;
    mock_world.counts.contexts++;
    pthread_rwlock_unlock(&mock_world.lock);
    return &c->verbs;

close_mailbox:
    mock_mailbox_close(&c->mailbox);
free_context:
    free(c);
    return NULL;
}

int mock_close_device(struct ibv_context *context)
{
    struct mock_context *c = (struct mock_context *)(void *)context;
    mock_wait_acked(&c->taken, &c->acked, "a context");
    pthread_rwlock_wrlock(&mock_world.lock);
    if (c->children != 0)
        mock_panic("%s is closed with %u of its objects alive", c->hardware->shown.name,
                   c->children);
    struct mock_context **at = &mock_world.contexts;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    mock_world.counts.contexts--;
    pthread_rwlock_unlock(&mock_world.lock);
    mock_free_ended(c);
    mock_mailbox_close(&c->mailbox);
    close(c->verbs.cmd_fd);
    free(c);
    return 0;
}

int mock_query_device(struct ibv_context *context, struct ibv_device_attr *out)
{
    int error = mock_verb_fails(context, MOCK_QUERY_DEVICE);
    if (error == 0)
        *out = mock_hardware_of(context)->shown.attr;
    return error;
}

static struct mock_port *port_of(const struct ibv_context *context, uint32_t number)
{
    struct mock_device *d = &mock_hardware_of(context)->shown;
    return number >= 1 && number <= d->attr.phys_port_cnt ? &d->ports[number - 1] : NULL;
}

int mock_query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *out)
{
    int error = mock_verb_fails(context, MOCK_QUERY_PORT);
    if (error != 0)
        return error;
    const struct mock_port *p = port_of(context, port);
    if (p == NULL)
        return EINVAL;
    pthread_rwlock_rdlock(&mock_world.lock);
    memcpy(out, &p->attr, offsetof(struct ibv_port_attr, flags)); /* as the function of old */
    pthread_rwlock_unlock(&mock_world.lock);
    return 0;
}

int mock_query_gid(struct ibv_context *context, uint32_t port, uint32_t index,
                   struct ibv_gid_entry *out)
{
    static const union ibv_gid none;
    int error = mock_verb_fails(context, MOCK_QUERY_GID);
    if (error != 0)
        return error;
    const struct mock_port *p = port_of(context, port);
    if (p == NULL || index >= (uint32_t)p->attr.gid_tbl_len)
        return EINVAL;
    error = ENODATA;
    pthread_rwlock_rdlock(&mock_world.lock);
    if (index < MOCK_GIDS_MAX && memcmp(&p->gids[index].gid, &none, sizeof(none)) != 0) {
        *out = p->gids[index];
        out->port_num = port;
        error = 0;
    }
    pthread_rwlock_unlock(&mock_world.lock);
    return error;
}
