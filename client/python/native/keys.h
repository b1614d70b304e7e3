/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: bytes as they are, str as UTF-8. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_KEYS_H
#define CENOTE_CLIENT_PYTHON_NATIVE_KEYS_H

#include "client/python/native/native.h"

/* The bytes of a key belong to the object, which must stay. 0, or -1 with an exception. */
int key_parse(PyObject *object, struct cenote_key *out);

/* A tuple of a sequence of keys, or other things; NULL with an exception. One str or bytes is a
 * mistake: they are sequences, but not of keys. */
PyObject *keys_tuple(PyObject *sequence, const char *what);

/* Many keys of one call, and what keeps them. */
struct keys {
    PyObject *objects; /* a tuple */
    struct cenote_key *items;
    size_t count;
};

/* 0, or -1 with an exception, and nothing to free. */
int keys_parse(PyObject *sequence, struct keys *out);
void keys_free(struct keys *keys);

#endif
