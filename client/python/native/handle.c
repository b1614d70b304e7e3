/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/handle.h"

#include "client/python/native/flights.h"
#include "client/python/native/names.h"
#include "client/python/native/policy.h"
#include "client/python/native/ranges.h"
#include "client/python/native/regions.h"
#include "client/python/native/spaces.h"
#include "client/python/native/values.h"
#include "client/python/native/view.h"
#include "client/python/native/writer.h"

#define GUESS_BYTES 4096

static PyTypeObject *handle_type;

bool handle_is_forked(const struct handle *h)
{
    return h->forks != native_forks();
}

struct cenote *handle_enter(struct handle *h)
{
    if (handle_is_forked(h)) {
        native_raise(CENOTE_FORKED, "the client was opened before fork(); open one in the child");
        return NULL;
    }
    pthread_mutex_lock(&h->lock);
    bool open = !h->closing;
    h->calls += open;
    pthread_mutex_unlock(&h->lock);
    if (!open) {
        native_raise(CENOTE_CLOSED, "the client was closed");
        return NULL;
    }
    return h->client;
}

struct cenote *handle_enter_id(struct handle *h, const char *name, PyObject *const *args,
                               Py_ssize_t count, uint64_t *id)
{
    if (native_arity(name, count, 1) != 0)
        return NULL;
    *id = PyLong_AsUnsignedLongLong(args[0]);
    return PyErr_Occurred() == NULL ? handle_enter(h) : NULL;
}

/* Takes the client out when nobody uses it any more. Under the lock. */
static struct cenote *handle_take(struct handle *h)
{
    struct cenote *client = h->closing && h->calls == 0 && h->holds == 0 ? h->client : NULL;

    if (client != NULL)
        h->client = NULL;
    return client;
}

/* Ends the client, and then what only its end makes free. */
static void handle_end(struct handle *h, struct cenote *client)
{
    if (client == NULL)
        return;
    Py_BEGIN_ALLOW_THREADS;
    cenote_close(&client);
    Py_END_ALLOW_THREADS;
    flights_forget(h);
    regions_forget(h);
}

void handle_leave(struct handle *h)
{
    pthread_mutex_lock(&h->lock);
    h->calls--;
    if (h->calls == 0 && h->closing)
        pthread_cond_broadcast(&h->idle);
    pthread_mutex_unlock(&h->lock);
}

void handle_hold(struct handle *h)
{
    pthread_mutex_lock(&h->lock);
    h->holds++;
    pthread_mutex_unlock(&h->lock);
    Py_INCREF((PyObject *)h);
}

void handle_drop(struct handle *h)
{
    if (!handle_is_forked(h)) {
        pthread_mutex_lock(&h->lock);
        h->holds--;
        struct cenote *client = handle_take(h);
        pthread_mutex_unlock(&h->lock);
        handle_end(h, client);
    }
    Py_DECREF((PyObject *)h);
}

static PyObject *handle_close(PyObject *self, PyObject *unused)
{
    struct handle *h = (struct handle *)self;
    struct cenote *client = NULL;

    (void)unused;
    if (handle_is_forked(h))
        Py_RETURN_NONE; /* the parent's; what is the child's of it ends with the object */
    Py_BEGIN_ALLOW_THREADS;
    pthread_mutex_lock(&h->lock);
    h->closing = true;
    while (h->calls > 0)
        pthread_cond_wait(&h->idle, &h->lock);
    client = handle_take(h);
    pthread_mutex_unlock(&h->lock);
    Py_END_ALLOW_THREADS;
    handle_end(h, client);
    Py_RETURN_NONE;
}

static PyObject *handle_closed(PyObject *self, PyObject *unused)
{
    struct handle *h = (struct handle *)self;

    (void)unused;
    return PyBool_FromLong(handle_is_forked(h) || h->closing);
}

/* Nobody refers to it: no call is under way, and nothing holds it. */
static void handle_dealloc(PyObject *self)
{
    struct handle *h = (struct handle *)self;
    struct cenote *client = h->client;
    bool forked = handle_is_forked(h);

    /* In a child a call of another thread may be half-way for ever: then it is left alone. */
    if (!forked || (h->calls == 0 && h->holds == 0)) {
        h->client = NULL;
        handle_end(h, client);
    }
    if (!forked) {
        pthread_cond_destroy(&h->idle);
        pthread_mutex_destroy(&h->lock);
    }
    native_free(self);
}

static int text_or_none(PyObject *value, const char **out)
{
    *out = NULL;
    return value == Py_None ? 0 : native_text(value, out);
}

/* (meta, namespace, transport, verify, timeout_ms, replicas, cache_bytes, rdma) */
static int options_parse(PyObject *const *args, struct cenote_options *out)
{
    uint32_t transport = 0, verify = 0;
    struct cenote_options o = {0};

    if (text_or_none(args[0], &o.meta) != 0 || text_or_none(args[1], &o.name_space) != 0 ||
        native_u32(args[2], &transport) != 0 || native_u32(args[3], &verify) != 0 ||
        native_u32(args[4], &o.timeout_ms) != 0 || native_u32(args[5], &o.replicas) != 0 ||
        text_or_none(args[7], &o.rdma) != 0)
        return -1;
    o.cache_bytes = PyLong_AsUnsignedLongLong(args[6]);
    if (PyErr_Occurred())
        return -1;
    o.transport = (enum cenote_transport)transport;
    o.verify = (enum cenote_verify)verify;
    *out = o;
    return 0;
}

static PyObject *handle_open(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    struct cenote_options options;
    struct cenote *client = NULL;
    int status = CENOTE_OK;

    (void)module;
    if (native_arity("open", count, 8) != 0 || options_parse(args, &options) != 0)
        return NULL;
    struct handle *h = (struct handle *)PyType_GenericAlloc(handle_type, 0);
    if (h == NULL)
        return NULL;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->idle, NULL);
    h->forks = native_forks();
    h->guess_bytes = GUESS_BYTES;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_open(&options, &client);
    Py_END_ALLOW_THREADS;
    h->client = client;
    if (status != CENOTE_OK) {
        Py_DECREF((PyObject *)h);
        return native_raise(status, options.meta != NULL ? options.meta : "the pool");
    }
    return (PyObject *)h;
}

static PyMethodDef methods[] = {
    {"close", NATIVE_NONE(handle_close), NULL},
    {"closed", NATIVE_NONE(handle_closed), NULL},
    {"put", NATIVE_FAST(values_put), NULL},
    {"get", NATIVE_FAST(values_get), NULL},
    {"get_into", NATIVE_FAST(values_get_into), NULL},
    {"put_batch", NATIVE_FAST(values_put_batch), NULL},
    {"get_batch", NATIVE_FAST(values_get_batch), NULL},
    {"get_ranges", NATIVE_FAST(ranges_get), NULL},
    {"exists", NATIVE_FAST(names_exists), NULL},
    {"prefix", NATIVE_FAST(names_prefix), NULL},
    {"remove", NATIVE_FAST(names_remove), NULL},
    {"stat", NATIVE_FAST(names_stat), NULL},
    {"places", NATIVE_FAST(names_places), NULL},
    {"list", NATIVE_FAST(names_list), NULL},
    {"remove_prefix", NATIVE_FAST(spaces_remove_prefix), NULL},
    {"set_policy", NATIVE_FAST(policy_set), NULL},
    {"get_policy", NATIVE_FAST(policy_get), NULL},
    {"namespaces", NATIVE_NONE(spaces_list), NULL},
    {"namespace_set", NATIVE_FAST(spaces_set), NULL},
    {"namespace_clear", NATIVE_FAST(spaces_clear), NULL},
    {"namespace_remove", NATIVE_FAST(spaces_remove), NULL},
    {"status", NATIVE_NONE(names_status), NULL},
    {"register", NATIVE_FAST(regions_register), NULL},
    {"unregister", NATIVE_FAST(regions_unregister), NULL},
    {"view", NATIVE_FAST(view_open), NULL},
    {"writer", NATIVE_FAST(writer_open), NULL},
    {"submit_get", NATIVE_FAST(flights_submit_get), NULL},
    {"submit_put", NATIVE_FAST(flights_submit_put), NULL},
    {"cancel", NATIVE_FAST(flights_cancel), NULL},
    {"completion_fd", NATIVE_NONE(flights_descriptor), NULL},
    {"drain", NATIVE_FAST(flights_drain), NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "_cenote.Handle",
    .basicsize = sizeof(struct handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

static PyMethodDef opening[] = {
    {"open", NATIVE_FAST(handle_open), NULL},
    {NULL, NULL, 0, NULL},
};

int handle_init(PyObject *module)
{
    handle_type = native_type(&spec);
    return handle_type != NULL ? PyModule_AddFunctions(module, opening) : -1;
}
