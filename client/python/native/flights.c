/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/flights.h"

#include <cenote/async.h>

#include "client/python/native/batch.h"

#define DRAIN_MAX 256 /* completions that one call fetches */

/* One submission: the list of them, guarded by the interpreter's lock, is what keeps its memory. */
struct flight {
    struct flight *next, **link; /* link: what points here */
    struct batch batch;
    PyObject *token;
};

/* ---- the list -------------------------------------------------------------------------------- */

static void flight_begin(struct handle *h, struct flight *f)
{
    f->next = h->flights;
    f->link = &h->flights;
    if (f->next != NULL)
        f->next->link = &f->next;
    h->flights = f;
}

static void flight_end(struct flight *f)
{
    *f->link = f->next;
    if (f->next != NULL)
        f->next->link = f->link;
    batch_free(&f->batch);
    Py_XDECREF(f->token);
    PyMem_Free(f);
}

void flights_forget(struct handle *h)
{
    while (h->flights != NULL)
        flight_end(h->flights);
}

/* ---- submitting ------------------------------------------------------------------------------ */

struct order {
    enum pieces_use use;
    PyObject *keys, *values, *token;
    uint32_t flags, deadline_ms;
    struct policy policy; /* of puts */
};

static struct flight *flight_new(struct handle *h, const struct order *order)
{
    struct flight *f = PyMem_Calloc(1, sizeof *f);

    if (f == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (batch_make(&f->batch, h, order->use, order->keys, order->values) != 0) {
        PyMem_Free(f);
        return NULL;
    }
    f->token = Py_NewRef(order->token);
    flight_begin(h, f);
    return f;
}

/* When it has succeeded the flight may have landed, and be gone. */
static int submit(struct cenote *client, struct flight *f, const struct order *order, uint64_t *id)
{
    const struct cenote_submit how = {.deadline_ms = order->deadline_ms,
                                      .user_data = (uintptr_t)f,
                                      .policy = policy_or_null(&order->policy)};
    size_t count = f->batch.keys.count;

    if (order->use == PIECES_WRITE)
        return cenote_submit_get(client, f->batch.gets, count, &how, id);
    return cenote_submit_put(client, f->batch.puts, count, order->flags, &how, id);
}

static PyObject *submit_order(struct handle *h, const struct order *order)
{
    uint64_t id = 0;
    int status = CENOTE_OK;

    struct flight *f = flight_new(h, order);
    if (f == NULL)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL) {
        flight_end(f);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    status = submit(client, f, order, &id);
    Py_END_ALLOW_THREADS;
    if (status != CENOTE_OK)
        flight_end(f);
    handle_leave(h);
    if (status != CENOTE_OK)
        return native_raise(status, "submitting a batch");
    return PyLong_FromUnsignedLongLong(id);
}

PyObject *flights_submit_get(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct order order = {.use = PIECES_WRITE};

    if (native_arity("submit_get", count, 4) != 0 || native_u32(args[2], &order.deadline_ms) != 0)
        return NULL;
    order.keys = args[0];
    order.values = args[1];
    order.token = args[3];
    return submit_order((struct handle *)self, &order);
}

PyObject *flights_submit_put(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct order order = {.use = PIECES_READ};

    if (native_arity_or_less("submit_put", count, 6) != 0 ||
        native_u32(args[2], &order.flags) != 0 || native_u32(args[3], &order.deadline_ms) != 0 ||
        policy_parse_last(args, count, 6, &order.policy) != 0)
        return NULL;
    order.keys = args[0];
    order.values = args[1];
    order.token = args[4];
    return submit_order((struct handle *)self, &order);
}

/* ---- completions ----------------------------------------------------------------------------- */

PyObject *flights_cancel(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    uint64_t id = 0;
    struct cenote *client = handle_enter_id(h, "cancel", args, count, &id);
    if (client == NULL)
        return NULL;
    int status = cenote_cancel(client, id);
    handle_leave(h);
    return PyBool_FromLong(status == CENOTE_OK);
}

PyObject *flights_descriptor(PyObject *self, PyObject *unused)
{
    struct handle *h = (struct handle *)self;
    struct cenote *client = handle_enter(h);

    (void)unused;
    if (client == NULL)
        return NULL;
    int fd = cenote_completion_fd(client);
    handle_leave(h);
    return fd >= 0 ? PyLong_FromLong(fd) : native_raise(fd, "the descriptor of completions");
}

/* Adds what became of one flight, and ends it either way. 0, or -1 with an exception. */
static int land(PyObject *list, const struct cenote_completion *done)
{
    struct flight *f = (struct flight *)(uintptr_t)done->user_data;
    PyObject *results = batch_results(&f->batch);
    PyObject *lengths = f->batch.gets != NULL ? batch_lengths(&f->batch) : Py_NewRef(Py_None);
    PyObject *one = NULL;
    int result = -1;

    if (results != NULL && lengths != NULL)
        one = Py_BuildValue("KOiOO", (unsigned long long)done->id, f->token, done->status, results,
                            lengths);
    if (one != NULL && list != NULL)
        result = PyList_Append(list, one);
    Py_XDECREF(one);
    Py_XDECREF(lengths);
    Py_XDECREF(results);
    flight_end(f);
    return result;
}

PyObject *flights_drain(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_completion done[DRAIN_MAX];
    uint32_t most = 0, wait_ms = 0;
    int fetched = 0;

    if (native_arity("drain", count, 2) != 0 || native_u32(args[0], &most) != 0 ||
        native_u32(args[1], &wait_ms) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    fetched = cenote_completions(client, done, most < DRAIN_MAX ? most : DRAIN_MAX, wait_ms);
    Py_END_ALLOW_THREADS;
    PyObject *list = fetched >= 0 ? PyList_New(0) : native_raise(fetched, "fetching completions");
    for (int i = 0; i < fetched; i++)
        if (land(list, &done[i]) != 0)
            Py_CLEAR(list); /* out of memory; the others end all the same */
    handle_leave(h);
    return list;
}
