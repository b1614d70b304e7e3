/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/writer.h"

#include <cenote/range.h>

#include "client/python/native/keys.h"
#include "client/python/native/pieces.h"
#include "client/python/native/policy.h"

/*
 * Any threads may write at once; a commit and the end need the writer for themselves. `writes`
 * counts those that write, or -1: somebody commits. It is guarded by the interpreter's lock.
 */
struct writer {
    PyObject_HEAD struct handle *owner; /* NULL: it has ended */
    struct cenote_writer *writer;
    int writes;
    bool closing;
};

static PyTypeObject *writer_type;

static void writer_end(struct writer *w)
{
    struct handle *owner = w->owner;
    struct cenote_writer *writer = w->writer;

    if (owner == NULL)
        return;
    w->owner = NULL;
    w->writer = NULL;
    Py_BEGIN_ALLOW_THREADS;
    cenote_writer_close(&writer);
    Py_END_ALLOW_THREADS;
    handle_drop(owner);
}

PyObject *writer_open(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_key key;
    struct policy policy;
    uint32_t flags = 0;
    int status = CENOTE_OK;

    if (native_arity_or_less("writer", count, 4) != 0 || key_parse(args[0], &key) != 0 ||
        native_u32(args[2], &flags) != 0 || policy_parse_last(args, count, 4, &policy) != 0)
        return NULL;
    uint64_t len = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    struct writer *w = (struct writer *)PyType_GenericAlloc(writer_type, 0);
    if (w == NULL)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        goto release;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_writer_open_with(client, key.data, key.len_bytes, len, flags,
                                     policy_or_null(&policy), &w->writer);
    Py_END_ALLOW_THREADS;
    if (status == CENOTE_OK) {
        w->owner = h;
        handle_hold(h);
    }
    handle_leave(h);
    if (status == CENOTE_OK)
        return (PyObject *)w;
    native_raise_key(status, args[0]);
release:
    Py_DECREF((PyObject *)w);
    return NULL;
}

/* May something begin that shares the writer with `most` writes? 0, or -1 with an exception. */
static int writer_check(const struct writer *w, int most)
{
    if (w->owner == NULL || w->closing) {
        native_raise(CENOTE_CLOSED, "the writer was closed");
        return -1;
    }
    if (handle_is_forked(w->owner)) {
        native_raise(CENOTE_FORKED, "the writer was opened before fork()");
        return -1;
    }
    if (w->writes < 0 || w->writes > most) {
        PyErr_SetString(PyExc_RuntimeError, "another thread uses the writer at this moment");
        return -1;
    }
    return 0;
}

/* The end of what another thread's close() may have waited for. */
static void writer_leave(struct writer *w)
{
    if (w->closing && w->writes == 0)
        writer_end(w);
}

static int write_pieces(struct writer *w, uint64_t offset, const struct pieces *pieces)
{
    int status = CENOTE_OK;

    w->writes++;
    Py_BEGIN_ALLOW_THREADS;
    for (size_t i = 0; i < pieces->count && status == CENOTE_OK; i++) {
        const struct cenote_buffer *piece = &pieces->buffers[i];
        status = cenote_writer_write(w->writer, offset, piece->addr, piece->len_bytes);
        offset += piece->len_bytes;
    }
    Py_END_ALLOW_THREADS;
    w->writes--;
    writer_leave(w);
    return status;
}

static PyObject *writer_write(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct writer *w = (struct writer *)self;
    struct pieces pieces = {.handle = w->owner, .use = PIECES_READ};
    int status = CENOTE_OK;

    if (native_arity("write", count, 2) != 0 || writer_check(w, INT_MAX) != 0)
        return NULL;
    uint64_t offset = PyLong_AsUnsignedLongLong(args[0]);
    if (PyErr_Occurred())
        return NULL;
    bool ok = pieces_add(&pieces, args[1]) == 0 && writer_check(w, INT_MAX) == 0;
    if (ok)
        status = write_pieces(w, offset, &pieces);
    pieces_free(&pieces);
    if (!ok)
        return NULL;
    if (status != CENOTE_OK)
        return native_raise(status, "writing a part of a value");
    Py_RETURN_NONE;
}

static PyObject *writer_commit(PyObject *self, PyObject *unused)
{
    struct writer *w = (struct writer *)self;
    int status = CENOTE_OK;

    (void)unused;
    if (writer_check(w, 0) != 0)
        return NULL;
    w->writes = -1;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_writer_commit(w->writer);
    Py_END_ALLOW_THREADS;
    w->writes = 0;
    writer_leave(w);
    if (status != CENOTE_OK && status != CENOTE_EXISTS)
        return native_raise(status, "committing a value");
    return PyBool_FromLong(status == CENOTE_OK);
}

static PyObject *writer_close(PyObject *self, PyObject *unused)
{
    struct writer *w = (struct writer *)self;

    (void)unused;
    w->closing = true;
    writer_leave(w);
    Py_RETURN_NONE;
}

static void writer_dealloc(PyObject *self)
{
    writer_end((struct writer *)self);
    native_free(self);
}

static PyMethodDef methods[] = {
    {"write", NATIVE_FAST(writer_write), NULL},
    {"commit", NATIVE_NONE(writer_commit), NULL},
    {"close", NATIVE_NONE(writer_close), NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "_cenote.Writer",
    .basicsize = sizeof(struct writer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int writer_init(void)
{
    writer_type = native_type(&spec);
    return writer_type != NULL ? 0 : -1;
}
