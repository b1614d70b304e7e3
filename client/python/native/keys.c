/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/keys.h"

int key_parse(PyObject *object, struct cenote_key *out)
{
    Py_ssize_t len = 0;
    const char *data = NULL;

    if (PyBytes_Check(object)) {
        char *bytes = NULL;
        if (PyBytes_AsStringAndSize(object, &bytes, &len) != 0)
            return -1;
        data = bytes;
    } else if (PyUnicode_Check(object)) {
        data = PyUnicode_AsUTF8AndSize(object, &len);
        if (data == NULL)
            return -1;
    } else {
        PyErr_Format(PyExc_TypeError, "a key is bytes or str, not %R", (PyObject *)Py_TYPE(object));
        return -1;
    }
    *out = (struct cenote_key){data, (size_t)len};
    return 0;
}

PyObject *keys_tuple(PyObject *sequence, const char *what)
{
    if (PyBytes_Check(sequence) || PyUnicode_Check(sequence))
        return PyErr_Format(PyExc_TypeError, "%s: a list is wanted, not one %R", what,
                            (PyObject *)Py_TYPE(sequence));
    return PySequence_Tuple(sequence);
}

int keys_parse(PyObject *sequence, struct keys *out)
{
    struct keys keys = {.objects = keys_tuple(sequence, "keys")};

    if (keys.objects == NULL)
        return -1;
    keys.count = (size_t)PyTuple_Size(keys.objects);
    keys.items = PyMem_Calloc(keys.count + 1, sizeof *keys.items);
    if (keys.items == NULL) {
        PyErr_NoMemory();
        goto release;
    }
    for (size_t i = 0; i < keys.count; i++)
        if (key_parse(PyTuple_GetItem(keys.objects, (Py_ssize_t)i), &keys.items[i]) != 0)
            goto release;
    *out = keys;
    return 0;
release:
    keys_free(&keys);
    return -1;
}

void keys_free(struct keys *keys)
{
    PyMem_Free(keys->items);
    Py_DECREF(keys->objects);
}
