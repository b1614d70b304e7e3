/* SPDX-License-Identifier: Apache-2.0 */
/* The handle of a client, and who uses it at the moment. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_HANDLE_H
#define CENOTE_CLIENT_PYTHON_NATIVE_HANDLE_H

#include <pthread.h>

#include "client/python/native/native.h"

struct flight;
struct region;

/*
 * cenote_close() must be the last call on a client, but in Python any thread may close it at any
 * time, and an array may show a view of it for ever. So a handle counts who uses the client:
 *
 *   calls   that are under way. Closing refuses new ones, then waits for these to return.
 *   holds   views and writers, which may stay for long. The client ends with the last of them.
 *
 * `lock` guards both and `closing`, and is held for moments, never while waiting for the
 * interpreter's lock. All else is guarded by the interpreter's lock. In a forked child nothing here
 * is used: the parent's threads may have held `lock`.
 */
struct handle {
    PyObject_HEAD struct cenote *client;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned calls;
    unsigned holds;
    bool closing;
    unsigned forks;         /* native_forks() when it was opened */
    struct flight *flights; /* what is in flight */
    struct region *regions; /* registered memory, in ascending order */
    size_t region_count;
    size_t region_room;
    size_t guess_bytes; /* how long the next value may be */
};

/* Begins a call: the client, or NULL with an exception when it is closed or another process's. */
struct cenote *handle_enter(struct handle *h);
/* The same of a method that takes a number by which libcenote knows something of the client's. */
struct cenote *handle_enter_id(struct handle *h, const char *name, PyObject *const *args,
                               Py_ssize_t count, uint64_t *id);
/* Ends a call. */
void handle_leave(struct handle *h);

/* During a call: makes the client stay after it. */
void handle_hold(struct handle *h);
/* Ends a hold; the client ends with it when it was closed meanwhile. */
void handle_drop(struct handle *h);

/* Does it belong to a parent of this process? */
bool handle_is_forked(const struct handle *h);

/* Adds the type's constructor, _cenote.open(), and the rest of it. 0, or -1 with an exception. */
int handle_init(PyObject *module);

#endif
