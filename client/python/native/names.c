/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/names.h"

#include <stdlib.h>
#include <string.h>

#include "client/python/native/keys.h"

/* ---- many keys ------------------------------------------------------------------------------- */

/* Asks of all keys, of a part at a time. */
static int ask(struct cenote *client, const struct keys *keys, bool *present, size_t *prefix)
{
    int status = CENOTE_OK;
    bool whole = true; /* no gap so far */

    *prefix = 0;
    for (size_t at = 0; at < keys->count && status == CENOTE_OK; at += CENOTE_BATCH_MAX) {
        size_t left = keys->count - at, leading = 0;
        size_t count = left < CENOTE_BATCH_MAX ? left : CENOTE_BATCH_MAX;
        status = cenote_exists(client, keys->items + at, count,
                               present != NULL ? present + at : NULL, &leading);
        if (whole)
            *prefix += leading;
        whole = whole && leading == count;
        if (!whole && present == NULL)
            break;
    }
    return status;
}

static int run_ask(struct handle *h, const struct keys *keys, bool *present, size_t *prefix)
{
    struct cenote *client = handle_enter(h);
    int status = CENOTE_OK;

    if (client == NULL)
        return -1;
    Py_BEGIN_ALLOW_THREADS;
    status = ask(client, keys, present, prefix);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    if (status == CENOTE_OK)
        return 0;
    native_raise(status, "asking which keys are there");
    return -1;
}

static PyObject *bool_list(const bool *values, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; list != NULL && i < count; i++)
        if (PyList_SetItem(list, (Py_ssize_t)i, PyBool_FromLong(values[i])) != 0)
            Py_CLEAR(list);
    return list;
}

PyObject *names_exists(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct keys keys;
    PyObject *list = NULL;
    size_t prefix = 0;

    if (native_arity("exists", count, 1) != 0 || keys_parse(args[0], &keys) != 0)
        return NULL;
    bool *present = PyMem_Calloc(keys.count + 1, sizeof *present);
    if (present == NULL)
        PyErr_NoMemory();
    else if (run_ask((struct handle *)self, &keys, present, &prefix) == 0)
        list = bool_list(present, keys.count);
    PyMem_Free(present);
    keys_free(&keys);
    return list;
}

PyObject *names_prefix(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct keys keys;
    size_t prefix = 0;

    if (native_arity("prefix", count, 1) != 0 || keys_parse(args[0], &keys) != 0)
        return NULL;
    int result = run_ask((struct handle *)self, &keys, NULL, &prefix);
    keys_free(&keys);
    return result == 0 ? PyLong_FromSize_t(prefix) : NULL;
}

static PyObject *int_list(const int *values, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *number = PyLong_FromLong(values[i]);
        if (number == NULL || PyList_SetItem(list, (Py_ssize_t)i, number) != 0)
            Py_CLEAR(list);
    }
    return list;
}

/* Of a part of the keys at a time. False with an exception: it wasn't begun. */
static bool run_change(struct handle *h, const struct keys *keys, names_change_fn *change,
                       const void *arg, int *statuses)
{
    struct cenote *client = handle_enter(h);

    if (client == NULL)
        return false;
    Py_BEGIN_ALLOW_THREADS;
    for (size_t at = 0; at < keys->count; at += CENOTE_BATCH_MAX) {
        size_t left = keys->count - at;
        change(client, keys->items + at, left < CENOTE_BATCH_MAX ? left : CENOTE_BATCH_MAX,
               statuses + at, arg);
    }
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    return true;
}

PyObject *names_change(struct handle *h, PyObject *sequence, names_change_fn *change,
                       const void *arg)
{
    struct keys keys;
    PyObject *list = NULL;

    if (keys_parse(sequence, &keys) != 0)
        return NULL;
    int *statuses = PyMem_Calloc(keys.count + 1, sizeof *statuses);
    if (statuses == NULL)
        PyErr_NoMemory();
    else if (run_change(h, &keys, change, arg, statuses))
        list = int_list(statuses, keys.count);
    PyMem_Free(statuses);
    keys_free(&keys);
    return list;
}

static void remove_keys(struct cenote *client, const struct cenote_key *keys, size_t count,
                        int *statuses, const void *arg)
{
    (void)arg;
    cenote_remove(client, keys, count, statuses);
}

PyObject *names_remove(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (native_arity("remove", count, 1) != 0)
        return NULL;
    return names_change((struct handle *)self, args[0], remove_keys, NULL);
}

/* ---- one key --------------------------------------------------------------------------------- */

PyObject *names_stat(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_key key;
    struct cenote_stat stat = {0};
    int status = CENOTE_OK;

    if (native_arity("stat", count, 1) != 0 || key_parse(args[0], &key) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_stat(client, key.data, key.len_bytes, &stat);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    if (status != CENOTE_OK)
        return native_raise_key(status, args[0]);
    return Py_BuildValue("KKKIIO", (unsigned long long)stat.len_bytes,
                         (unsigned long long)stat.put_id, (unsigned long long)stat.created_ms,
                         stat.stripes, stat.replicas, stat.has_sums ? Py_True : Py_False);
}

static PyObject *place_list(const struct cenote_place *places, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *place =
            Py_BuildValue("KKss", (unsigned long long)places[i].offset,
                          (unsigned long long)places[i].len_bytes, places[i].node, places[i].zone);
        if (place == NULL || PyList_SetItem(list, (Py_ssize_t)i, place) != 0)
            Py_CLEAR(list);
    }
    return list;
}

PyObject *names_places(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_key key;
    struct cenote_place *places = NULL;
    size_t found = 0;
    int status = CENOTE_OK;

    if (native_arity("places", count, 1) != 0 || key_parse(args[0], &key) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_places(client, key.data, key.len_bytes, &places, &found);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    if (status != CENOTE_OK)
        return native_raise_key(status, args[0]);
    PyObject *list = place_list(places, found);
    free(places);
    return list;
}

/* ---- listing --------------------------------------------------------------------------------- */

#define LISTING "_cenote.listing"

static void listing_free(PyObject *capsule)
{
    struct cenote_list *list = PyCapsule_GetPointer(capsule, LISTING);

    cenote_list_free(list);
    free(list);
}

static PyObject *listing_new(void)
{
    struct cenote_list *list = calloc(1, sizeof *list);
    PyObject *capsule =
        list != NULL ? PyCapsule_New(list, LISTING, listing_free) : PyErr_NoMemory();

    if (capsule == NULL)
        free(list);
    return capsule;
}

static PyObject *entry_list(const struct cenote_list *list)
{
    PyObject *entries = PyList_New((Py_ssize_t)list->count);

    for (size_t i = 0; entries != NULL && i < list->count; i++) {
        const struct cenote_list_entry *e = &list->entries[i];
        PyObject *entry =
            Py_BuildValue("y#KK", (const char *)e->key.data, (Py_ssize_t)e->key.len_bytes,
                          (unsigned long long)e->len_bytes, (unsigned long long)e->put_id);
        if (entry == NULL || PyList_SetItem(entries, (Py_ssize_t)i, entry) != 0)
            Py_CLEAR(entries);
    }
    return entries;
}

/* The next page of a listing that nobody else uses at the moment. */
static PyObject *next_page(struct handle *h, const struct cenote_key *prefix, PyObject *capsule)
{
    struct cenote_list *list = PyCapsule_GetPointer(capsule, LISTING);
    struct cenote *client = list != NULL ? handle_enter(h) : NULL;
    int status = CENOTE_OK;

    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_list(client, prefix->data, prefix->len_bytes, list);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    if (status != CENOTE_OK)
        return native_raise(status, "listing keys");
    PyObject *entries = entry_list(list);
    return entries != NULL ? Py_BuildValue("NO", entries, list->more ? capsule : Py_None) : NULL;
}

PyObject *names_list(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct cenote_key prefix;

    if (native_arity("list", count, 2) != 0 || key_parse(args[0], &prefix) != 0)
        return NULL;
    PyObject *capsule = args[1] == Py_None ? listing_new() : Py_NewRef(args[1]);
    if (capsule == NULL)
        return NULL;
    PyObject *page = next_page((struct handle *)self, &prefix, capsule);
    Py_DECREF(capsule);
    return page;
}

/* ---- the pool -------------------------------------------------------------------------------- */

PyObject *names_status(PyObject *self, PyObject *unused)
{
    struct handle *h = (struct handle *)self;
    struct cenote *client = handle_enter(h);
    char *json = NULL;
    int status = CENOTE_OK;

    (void)unused;
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_pool_status(client, &json);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    if (status != CENOTE_OK)
        return native_raise(status, "the pool's status");
    PyObject *text = PyUnicode_FromString(json);
    free(json);
    return text;
}
