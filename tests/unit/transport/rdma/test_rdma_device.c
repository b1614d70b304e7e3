/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/support/mockverbs.h"
#include "transport/base/log.h"
#include "transport/rdma/gid.h"

static struct rdma_devices *d;
static char logged[16384]; /* all lines of this test */

static void sink(void *arg, enum log_level level, const char *module, const char *text)
{
    (void)arg;
    (void)level;
    (void)module;
    size_t len = strlen(logged);
    snprintf(logged + len, sizeof(logged) - len, "%s\n", text);
}

static void begin(void)
{
    log_set_sink(sink, NULL);
    log_set_level(LOG_INFO);
    rdma_verbs_replace(mock_verbs());
}

static void end(void)
{
    rdma_devices_close(d);
    cr_assert_eq(mock_alive(), 0);
    mock_reset();
}

TestSuite(rdma_device, .init = begin, .fini = end);

static int open_by(const char *text)
{
    struct rdma_settings settings;
    char error[128];
    cr_assert_eq(rdma_settings_parse(text, &settings, error, sizeof(error)), CENOTE_OK, "%s",
                 error);
    rdma_devices_close(d);
    d = NULL;
    logged[0] = '\0';
    return rdma_devices_open(&settings, &d);
}

/* The rails as "device:port" one after the other. */
static void rails_are(const char *want)
{
    char have[512] = "";
    for (unsigned i = 0; i < d->rail_count; i++) {
        size_t len = strlen(have);
        snprintf(have + len, sizeof(have) - len, "%s%s:%u", i > 0 ? " " : "",
                 d->rails[i].device->name, d->rails[i].number);
    }
    cr_assert_str_eq(have, want);
}

static void opens(const char *text, const char *rails)
{
    cr_assert_eq(open_by(text), CENOTE_OK, "%s", logged);
    rails_are(rails);
}

static void says(const char *text)
{
    cr_assert(strstr(logged, text) != NULL, "%s", logged);
}

static void refuses(const char *text, int status, const char *reason)
{
    cr_assert_eq(open_by(text), status);
    cr_assert_null(d);
    says(reason);
    cr_assert_eq(mock_alive(), 0);
}

static void set_rate(struct mock_device *device, uint8_t width, uint8_t speed)
{
    device->ports[0].attr.active_width = width;
    device->ports[0].attr.active_speed = speed;
}

Test(rdma_device, open__nothing_there)
{
    refuses("auto", CENOTE_NOT_SUPPORTED, "there is no device");
    refuses("mock0", CENOTE_INVALID, "mock0: there is no such device");
}

Test(rdma_device, open__what_a_port_says)
{
    struct mock_device *m = mock_add("mock0");
    m->ports[0].attr.active_mtu = IBV_MTU_2048;
    opens("auto", "mock0:1");
    const struct rdma_port *port = &d->rails[0];
    union ibv_gid gid;
    mock_gid_of("10.0.0.1", &gid);
    cr_assert_eq(port->link, RDMA_LINK_ROCE_V2);
    cr_assert_eq(port->gid_index, 3);
    cr_assert(gid_equal(&port->gid, &gid));
    cr_assert_eq(port->mtu_bytes, 2048);
    cr_assert_eq(port->rate_mbps, 100000);
    cr_assert_eq(port->message_max, m->ports[0].attr.max_msg_sz);
    cr_assert(rdma_port_is_up(port));
    cr_assert_eq(d->count, 1);
    cr_assert_eq(d->at[0].numa_node, -1);
    opens("mtu=1024", "mock0:1");
    cr_assert_eq(d->rails[0].mtu_bytes, 1024);
    opens("mock0:1/1", "mock0:1");
    cr_assert_eq(d->rails[0].gid_index, 1);
    opens("gid=2", "mock0:1");
    cr_assert_eq(d->rails[0].gid_index, 2);
    cr_assert_eq(d->rails[0].link, RDMA_LINK_ROCE_V1);
}

Test(rdma_device, open__infiniband)
{
    struct mock_device *m = mock_add("mock0");
    mock_make_infiniband(&m->ports[0], 17);
    opens("auto", "mock0:1");
    cr_assert_eq(d->rails[0].link, RDMA_LINK_IB);
    cr_assert_eq(d->rails[0].lid, 17);
    cr_assert_eq(d->rails[0].gid_index, 0);
    says("InfiniBand LID 17");
}

Test(rdma_device, open__rates_then_names)
{
    mock_add("mock10");
    mock_add("mock9");
    set_rate(mock_add("fast"), 2, 64);
    opens("auto", "fast:1 mock9:1 mock10:1");
    opens("auto,rails=2", "fast:1 mock9:1");
    cr_assert_eq(d->count, 2);
    cr_assert_eq(mock_counts().contexts, 2, "what isn't used is closed");
}

Test(rdma_device, open__slow_ports_are_passed_over)
{
    set_rate(mock_add("slow"), 1, 4);
    mock_add("mock0");
    opens("auto", "mock0:1");
    says("slow:1 isn't used");
    opens("slow,mock0", "slow:1 mock0:1");
}

Test(rdma_device, open__ports_of_one_device)
{
    struct mock_device *m = mock_add("mock0");
    m->attr.phys_port_cnt = 2;
    m->ports[1] = m->ports[0];
    mock_add("mock1");
    opens("auto", "mock0:1 mock0:2 mock1:1");
    cr_assert_eq(d->count, 2);
    opens("mock1,mock0", "mock1:1 mock0:1 mock0:2");
    opens("mock0:2,mock1,mock0:1", "mock0:2 mock1:1 mock0:1");
    m->ports[0].attr.state = IBV_PORT_DOWN;
    opens("mock0", "mock0:2");
    refuses("mock0:1", CENOTE_INVALID, "mock0:1 can't be used: the port is down");
    refuses("mock0:3", CENOTE_INVALID, "mock0 has 2 ports, and no port 3");
}

static void write_node(const struct mock_device *m, int node)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/device", m->ibdev_path);
    cr_assert_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/device/numa_node", m->ibdev_path);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file, "%d\n", node);
    fclose(file);
}

static void remove_node(const struct mock_device *m)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/device/numa_node", m->ibdev_path);
    unlink(path);
    snprintf(path, sizeof(path), "%s/device", m->ibdev_path);
    rmdir(path);
    rmdir(m->ibdev_path);
}

Test(rdma_device, open__near_ports_first)
{
    unsigned node = 0;
    char folder[] = "/tmp/cenote-rdma-XXXXXX";
    struct mock_device *a = mock_add("a"), *b = mock_add("b");
    cr_assert_eq(getcpu(NULL, &node), 0);
    cr_assert_not_null(mkdtemp(folder));
    snprintf(b->ibdev_path, sizeof(b->ibdev_path), "%s", folder);
    snprintf(a->ibdev_path, sizeof(a->ibdev_path), "%s/nothing", folder);
    write_node(b, (int)node);
    int status = open_by("auto");
    remove_node(b);
    cr_assert_eq(status, CENOTE_OK);
    rails_are("b:1 a:1");
    cr_assert_eq(d->at[0].numa_node, (int)node);
}

Test(rdma_device, open__unusable_ports)
{
    struct mock_device *m = mock_add("mock0");
    for (unsigned i = 0; i < MOCK_GIDS_MAX; i++)
        if (m->ports[0].gids[i].gid_type == IBV_GID_TYPE_ROCE_V2)
            mock_set_gid(&m->ports[0], i, 0, NULL);
    refuses("auto", CENOTE_NOT_SUPPORTED, "RoCE v1 only");
    refuses("mock0", CENOTE_INVALID, "RoCE v1 only");
    m->ports[0].attr.state = IBV_PORT_INIT;
    refuses("auto", CENOTE_NOT_SUPPORTED, "waits for its subnet manager");
    m->ports[0].attr.state = IBV_PORT_ACTIVE;
    refuses("pkey=65535", CENOTE_NOT_SUPPORTED, "(pkey=)");
}

static struct ibv_device **iwarp_list(int *count)
{
    struct ibv_device **list = mock_verbs()->get_device_list(count);
    list[0]->transport_type = IBV_TRANSPORT_IWARP;
    return list;
}

Test(rdma_device, open__other_kinds_of_verbs)
{
    static struct rdma_verbs verbs;
    verbs = *mock_verbs();
    verbs.get_device_list = iwarp_list;
    rdma_verbs_replace(&verbs);
    mock_add("mock0");
    refuses("auto", CENOTE_NOT_SUPPORTED, "mock0 isn't used: neither InfiniBand nor RoCE");
    refuses("mock0", CENOTE_INVALID, "mock0: neither InfiniBand nor RoCE");
    mock_add("mock1");
    opens("auto", "mock1:1");
}

Test(rdma_device, open__limits)
{
    mock_add("mock0");
    mock_fail_verb(MOCK_OPEN_DEVICE, 0, 1, EMFILE);
    refuses("auto", CENOTE_NO_MEMORY, "(ulimit -n) is ");
    mock_fail_verb(MOCK_OPEN_DEVICE, 0, 1, ENOMEM);
    refuses("mock0", CENOTE_NO_MEMORY, "locked memory (ulimit -l, ");
    mock_fail_verb(MOCK_OPEN_DEVICE, 0, 1, EACCES);
    refuses("auto", CENOTE_NOT_SUPPORTED, "no right to its device file");
    mock_fail_verb(MOCK_OPEN_DEVICE, 0, 1, ENOENT);
    refuses("mock0", CENOTE_INVALID, "a container must be given it");
    mock_fail_verb(MOCK_ALLOC_PD, 0, 1, ENOMEM);
    refuses("auto", CENOTE_NO_MEMORY, "a protection domain");
}

Test(rdma_device, open__one_of_two_fails)
{
    mock_add("mock0");
    mock_add("mock1");
    mock_fail_verb(MOCK_OPEN_DEVICE, 0, 1, EMFILE);
    opens("auto", "mock1:1");
    mock_fail_verb(MOCK_QUERY_DEVICE, 1, 1, EIO);
    opens("auto", "mock0:1");
    mock_fail_verb(MOCK_QUERY_PORT, 0, 1, EIO);
    opens("auto", "mock1:1");
    mock_fail_verb(MOCK_ALLOC_PD, 1, 1, EIO);
    refuses("auto", CENOTE_IO, "mock1: a protection domain");
}

static bool readable(const struct rdma_device *device)
{
    struct pollfd p = {.fd = rdma_device_event_fd(device), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

Test(rdma_device, events__port_down_and_up)
{
    struct mock_device *m = mock_add("mock0");
    opens("auto", "mock0:1");
    rdma_devices_take_events(d);
    mock_set_port_state(m, 1, IBV_PORT_DOWN);
    cr_assert(readable(&d->at[0]));
    rdma_devices_take_events(d);
    cr_assert(!readable(&d->at[0]));
    cr_assert(!rdma_port_is_up(&d->rails[0]));
    says("mock0:1 down");
    mock_set_port_state(m, 1, IBV_PORT_ACTIVE);
    rdma_devices_take_events(d);
    cr_assert(rdma_port_is_up(&d->rails[0]));
    says("mock0:1 up");
}

Test(rdma_device, events__of_a_port_that_is_no_rail)
{
    struct mock_device *m = mock_add("mock0");
    m->attr.phys_port_cnt = 2;
    m->ports[1] = m->ports[0];
    opens("mock0:1", "mock0:1");
    mock_set_port_state(m, 2, IBV_PORT_DOWN);
    rdma_devices_take_events(d);
    cr_assert(rdma_port_is_up(&d->rails[0]));
}

Test(rdma_device, events__gid_goes_and_comes)
{
    struct mock_device *m = mock_add("mock0");
    opens("ipv=4", "mock0:1");
    mock_set_gid(&m->ports[0], 5, IBV_GID_TYPE_ROCE_V2, "10.0.0.77");
    mock_raise(m, IBV_EVENT_GID_CHANGE, 1);
    rdma_devices_take_events(d);
    cr_assert_eq(d->rails[0].gid_index, 3, "what is in use stays");
    mock_set_gid(&m->ports[0], 3, 0, NULL);
    mock_raise(m, IBV_EVENT_GID_CHANGE, 1);
    rdma_devices_take_events(d);
    cr_assert_eq(d->rails[0].gid_index, 5);
    cr_assert(rdma_port_is_up(&d->rails[0]));
    says("another address: mock0:1 up, RoCE v2 GID 5 10.0.0.77");
    mock_set_gid(&m->ports[0], 5, 0, NULL);
    mock_raise(m, IBV_EVENT_GID_CHANGE, 1);
    rdma_devices_take_events(d);
    cr_assert(!rdma_port_is_up(&d->rails[0]));
    says("(ipv=4)");
    mock_set_gid(&m->ports[0], 7, IBV_GID_TYPE_ROCE_V2, "10.0.0.1");
    mock_raise(m, IBV_EVENT_GID_CHANGE, 1);
    rdma_devices_take_events(d);
    cr_assert(rdma_port_is_up(&d->rails[0]));
    cr_assert_eq(d->rails[0].gid_index, 7);
}

/* What stands in for the first address does so until that is there again. */
Test(rdma_device, events__first_gid_comes_again)
{
    struct mock_device *m = mock_add("mock0");
    opens("auto", "mock0:1");
    cr_assert_eq(d->rails[0].gid_index, 3);
    mock_set_gid(&m->ports[0], 3, 0, NULL);
    mock_raise(m, IBV_EVENT_GID_CHANGE, 1);
    rdma_devices_take_events(d);
    cr_assert_eq(gid_kind_of(&d->rails[0].gid), GID_LINK_LOCAL);
    mock_set_gid(&m->ports[0], 5, IBV_GID_TYPE_ROCE_V2, "10.0.0.77");
    mock_raise(m, IBV_EVENT_GID_CHANGE, 1);
    rdma_devices_take_events(d);
    cr_assert_eq(gid_kind_of(&d->rails[0].gid), GID_LINK_LOCAL, "what is in use stays");
    mock_set_gid(&m->ports[0], 5, IBV_GID_TYPE_ROCE_V2, "10.0.0.1");
    mock_raise(m, IBV_EVENT_GID_CHANGE, 1);
    rdma_devices_take_events(d);
    cr_assert_eq(d->rails[0].gid_index, 5);
    cr_assert(rdma_port_is_up(&d->rails[0]));
}

Test(rdma_device, events__lid)
{
    struct mock_device *m = mock_add("mock0");
    struct rdma_remote_port address;
    mock_make_infiniband(&m->ports[0], 17);
    opens("auto", "mock0:1");
    m->ports[0].attr.lid = 18;
    mock_raise(m, IBV_EVENT_LID_CHANGE, 1);
    rdma_devices_take_events(d);
    rdma_port_address(&d->rails[0], &address, NULL);
    cr_assert_eq(address.lid, 18);
}

Test(rdma_device, events__device_fatal)
{
    struct mock_device *m = mock_add("mock0");
    m->attr.phys_port_cnt = 2;
    m->ports[1] = m->ports[0];
    mock_add("mock1");
    opens("auto", "mock0:1 mock0:2 mock1:1");
    mock_raise(m, IBV_EVENT_DEVICE_FATAL, 0);
    rdma_devices_take_events(d);
    rdma_devices_take_events(d);
    cr_assert(atomic_load(&d->at[0].lost));
    cr_assert(!rdma_port_is_up(&d->rails[1]));
    cr_assert(rdma_port_is_up(&d->rails[2]));
    says("mock0 is lost");
    struct xcopy_report report;
    memset(&report, 0, sizeof(report));
    rdma_devices_report(d, &report);
    cr_assert_eq(report.rail_count, 3);
    cr_assert_eq(report.rails_lost, 2);
    cr_assert(strstr(report.rails[0], "mock0:1 lost") != NULL);
    cr_assert(strstr(report.rails[2], "mock1:1 up") != NULL);
}

Test(rdma_device, events__removed)
{
    struct mock_device *m = mock_add("mock0");
    opens("auto", "mock0:1");
    mock_remove(m, true);
    rdma_devices_take_events(d);
    rdma_devices_take_events(d);
    cr_assert(atomic_load(&d->at[0].lost));
    cr_assert_eq(atomic_load(&d->rails_lost), 1);
}

Test(rdma_device, abandon__in_a_child)
{
    mock_add("mock0");
    opens("auto", "mock0:1");
    int events = rdma_device_event_fd(&d->at[0]), commands = d->at[0].context->cmd_fd;
    pid_t child = fork();
    if (child == 0) {
        rdma_devices_abandon(d);
        _exit(fcntl(events, F_GETFD) == -1 && fcntl(commands, F_GETFD) == -1 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    cr_assert_neq(fcntl(events, F_GETFD), -1);
}
