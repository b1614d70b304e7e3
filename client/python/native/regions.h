/* SPDX-License-Identifier: Apache-2.0 */
/* Registered memory: what include/cenote/buffer.h knows of, kept while it is registered. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_REGIONS_H
#define CENOTE_CLIENT_PYTHON_NATIVE_REGIONS_H

#include "client/python/native/handle.h"

/* Does one region contain all of it? */
bool regions_cover(const struct handle *h, const struct cenote_buffer *memory);

/* After the client's end: lets go of all. */
void regions_forget(struct handle *h);

/* Handle.register(piece) -> (id, address, length); Handle.unregister(id). */
PyObject *regions_register(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *regions_unregister(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
