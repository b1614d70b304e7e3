/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of a handle that are about keys, and about the pool. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_NAMES_H
#define CENOTE_CLIENT_PYTHON_NATIVE_NAMES_H

#include "client/python/native/handle.h"

/* exists(keys) -> list of bool; prefix(keys) -> how many leading ones are there */
PyObject *names_exists(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *names_prefix(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* A call that changes something about keys, at most CENOTE_BATCH_MAX, each with its status. */
typedef void names_change_fn(struct cenote *client, const struct cenote_key *keys, size_t count,
                             int *statuses, const void *arg);
/* Makes it for a sequence of any length, without the interpreter's lock: a list of statuses. */
PyObject *names_change(struct handle *h, PyObject *sequence, names_change_fn *change,
                       const void *arg);
/* remove(keys) -> statuses */
PyObject *names_remove(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* stat(key) -> (length, put id, created_ms, stripes, replicas, has_sums) */
PyObject *names_stat(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* places(key) -> [(offset, length, node, zone)] */
PyObject *names_places(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* list(prefix, listing or None) -> ([(key, length, put id)], listing or None at the end) */
PyObject *names_list(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* status() -> JSON */
PyObject *names_status(PyObject *self, PyObject *unused);

#endif
