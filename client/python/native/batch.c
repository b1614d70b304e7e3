/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/batch.h"

/* Parses the memory of value i, and says how many pieces it has. */
static int add_value(struct batch *b, PyObject *value, size_t *pieces)
{
    size_t before = b->pieces.count;

    if (pieces_add(&b->pieces, value) != 0)
        return -1;
    *pieces = b->pieces.count - before;
    return 0;
}

static int add_values(struct batch *b, PyObject *values)
{
    size_t pieces = 0;

    for (size_t i = 0; i < b->keys.count; i++) {
        if (add_value(b, PyTuple_GetItem(values, (Py_ssize_t)i), &pieces) != 0)
            return -1;
        if (b->gets != NULL)
            b->gets[i] = (struct cenote_get_item){.key = b->keys.items[i], .buffer_count = pieces};
        else
            b->puts[i] = (struct cenote_put_item){.key = b->keys.items[i], .buffer_count = pieces};
    }
    return 0;
}

/* When no piece is added any more, and none moves. */
static void point_at_pieces(struct batch *b)
{
    const struct cenote_buffer *next = b->pieces.buffers;

    for (size_t i = 0; i < b->keys.count; i++) {
        if (b->gets != NULL) {
            b->gets[i].buffers = next;
            next += b->gets[i].buffer_count;
        } else {
            b->puts[i].buffers = next;
            next += b->puts[i].buffer_count;
        }
    }
}

static int make_items(struct batch *b)
{
    size_t count = b->keys.count + 1; /* never none */

    if (b->pieces.use == PIECES_WRITE)
        b->gets = PyMem_Calloc(count, sizeof *b->gets);
    else
        b->puts = PyMem_Calloc(count, sizeof *b->puts);
    if (b->gets != NULL || b->puts != NULL)
        return 0;
    PyErr_NoMemory();
    return -1;
}

int batch_make(struct batch *batch, const struct handle *h, enum pieces_use use, PyObject *keys,
               PyObject *values)
{
    struct batch b = {.pieces = {.handle = h, .use = use}};
    int result = -1;

    PyObject *list = keys_tuple(values, use == PIECES_WRITE ? "buffers" : "values");
    if (list == NULL)
        return -1;
    if (keys_parse(keys, &b.keys) != 0)
        goto release_list;
    if ((size_t)PyTuple_Size(list) != b.keys.count)
        PyErr_Format(PyExc_ValueError, "%zu keys, but %zd %s", b.keys.count, PyTuple_Size(list),
                     use == PIECES_WRITE ? "buffers" : "values");
    else if (make_items(&b) == 0)
        result = add_values(&b, list);
    if (result == 0) {
        point_at_pieces(&b);
        *batch = b;
    } else {
        batch_free(&b);
    }
release_list:
    Py_DECREF(list);
    return result;
}

void batch_free(struct batch *b)
{
    pieces_free(&b->pieces);
    PyMem_Free(b->gets);
    PyMem_Free(b->puts);
    keys_free(&b->keys);
}

void batch_run(struct batch *b, struct cenote *client, unsigned flags, const struct policy *policy)
{
    for (size_t at = 0; at < b->keys.count; at += CENOTE_BATCH_MAX) {
        size_t left = b->keys.count - at;
        size_t count = left < CENOTE_BATCH_MAX ? left : CENOTE_BATCH_MAX;
        if (b->gets != NULL)
            cenote_get_batch(client, b->gets + at, count);
        else
            cenote_put_with(client, b->puts + at, count, flags, policy_or_null(policy));
    }
}

static long long result_of(const struct batch *b, size_t i)
{
    if (b->puts != NULL)
        return b->puts[i].status;
    return b->gets[i].status == CENOTE_OK ? (long long)b->gets[i].len_bytes : b->gets[i].status;
}

static PyObject *make_list(const struct batch *b, bool lengths)
{
    PyObject *list = PyList_New((Py_ssize_t)b->keys.count);

    for (size_t i = 0; list != NULL && i < b->keys.count; i++) {
        PyObject *number =
            PyLong_FromLongLong(lengths ? (long long)b->gets[i].len_bytes : result_of(b, i));
        if (number == NULL || PyList_SetItem(list, (Py_ssize_t)i, number) != 0)
            Py_CLEAR(list);
    }
    return list;
}

PyObject *batch_results(const struct batch *b)
{
    return make_list(b, false);
}

PyObject *batch_lengths(const struct batch *b)
{
    return make_list(b, true);
}
