/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/verbs.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "transport/base/log.h"

#define LIBRARY "libibverbs.so.1" /* its ABI has had this name since 2006 */

static pthread_once_t loaded = PTHREAD_ONCE_INIT;
static struct rdma_verbs library;
static bool library_is_there;
static const struct rdma_verbs *_Atomic replacement;

/* In its header the library's functions of these names are macros or inline. */
#undef ibv_query_port
static int (*plain_query_port)(struct ibv_context *context, uint8_t port,
                               struct _compat_ibv_port_attr *out);
static int (*plain_query_gid)(struct ibv_context *context, uint32_t port, uint32_t index,
                              struct ibv_gid_entry *out, uint32_t flags, size_t size);

/* As the header's inline function: what came after link_layer only the driver's own entry knows. */
static int query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *out)
{
    struct verbs_context *extended = verbs_get_ctx_op(context, query_port);
    memset(out, 0, sizeof(*out));
    if (extended != NULL)
        return extended->query_port(context, port, out, sizeof(*out));
    return plain_query_port(context, port, (struct _compat_ibv_port_attr *)out);
}

static int query_gid(struct ibv_context *context, uint32_t port, uint32_t index,
                     struct ibv_gid_entry *out)
{
    return plain_query_gid(context, port, index, out, 0, sizeof(*out));
}

struct function {
    const char *name;
    void *at; /* the pointer to set */
    bool optional;
};

static bool find_functions(void *handle)
{
    struct rdma_verbs *v = &library;
    const struct function functions[] = {
        {"ibv_get_device_list", &v->get_device_list, false},
        {"ibv_free_device_list", &v->free_device_list, false},
        {"ibv_get_device_name", &v->get_device_name, false},
        {"ibv_open_device", &v->open_device, false},
        {"ibv_close_device", &v->close_device, false},
        {"ibv_query_device", &v->query_device, false},
        {"ibv_query_port", &plain_query_port, false},
        {"_ibv_query_gid_ex", &plain_query_gid, false},
        {"ibv_get_async_event", &v->get_async_event, false},
        {"ibv_ack_async_event", &v->ack_async_event, false},
        {"ibv_alloc_pd", &v->alloc_pd, false},
        {"ibv_dealloc_pd", &v->dealloc_pd, false},
        {"ibv_reg_mr", &v->reg_mr, false},
        {"ibv_reg_dmabuf_mr", &v->reg_dmabuf_mr, true},
        {"ibv_dereg_mr", &v->dereg_mr, false},
        {"ibv_create_comp_channel", &v->create_comp_channel, false},
        {"ibv_destroy_comp_channel", &v->destroy_comp_channel, false},
        {"ibv_create_cq", &v->create_cq, false},
        {"ibv_destroy_cq", &v->destroy_cq, false},
        {"ibv_get_cq_event", &v->get_cq_event, false},
        {"ibv_ack_cq_events", &v->ack_cq_events, false},
        {"ibv_create_qp", &v->create_qp, false},
        {"ibv_modify_qp", &v->modify_qp, false},
        {"ibv_destroy_qp", &v->destroy_qp, false},
        {"ibv_wc_status_str", &v->wc_status_str, false},
        {"ibv_event_type_str", &v->event_type_str, false},
    };
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        /* Without a version dlsym() finds the default one, as the linker would. */
        void *found = dlsym(handle, functions[i].name);
        if (found == NULL && !functions[i].optional) {
            log_warn("rdma", "%s has no %s: too old, so no RDMA", LIBRARY, functions[i].name);
            return false;
        }
        memcpy(functions[i].at, &found, sizeof(found));
    }
    v->query_port = query_port;
    v->query_gid = query_gid;
    return true;
}

static void load(void)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        log_debug("rdma", "no RDMA: %s", dlerror());
        return;
    }
    /* Never closed again: drivers start threads and keep handlers for fork(). */
    library_is_there = find_functions(handle);
}

const struct rdma_verbs *rdma_verbs(void)
{
    const struct rdma_verbs *instead = atomic_load(&replacement);
    if (instead != NULL)
        return instead;
    pthread_once(&loaded, load);
    return library_is_there ? &library : NULL;
}

void rdma_verbs_replace(const struct rdma_verbs *verbs)
{
    atomic_store(&replacement, verbs);
}
