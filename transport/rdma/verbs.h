/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libibverbs, found at run time: a machine without it runs everything else. Posting, polling and
 * asking for notification aren't here: they are inline in its header and go through the context's
 * own table, which a mock fills as a driver does.
 */
#ifndef CENOTE_TRANSPORT_RDMA_VERBS_H
#define CENOTE_TRANSPORT_RDMA_VERBS_H

#include <infiniband/verbs.h>

struct rdma_verbs {
    struct ibv_device **(*get_device_list)(int *count);
    void (*free_device_list)(struct ibv_device **list);
    const char *(*get_device_name)(struct ibv_device *device);
    struct ibv_context *(*open_device)(struct ibv_device *device);
    int (*close_device)(struct ibv_context *context);
    int (*query_device)(struct ibv_context *context, struct ibv_device_attr *out);
    /* As the library's function of old: it fills the attributes up to link_layer. */
    int (*query_port)(struct ibv_context *context, uint8_t port, struct ibv_port_attr *out);
    /* As ibv_query_gid_ex(). */
    int (*query_gid)(struct ibv_context *context, uint32_t port, uint32_t index,
                     struct ibv_gid_entry *out);
    int (*get_async_event)(struct ibv_context *context, struct ibv_async_event *out);
    void (*ack_async_event)(struct ibv_async_event *event);
    struct ibv_pd *(*alloc_pd)(struct ibv_context *context);
    int (*dealloc_pd)(struct ibv_pd *pd);
    struct ibv_mr *(*reg_mr)(struct ibv_pd *pd, void *addr, size_t length, int access);
    /* NULL where the library is older than 1.12. */
    struct ibv_mr *(*reg_dmabuf_mr)(struct ibv_pd *pd, uint64_t offset, size_t length,
                                    uint64_t iova, int fd, int access);
    int (*dereg_mr)(struct ibv_mr *mr);
    struct ibv_comp_channel *(*create_comp_channel)(struct ibv_context *context);
    int (*destroy_comp_channel)(struct ibv_comp_channel *channel);
    struct ibv_cq *(*create_cq)(struct ibv_context *context, int entries, void *arg,
                                struct ibv_comp_channel *channel, int vector);
    int (*destroy_cq)(struct ibv_cq *cq);
    int (*get_cq_event)(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **arg);
    void (*ack_cq_events)(struct ibv_cq *cq, unsigned count);
    struct ibv_qp *(*create_qp)(struct ibv_pd *pd, struct ibv_qp_init_attr *attr);
    int (*modify_qp)(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask);
    int (*destroy_qp)(struct ibv_qp *qp);
    const char *(*wc_status_str)(enum ibv_wc_status status);
    const char *(*event_type_str)(enum ibv_event_type type);
};

/* The library's functions; loaded once in a process. NULL: there is none (said once, at level
 * debug). Any thread. */
const struct rdma_verbs *rdma_verbs(void);
/* For tests: these instead, from now on; NULL: the library's again. No device may be open. */
void rdma_verbs_replace(const struct rdma_verbs *verbs);

#endif
