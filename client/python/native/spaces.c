/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/spaces.h"

#include <cenote/namespace.h>
#include <stdlib.h>

#include "client/python/native/keys.h"

/* ---- the list -------------------------------------------------------------------------------- */

static PyObject *space_tuple(const struct cenote_namespace *s)
{
    return Py_BuildValue(
        "s(KKKK)KKKKKI", s->name, (unsigned long long)s->settings.quota_bytes,
        (unsigned long long)s->settings.quota_objects, (unsigned long long)s->settings.ttl_ms,
        (unsigned long long)s->settings.pin_limit_bytes, (unsigned long long)s->used_bytes,
        (unsigned long long)s->used_objects, (unsigned long long)s->pinned_bytes,
        (unsigned long long)s->excess_bytes, (unsigned long long)s->excess_objects, s->services);
}

static PyObject *space_list(const struct cenote_namespace *spaces, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *space = space_tuple(&spaces[i]);
        if (space == NULL || PyList_SetItem(list, (Py_ssize_t)i, space) != 0)
            Py_CLEAR(list);
    }
    return list;
}

PyObject *spaces_list(PyObject *self, PyObject *unused)
{
    struct handle *h = (struct handle *)self;
    struct cenote *client = handle_enter(h);
    struct cenote_namespace *spaces = NULL;
    size_t count = 0;
    int status = CENOTE_OK;

    (void)unused;
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_namespaces(client, &spaces, &count);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    if (status != CENOTE_OK)
        return native_raise(status, "listing namespaces");
    PyObject *list = space_list(spaces, count);
    free(spaces);
    return list;
}

/* ---- changes --------------------------------------------------------------------------------- */

static int settings_parse(PyObject *tuple, struct cenote_namespace_settings *out)
{
    unsigned long long bytes = 0, objects = 0, ttl_ms = 0, pin_limit = 0;

    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "settings are a tuple, not %R", (PyObject *)Py_TYPE(tuple));
        return -1;
    }
    if (!PyArg_ParseTuple(tuple, "KKKK", &bytes, &objects, &ttl_ms, &pin_limit))
        return -1;
    *out = (struct cenote_namespace_settings){bytes, objects, ttl_ms, pin_limit};
    return 0;
}

PyObject *spaces_set(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_namespace_settings settings;
    const char *name = NULL;
    int status = CENOTE_OK;

    if (native_arity("namespace_set", count, 3) != 0 || native_text(args[0], &name) != 0 ||
        settings_parse(args[1], &settings) != 0)
        return NULL;
    int create = PyObject_IsTrue(args[2]);
    struct cenote *client = create >= 0 ? handle_enter(h) : NULL;
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = create ? cenote_namespace_create(client, name, &settings)
                    : cenote_namespace_set(client, name, &settings);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    return PyLong_FromLong(status);
}

PyObject *spaces_remove(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    const char *name = NULL;
    int status = CENOTE_OK;

    if (native_arity("namespace_remove", count, 1) != 0 || native_text(args[0], &name) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_namespace_remove(client, name);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    return PyLong_FromLong(status);
}

PyObject *spaces_clear(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    const char *name = NULL;
    uint64_t removed = 0;
    int status = CENOTE_OK;

    if (native_arity("namespace_clear", count, 1) != 0 || native_text(args[0], &name) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_namespace_clear(client, name, &removed);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    return Py_BuildValue("iK", status, (unsigned long long)removed);
}

PyObject *spaces_remove_prefix(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_key prefix;
    uint64_t removed = 0;
    int status = CENOTE_OK;

    if (native_arity("remove_prefix", count, 1) != 0 || key_parse(args[0], &prefix) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_remove_prefix(client, prefix.data, prefix.len_bytes, &removed);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    return Py_BuildValue("iK", status, (unsigned long long)removed);
}
