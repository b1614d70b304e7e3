/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/view.h"

#include <cenote/view.h>

#include "client/python/native/keys.h"

struct view {
    PyObject_HEAD struct handle *owner; /* NULL: it has ended */
    struct cenote_view view;
    Py_ssize_t exports;
    bool released;
};

static PyTypeObject *view_type;

static void view_end(struct view *v)
{
    struct handle *owner = v->owner;

    if (owner == NULL)
        return;
    v->owner = NULL;
    cenote_view_release(owner->client, &v->view);
    handle_drop(owner);
}

/* Runs in a call on the client. */
static PyObject *view_wrap(struct handle *h, const struct cenote_view *found)
{
    struct view *v = (struct view *)PyType_GenericAlloc(view_type, 0);

    if (v == NULL)
        return NULL;
    v->view = *found;
    v->owner = h;
    handle_hold(h);
    return (PyObject *)v;
}

PyObject *view_open(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_view found = {0};
    struct cenote_key key;
    PyObject *result = NULL;
    int status = CENOTE_OK;

    if (native_arity("view", count, 1) != 0 || key_parse(args[0], &key) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_view_get(client, key.data, key.len_bytes, &found);
    Py_END_ALLOW_THREADS;
    if (status == CENOTE_OK) {
        result = view_wrap(h, &found);
        if (result == NULL)
            cenote_view_release(client, &found);
    }
    handle_leave(h);
    return status == CENOTE_OK ? result : native_raise_key(status, args[0]);
}

static int view_check(const struct view *v)
{
    if (v->owner != NULL && handle_is_forked(v->owner)) {
        native_raise(CENOTE_FORKED, "a view isn't mapped in a child");
        return -1;
    }
    if (!v->released)
        return 0;
    PyErr_SetString(PyExc_ValueError, "the view was released");
    return -1;
}

static int view_getbuffer(PyObject *self, Py_buffer *out, int flags)
{
    struct view *v = (struct view *)self;

    out->obj = NULL;
    if (view_check(v) != 0 || PyBuffer_FillInfo(out, self, (void *)v->view.data,
                                                (Py_ssize_t)v->view.len_bytes, 1, flags) != 0)
        return -1;
    v->exports++;
    return 0;
}

static void view_releasebuffer(PyObject *self, Py_buffer *buffer)
{
    struct view *v = (struct view *)self;

    (void)buffer;
    v->exports--;
    if (v->released && v->exports == 0)
        view_end(v);
}

static PyObject *view_release(PyObject *self, PyObject *unused)
{
    struct view *v = (struct view *)self;

    (void)unused;
    v->released = true;
    if (v->exports == 0)
        view_end(v);
    Py_RETURN_NONE;
}

static Py_ssize_t view_length(PyObject *self)
{
    const struct view *v = (struct view *)self;

    return view_check(v) == 0 ? (Py_ssize_t)v->view.len_bytes : -1;
}

static PyObject *view_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    return view_check((struct view *)self) == 0 ? Py_NewRef(self) : NULL;
}

static PyObject *view_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return view_release(self, NULL);
}

static PyObject *view_put_id(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct view *)self)->view.put_id);
}

static PyObject *view_released(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct view *)self)->released);
}

static void view_dealloc(PyObject *self)
{
    view_end((struct view *)self);
    native_free(self);
}

static PyMethodDef methods[] = {
    {"release", NATIVE_NONE(view_release),
     "Ends the view. Its bytes stay while a memoryview or an array still shows them."},
    {"__enter__", NATIVE_NONE(view_enter), NULL},
    {"__exit__", NATIVE_FAST(view_exit), NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"put_id", view_put_id, NULL, "Names this value of the key; see Stat.put_id.", NULL},
    {"released", view_released, NULL, "Was release() called?", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, view_dealloc},
    {Py_tp_doc, "A value where it lies, read-only: memoryview(view), numpy.frombuffer(view)."},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {Py_sq_length, view_length},
    {Py_bf_getbuffer, view_getbuffer},
    {Py_bf_releasebuffer, view_releasebuffer},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "cenote.View",
    .basicsize = sizeof(struct view),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};

int view_init(PyObject *module)
{
    view_type = native_type(&spec);
    return view_type != NULL ? PyModule_AddObjectRef(module, "View", (PyObject *)view_type) : -1;
}
