/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/ranges.h"

#include <cenote/range.h>

#include "client/python/native/batch.h"

/* The items of a batch of gets, each with an offset; NULL with an exception. */
static struct cenote_range_item *make_items(const struct batch *b, PyObject *offsets)
{
    struct cenote_range_item *items = PyMem_Calloc(b->keys.count + 1, sizeof *items);

    if (items == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < b->keys.count; i++) {
        const struct cenote_get_item *get = &b->gets[i];
        items[i] = (struct cenote_range_item){
            .key = get->key, .buffers = get->buffers, .buffer_count = get->buffer_count};
        items[i].offset = PyLong_AsUnsignedLongLong(PyTuple_GetItem(offsets, (Py_ssize_t)i));
        if (PyErr_Occurred()) {
            PyMem_Free(items);
            return NULL;
        }
    }
    return items;
}

static void run(struct cenote *client, struct cenote_range_item *items, size_t count)
{
    for (size_t at = 0; at < count; at += CENOTE_BATCH_MAX)
        cenote_get_ranges(client, items + at,
                          count - at < CENOTE_BATCH_MAX ? count - at : CENOTE_BATCH_MAX);
}

static PyObject *make_results(const struct cenote_range_item *items, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *one =
            Py_BuildValue("iKK", items[i].status, (unsigned long long)items[i].value_len_bytes,
                          (unsigned long long)items[i].put_id);
        if (one == NULL || PyList_SetItem(list, (Py_ssize_t)i, one) != 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *get(struct handle *h, const struct batch *b, PyObject *offsets)
{
    PyObject *results = NULL;

    if ((size_t)PyTuple_Size(offsets) != b->keys.count)
        return PyErr_Format(PyExc_ValueError, "%zu keys, but %zd offsets", b->keys.count,
                            PyTuple_Size(offsets));
    struct cenote_range_item *items = make_items(b, offsets);
    if (items == NULL)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client != NULL) {
        Py_BEGIN_ALLOW_THREADS;
        run(client, items, b->keys.count);
        Py_END_ALLOW_THREADS;
        handle_leave(h);
        results = make_results(items, b->keys.count);
    }
    PyMem_Free(items);
    return results;
}

PyObject *ranges_get(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct batch batch;
    PyObject *results = NULL;

    if (native_arity("get_ranges", count, 3) != 0)
        return NULL;
    PyObject *offsets = keys_tuple(args[1], "offsets");
    if (offsets == NULL)
        return NULL;
    if (batch_make(&batch, h, PIECES_WRITE, args[0], args[2]) == 0) {
        results = get(h, &batch, offsets);
        batch_free(&batch);
    }
    Py_DECREF(offsets);
    return results;
}
