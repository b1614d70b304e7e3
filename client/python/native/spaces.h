/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of a handle that are about namespaces, and about all keys with a prefix. Those that
 * change something return a status: what it means is Python's to say. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_SPACES_H
#define CENOTE_CLIENT_PYTHON_NATIVE_SPACES_H

#include "client/python/native/handle.h"

/* namespaces() -> [(name, settings, used bytes, used objects, pinned bytes, excess bytes,
 * excess objects, services)]; settings: (quota bytes, quota objects, ttl_ms, pin limit bytes) */
PyObject *spaces_list(PyObject *self, PyObject *unused);
/* namespace_set(name, settings, create) -> status; create: only if there is none */
PyObject *spaces_set(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* namespace_clear(name) -> (status, how many were removed) */
PyObject *spaces_clear(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* namespace_remove(name) -> status */
PyObject *spaces_remove(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* remove_prefix(prefix) -> (status, how many were removed) */
PyObject *spaces_remove_prefix(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
