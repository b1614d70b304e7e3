/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "transport/rdma/device.h"

static struct rdma_device device = {.address_lock = PTHREAD_MUTEX_INITIALIZER};
static struct rdma_port local[XCOPY_RAILS_MAX];
static struct rdma_remote_port remote[XCOPY_RAILS_MAX];
static unsigned local_count, remote_count, count;
static struct rdma_pair pairs[2 * XCOPY_RAILS_MAX];

static void set_gid(union ibv_gid *gid, const char *text)
{
    memset(gid, 0, sizeof(*gid));
    if (strchr(text, ':') != NULL) {
        cr_assert_eq(inet_pton(AF_INET6, text, gid->raw), 1);
    } else {
        gid->raw[10] = gid->raw[11] = 0xff;
        cr_assert_eq(inet_pton(AF_INET, text, gid->raw + 12), 1);
    }
}

static void add_local(enum rdma_link link, const char *gid)
{
    struct rdma_port *port = &local[local_count++];
    port->device = &device;
    port->link = link;
    set_gid(&port->gid, gid);
}

static void add_remote(enum rdma_link link, const char *gid)
{
    struct rdma_remote_port *port = &remote[remote_count++];
    port->link = link;
    set_gid(&port->gid, gid);
}

static void pair_up(unsigned max)
{
    count = rdma_pair_ports(local, local_count, remote, remote_count, pairs, max);
}

static bool is_pair(unsigned at, unsigned l, unsigned r)
{
    return at < count && pairs[at].local == l && pairs[at].remote == r;
}

Test(rdma_pair, ports__same_subnet_first)
{
    add_local(RDMA_LINK_ROCE_V2, "10.1.0.1");
    add_local(RDMA_LINK_ROCE_V2, "10.2.0.1");
    add_remote(RDMA_LINK_ROCE_V2, "10.2.0.9");
    add_remote(RDMA_LINK_ROCE_V2, "10.1.0.9");
    pair_up(8);
    cr_assert_eq(count, 2);
    cr_assert(is_pair(0, 0, 1));
    cr_assert(is_pair(1, 1, 0));
    pair_up(1);
    cr_assert_eq(count, 1);
    pair_up(0);
    cr_assert_eq(count, 0);
}

Test(rdma_pair, ports__more_here_than_there)
{
    add_local(RDMA_LINK_ROCE_V2, "10.1.0.1");
    add_local(RDMA_LINK_ROCE_V2, "10.1.0.2");
    add_local(RDMA_LINK_ROCE_V2, "10.1.0.3");
    add_remote(RDMA_LINK_ROCE_V2, "10.1.0.129");
    pair_up(8);
    cr_assert_eq(count, 3, "each of them reaches the only one");
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(pairs[i].remote, 0);
    cr_assert_eq(pairs[0].local + pairs[1].local + pairs[2].local, 3);
}

Test(rdma_pair, ports__each_once_as_long_as_there_are_others)
{
    add_local(RDMA_LINK_ROCE_V2, "10.1.0.1");
    add_remote(RDMA_LINK_ROCE_V2, "10.9.0.1");
    add_remote(RDMA_LINK_ROCE_V2, "10.1.0.2");
    pair_up(8);
    cr_assert_eq(count, 2);
    cr_assert(is_pair(0, 0, 1));
    cr_assert(is_pair(1, 0, 0));
}

Test(rdma_pair, ports__links_and_families_keep_apart)
{
    add_local(RDMA_LINK_ROCE_V2, "10.1.0.1");
    add_remote(RDMA_LINK_ROCE_V1, "10.1.0.2");
    add_remote(RDMA_LINK_IB, "fe80::1");
    add_remote(RDMA_LINK_ROCE_V2, "2001:db8::2");
    add_remote(RDMA_LINK_ROCE_V2, "fe80::2");
    pair_up(8);
    cr_assert_eq(count, 0);
    add_local(RDMA_LINK_ROCE_V2, "2001:db8:1::1");
    pair_up(8);
    cr_assert_eq(count, 1);
    cr_assert(is_pair(0, 1, 2));
}

Test(rdma_pair, ports__infiniband_across_subnets)
{
    add_local(RDMA_LINK_IB, "fe80::1");
    add_remote(RDMA_LINK_IB, "fec0:0:0:1::2");
    add_remote(RDMA_LINK_IB, "fe80::3");
    pair_up(1);
    cr_assert(is_pair(0, 0, 1));
    remote_count = 1;
    pair_up(1);
    cr_assert(is_pair(0, 0, 0));
}

Test(rdma_pair, ports__only_what_is_up)
{
    add_local(RDMA_LINK_ROCE_V2, "10.1.0.1");
    add_local(RDMA_LINK_ROCE_V2, "10.2.0.1");
    add_remote(RDMA_LINK_ROCE_V2, "10.1.0.2");
    atomic_store(&local[0].down, true);
    pair_up(8);
    cr_assert_eq(count, 1);
    cr_assert(is_pair(0, 1, 0));
    atomic_store(&device.lost, true);
    pair_up(8);
    cr_assert_eq(count, 0);
}

Test(rdma_pair, port_text)
{
    char text[XCOPY_RAIL_TEXT];
    strcpy(device.name, "mlx5_0");
    add_local(RDMA_LINK_ROCE_V2, "10.1.0.1");
    local[0].number = 1;
    local[0].gid_index = 3;
    local[0].rate_mbps = 100000;
    local[0].mtu_bytes = 4096;
    rdma_port_text(&local[0], text);
    cr_assert_str_eq(text, "mlx5_0:1 up, RoCE v2 GID 3 10.1.0.1, 100000 Mb/s, MTU 4096");
    local[0].link = RDMA_LINK_IB;
    local[0].lid = 17;
    set_gid(&local[0].gid, "fe80::1");
    atomic_store(&local[0].down, true);
    rdma_port_text(&local[0], text);
    cr_assert_str_eq(text, "mlx5_0:1 down, InfiniBand LID 17 GID 3 fe80::1, 100000 Mb/s, MTU 4096");
    atomic_store(&device.lost, true);
    memset(device.name, 'x', sizeof(device.name) - 1);
    set_gid(&local[0].gid, "2001:db8:1111:2222:3333:4444:5555:6666");
    rdma_port_text(&local[0], text);
    cr_assert_eq(strlen(text), XCOPY_RAIL_TEXT - 1, "cut");
    cr_assert(strstr(text, " lost, ") != NULL);
}
