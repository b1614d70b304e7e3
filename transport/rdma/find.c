/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/find.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "transport/base/log.h"

#define REASON_MAX 256u

/* What was asked for and isn't there is an error; what auto passes over, a remark. */
static enum log_level level_of(const struct find *f)
{
    return f->settings->named_count > 0 ? LOG_ERROR : LOG_INFO;
}

static int numa_node_of(const struct ibv_device *device)
{
    char path[IBV_SYSFS_PATH_MAX + 32];
    int node = -1;
    snprintf(path, sizeof(path), "%s/device/numa_node", device->ibdev_path);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    if (fscanf(file, "%d", &node) != 1)
        node = -1;
    fclose(file);
    return node;
}

static bool is_limit(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN;
}

static void limit_text(int resource, rlim_t unit, char *out, size_t size)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0)
        snprintf(out, size, "?");
    else if (limit.rlim_cur == RLIM_INFINITY)
        snprintf(out, size, "unlimited");
    else
        snprintf(out, size, "%llu", (unsigned long long)(limit.rlim_cur / unit));
}

static void open_reason(int error, char *out, size_t size)
{
    char limit[32];
    switch (error) {
    case EMFILE:
        limit_text(RLIMIT_NOFILE, 1, limit, sizeof(limit));
        snprintf(out, size, "no file descriptor is left; the limit (ulimit -n) is %s", limit);
        return;
    case ENFILE:
        snprintf(out, size, "the machine has no file descriptor left");
        return;
    case ENOMEM:
    case EAGAIN:
        limit_text(RLIMIT_MEMLOCK, 1024, limit, sizeof(limit));
        snprintf(out, size,
                 "out of memory, or the limit of locked memory (ulimit -l, %s KiB) is too low",
                 limit);
        return;
    case ENOENT:
    case ENODEV:
    case ENXIO:
        snprintf(out, size,
                 "its device file in /dev/infiniband isn't here; a container must be "
                 "given it");
        return;
    case EACCES:
    case EPERM:
        snprintf(out, size, "no right to its device file in /dev/infiniband");
        return;
    default:
        snprintf(out, size, "%s", error != 0 ? strerror(error) : "its driver refuses");
    }
}

/* Opens it and reads its attributes; NULL: logged. */
static struct find_device *open_device(struct find *f, struct ibv_device *device, const char *name)
{
    char why[REASON_MAX];
    if (f->device_count == FIND_DEVICES_MAX) {
        log_warn("rdma", "%s isn't looked at: more than %u devices", name, FIND_DEVICES_MAX);
        return NULL;
    }
    struct find_device *found = &f->devices[f->device_count];
    memset(found, 0, sizeof(*found));
    errno = 0;
    found->context = f->verbs->open_device(device);
    if (found->context == NULL) {
        f->limited = f->limited || is_limit(errno);
        open_reason(errno, why, sizeof(why));
        LOG_AT(f->settings->named_count > 0 ? LOG_ERROR : LOG_WARN, "rdma", "opening %s: %s", name,
               why);
        return NULL;
    }
    if (f->verbs->query_device(found->context, &found->attr) != 0) {
        log_warn("rdma", "%s: its attributes can't be read", name);
        f->verbs->close_device(found->context);
        return NULL;
    }
    snprintf(found->name, sizeof(found->name), "%s", name);
    found->numa_node = numa_node_of(device);
    f->device_count++;
    return found;
}

static int process_numa_node(void)
{
    unsigned node = 0;
    return getcpu(NULL, &node) == 0 ? (int)node : -1;
}

/* Adds the port if it is usable. */
static bool add_port(struct find *f, unsigned device, uint8_t number, int gid, unsigned order)
{
    struct find_device *from = &f->devices[device];
    if (f->port_count == FIND_PORTS_MAX)
        return false;
    struct find_port *p = &f->ports[f->port_count];
    memset(p, 0, sizeof(*p));
    p->port.number = number;
    p->port.gid_wanted = gid;
    const char *why = port_look(f->verbs, from->context, f->settings, &f->own, &p->port);
    if (why != NULL) {
        LOG_AT(level_of(f), "rdma", "%s:%u can't be used: %s", from->name, number, why);
        return false;
    }
    p->device = device;
    p->order = order;
    p->near = from->numa_node >= 0 && from->numa_node == process_numa_node();
    f->port_count++;
    return true;
}

static unsigned add_all_ports(struct find *f, unsigned device, int gid, unsigned order)
{
    unsigned added = 0;
    for (unsigned number = 1; number <= f->devices[device].attr.phys_port_cnt; number++)
        added += add_port(f, device, (uint8_t)number, gid, order);
    return added;
}

/* One that somebody named: everything about it must be right. */
static int add_named(struct find *f, struct ibv_device **list, unsigned order)
{
    const struct rdma_named *named = &f->settings->named[order];
    int gid = named->gid >= 0 ? named->gid : f->settings->gid;
    unsigned device = 0;
    while (device < f->device_count && strcmp(f->devices[device].name, named->device) != 0)
        device++;
    if (device == f->device_count) {
        while (*list != NULL && strcmp(f->verbs->get_device_name(*list), named->device) != 0)
            list++;
        if (*list == NULL) {
            log_error("rdma", "%s: there is no such device", named->device);
            return CENOTE_INVALID;
        }
        if ((*list)->transport_type != IBV_TRANSPORT_IB) {
            log_error("rdma", "%s: neither InfiniBand nor RoCE", named->device);
            return CENOTE_INVALID;
        }
        if (open_device(f, *list, named->device) == NULL)
            return f->limited ? CENOTE_NO_MEMORY : CENOTE_INVALID;
    }
    if (named->port > f->devices[device].attr.phys_port_cnt) {
        log_error("rdma", "%s has %u ports, and no port %u", named->device,
                  f->devices[device].attr.phys_port_cnt, named->port);
        return CENOTE_INVALID;
    }
    bool any = named->port > 0 ? add_port(f, device, named->port, gid, order)
                               : add_all_ports(f, device, gid, order) > 0;
    return any ? CENOTE_OK : CENOTE_INVALID;
}

static int find_named(struct find *f, struct ibv_device **list)
{
    for (unsigned i = 0; i < f->settings->named_count; i++) {
        int status = add_named(f, list, i);
        if (status != CENOTE_OK)
            return status;
    }
    return CENOTE_OK;
}

static int find_all(struct find *f, struct ibv_device **list)
{
    unsigned seen = 0;
    for (; *list != NULL; list++, seen++) {
        const char *name = f->verbs->get_device_name(*list);
        if ((*list)->transport_type != IBV_TRANSPORT_IB) {
            log_info("rdma", "%s isn't used: neither InfiniBand nor RoCE", name);
            continue;
        }
        unsigned at = f->device_count;
        if (open_device(f, *list, name) != NULL)
            add_all_ports(f, at, f->settings->gid, 0);
    }
    if (f->port_count > 0)
        return CENOTE_OK;
    if (f->limited)
        return CENOTE_NO_MEMORY;
    log_info("rdma",
             seen > 0 ? "no RDMA: none of the devices can be used" : "no RDMA: there is no device");
    return CENOTE_NOT_SUPPORTED;
}

struct order {
    const struct find *f;
};

static int compare(const void *a, const void *b, void *arg)
{
    const struct find *f = ((const struct order *)arg)->f;
    const struct find_port *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    if (x->port.rate_mbps != y->port.rate_mbps)
        return x->port.rate_mbps > y->port.rate_mbps ? -1 : 1;
    if (x->near != y->near)
        return x->near ? -1 : 1;
    int by_name = strverscmp(f->devices[x->device].name, f->devices[y->device].name);
    return by_name != 0 ? by_name : (int)x->port.number - (int)y->port.number;
}

/* Best first; and of those that nobody named, without the slow ones. */
static void sort(struct find *f)
{
    struct order order = {.f = f};
    qsort_r(f->ports, f->port_count, sizeof(f->ports[0]), compare, &order);
    while (f->settings->named_count == 0 &&
           f->ports[f->port_count - 1].port.rate_mbps * 2 < f->ports[0].port.rate_mbps) {
        const struct find_port *slow = &f->ports[--f->port_count];
        log_info("rdma", "%s:%u isn't used: less than half as fast as others",
                 f->devices[slow->device].name, slow->port.number);
    }
}

int find_ports(struct find *f)
{
    int status;
    bool named = f->settings->named_count > 0;
    errno = 0;
    struct ibv_device **list = f->verbs->get_device_list(NULL);
    if (list == NULL) {
        bool memory = errno == ENOMEM;
        LOG_AT(named || memory ? LOG_ERROR : LOG_INFO, "rdma", "no RDMA: looking for devices: %s",
               errno == ENOSYS ? "the kernel has no RDMA (ib_uverbs isn't loaded)"
                               : strerror(errno));
        return memory ? CENOTE_NO_MEMORY : named ? CENOTE_INVALID : CENOTE_NOT_SUPPORTED;
    }
    gid_own_addresses(&f->own);
    status = named ? find_named(f, list) : find_all(f, list);
    f->verbs->free_device_list(list);
    if (status == CENOTE_OK)
        sort(f);
    else
        find_close(f);
    return status;
}

void find_close(struct find *f)
{
    for (unsigned i = 0; i < f->device_count; i++) {
        if (f->devices[i].context != NULL && f->verbs->close_device(f->devices[i].context) != 0)
            log_warn("rdma", "%s can't be closed", f->devices[i].name);
        f->devices[i].context = NULL;
    }
}
