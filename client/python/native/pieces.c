/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/pieces.h"

#include "client/python/native/dlpack.h"
#include "client/python/native/raw.h"
#include "client/python/native/regions.h"

/* Of one value: no engine scatters a block over more. */
#define VALUE_PIECES_MAX 65536
#define ROOM_FIRST       8

struct hold {
    struct dlpack_tensor *tensor; /* NULL: a buffer */
    Py_buffer view;
};

/* Room for one more of an array's items. */
static int make_room(void **items, size_t count, size_t *room, size_t size_bytes)
{
    if (count < *room)
        return 0;
    size_t more = *room > 0 ? *room * 2 : ROOM_FIRST;
    void *moved = PyMem_Realloc(*items, more * size_bytes);
    if (moved == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *items = moved;
    *room = more;
    return 0;
}

static int add_buffer(struct pieces *p, void *addr, size_t len_bytes)
{
    if (make_room((void **)&p->buffers, p->count, &p->room, sizeof *p->buffers) != 0)
        return -1;
    p->buffers[p->count++] = (struct cenote_buffer){addr, len_bytes};
    return 0;
}

static struct hold *add_hold(struct pieces *p)
{
    if (make_room((void **)&p->holds, p->hold_count, &p->hold_room, sizeof *p->holds) != 0)
        return NULL;
    return &p->holds[p->hold_count];
}

/* What exporters say differs, and rarely tells what to do. */
static int refuse_export(const struct pieces *p, PyObject *object)
{
    Py_buffer any;

    if (PyErr_ExceptionMatches(PyExc_MemoryError))
        return -1;
    PyErr_Clear();
    bool readable = PyObject_GetBuffer(object, &any, PyBUF_SIMPLE) == 0;
    if (readable)
        PyBuffer_Release(&any);
    PyErr_Clear();
    if (readable && p->use == PIECES_WRITE)
        PyErr_Format(PyExc_BufferError, "%R is read-only: a get writes into its buffers",
                     (PyObject *)Py_TYPE(object));
    else
        PyErr_Format(PyExc_BufferError,
                     "%R gives no C-contiguous memory: copy it, or give its parts as a list",
                     (PyObject *)Py_TYPE(object));
    return -1;
}

static int add_export(struct pieces *p, PyObject *object)
{
    struct hold *hold = add_hold(p);

    if (hold == NULL)
        return -1;
    hold->tensor = NULL;
    if (PyObject_GetBuffer(object, &hold->view,
                           p->use == PIECES_WRITE ? PyBUF_WRITABLE : PyBUF_SIMPLE) != 0)
        return refuse_export(p, object);
    p->hold_count++;
    return add_buffer(p, hold->view.buf, (size_t)hold->view.len);
}

static int add_tensor(struct pieces *p, PyObject *object)
{
    struct hold *hold = add_hold(p);
    struct cenote_buffer memory;

    if (hold == NULL)
        return -1;
    hold->tensor = dlpack_open(object, &memory);
    if (hold->tensor == NULL)
        return -1;
    p->hold_count++;
    return add_buffer(p, memory.addr, memory.len_bytes);
}

/* (address, length) */
static int add_raw(struct pieces *p, PyObject *pair)
{
    struct cenote_buffer memory;

    if (raw_parse(pair, &memory) != 0)
        return -1;
    if (!regions_cover(p->handle, &memory) && raw_check(&memory, p->use == PIECES_WRITE) != 0)
        return -1;
    return add_buffer(p, memory.addr, memory.len_bytes);
}

static int add_piece(struct pieces *p, PyObject *object)
{
    if (PyTuple_Check(object))
        return add_raw(p, object);
    if (PyObject_CheckBuffer(object))
        return add_export(p, object);
    if (dlpack_has(object))
        return add_tensor(p, object);
    PyErr_Format(PyExc_TypeError,
                 "a buffer, (address, length), something with __dlpack__(), or a list of them is "
                 "wanted, not %R",
                 (PyObject *)Py_TYPE(object));
    return -1;
}

int pieces_add(struct pieces *p, PyObject *value)
{
    if (!PyList_Check(value))
        return add_piece(p, value);
    PyObject *parts = PyList_AsTuple(value); /* others may change the list meanwhile */
    if (parts == NULL)
        return -1;
    Py_ssize_t count = PyTuple_Size(parts);
    int result = count <= VALUE_PIECES_MAX ? 0 : -1;
    if (result != 0)
        PyErr_Format(PyExc_ValueError, "one value has %zd pieces; %d at most", count,
                     VALUE_PIECES_MAX);
    for (Py_ssize_t i = 0; i < count && result == 0; i++)
        result = add_piece(p, PyTuple_GetItem(parts, i));
    Py_DECREF(parts);
    return result;
}

void pieces_free(struct pieces *p)
{
    PyObject *type, *value, *trace; /* exporters' code may be Python's */

    PyErr_Fetch(&type, &value, &trace);
    for (size_t i = 0; i < p->hold_count; i++) {
        if (p->holds[i].tensor != NULL)
            dlpack_close(p->holds[i].tensor);
        else
            PyBuffer_Release(&p->holds[i].view);
    }
    PyErr_Restore(type, value, trace);
    PyMem_Free(p->holds);
    PyMem_Free(p->buffers);
    p->holds = NULL;
    p->buffers = NULL;
    p->count = p->hold_count = p->room = p->hold_room = 0;
}
