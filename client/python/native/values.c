/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/values.h"

#include "client/python/native/batch.h"
#include "client/python/native/policy.h"

#define GUESS_MAX_BYTES 1048576 /* what is taken without knowing */
#define GET_TRIES       8       /* of a value that others replace by longer ones */

/* ---- one value ------------------------------------------------------------------------------- */

/* Runs a batch of one. The status, or a positive number with an exception. */
static int run_put(struct handle *h, struct cenote_put_item *item, unsigned flags,
                   const struct policy *policy)
{
    struct cenote *client = handle_enter(h);

    if (client == NULL)
        return 1;
    Py_BEGIN_ALLOW_THREADS;
    cenote_put_with(client, item, 1, flags, policy_or_null(policy));
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    return item->status;
}

PyObject *values_put(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct pieces pieces = {.handle = h, .use = PIECES_READ};
    struct cenote_put_item item = {0};
    struct policy policy;
    uint32_t flags = 0;

    if (native_arity_or_less("put", count, 4) != 0 || key_parse(args[0], &item.key) != 0 ||
        native_u32(args[2], &flags) != 0 || policy_parse_last(args, count, 4, &policy) != 0)
        return NULL;
    int status = pieces_add(&pieces, args[1]) == 0 ? CENOTE_OK : 1;
    if (status == CENOTE_OK) {
        item.buffers = pieces.buffers;
        item.buffer_count = pieces.count;
        status = run_put(h, &item, flags, &policy);
    }
    pieces_free(&pieces);
    if (status > 0)
        return NULL;
    if (status != CENOTE_OK && status != CENOTE_EXISTS)
        return native_raise_key(status, args[0]);
    return PyBool_FromLong(status == CENOTE_OK);
}

/* As run_put(). */
static int run_get(struct handle *h, struct cenote_get_item *item)
{
    struct cenote *client = handle_enter(h);

    if (client == NULL)
        return 1;
    Py_BEGIN_ALLOW_THREADS;
    cenote_get_batch(client, item, 1);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    return item->status;
}

PyObject *values_get_into(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct pieces pieces = {.handle = h, .use = PIECES_WRITE};
    struct cenote_get_item item = {0};

    if (native_arity("get_into", count, 2) != 0 || key_parse(args[0], &item.key) != 0)
        return NULL;
    int status = pieces_add(&pieces, args[1]) == 0 ? CENOTE_OK : 1;
    if (status == CENOTE_OK) {
        item.buffers = pieces.buffers;
        item.buffer_count = pieces.count;
        status = run_get(h, &item);
    }
    pieces_free(&pieces);
    if (status > 0)
        return NULL;
    if (status != CENOTE_OK)
        return native_raise_key(status, args[0]);
    return PyLong_FromUnsignedLongLong(item.len_bytes);
}

/* Nobody else knows the bytes yet: they may be filled. */
static PyObject *get_bytes(struct handle *h, struct cenote_get_item *item, size_t room, int *status)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);

    *status = 1;
    if (bytes == NULL)
        return NULL;
    const struct cenote_buffer buffer = {PyBytes_AsString(bytes), room};
    item->buffers = &buffer;
    item->buffer_count = 1;
    *status = run_get(h, item);
    item->buffers = NULL;
    PyObject *shorter = NULL;
    if (*status == CENOTE_OK && item->len_bytes < room)
        shorter = PyBytes_FromStringAndSize(buffer.addr, (Py_ssize_t)item->len_bytes);
    else if (*status == CENOTE_OK)
        return bytes;
    Py_DECREF(bytes);
    return shorter;
}

PyObject *values_get(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_get_item item = {0};
    PyObject *bytes = NULL;
    int status = CENOTE_BUFFER_SIZE;

    if (native_arity("get", count, 1) != 0 || key_parse(args[0], &item.key) != 0)
        return NULL;
    size_t room = h->guess_bytes;
    for (int i = 0; i < GET_TRIES && status == CENOTE_BUFFER_SIZE; i++) {
        bytes = get_bytes(h, &item, room, &status);
        room = item.len_bytes;
        if (status == CENOTE_BUFFER_SIZE && room > PY_SSIZE_T_MAX)
            return PyErr_NoMemory();
    }
    if (status < 0)
        return native_raise_key(status, args[0]);
    if (status == CENOTE_OK && room <= GUESS_MAX_BYTES)
        h->guess_bytes = room;
    return bytes;
}

/* ---- many ------------------------------------------------------------------------------------ */

static PyObject *run_batch(struct handle *h, enum pieces_use use, PyObject *keys, PyObject *values,
                           unsigned flags, const struct policy *policy)
{
    struct batch batch;
    PyObject *results = NULL;

    if (batch_make(&batch, h, use, keys, values) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client != NULL) {
        Py_BEGIN_ALLOW_THREADS;
        batch_run(&batch, client, flags, policy);
        Py_END_ALLOW_THREADS;
        handle_leave(h);
        results = batch_results(&batch);
    }
    batch_free(&batch);
    return results;
}

PyObject *values_put_batch(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct policy policy;
    uint32_t flags = 0;

    if (native_arity_or_less("put_batch", count, 4) != 0 || native_u32(args[2], &flags) != 0 ||
        policy_parse_last(args, count, 4, &policy) != 0)
        return NULL;
    return run_batch((struct handle *)self, PIECES_READ, args[0], args[1], flags, &policy);
}

PyObject *values_get_batch(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (native_arity("get_batch", count, 2) != 0)
        return NULL;
    return run_batch((struct handle *)self, PIECES_WRITE, args[0], args[1], 0, NULL);
}
