/* SPDX-License-Identifier: Apache-2.0 */
/* Doubly linked lists whose links lie in their elements. A zero-filled link is in no list. */
#ifndef CENOTE_META_LIST_H
#define CENOTE_META_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *next, *prev;
};

struct list {
    struct link head; /* a ring; zero-filled: empty */
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline bool link_used(const struct link *l)
{
    return l->next != NULL;
}

static inline bool list_empty(const struct list *list)
{
    return list->head.next == NULL || list->head.next == &list->head;
}

static inline struct link *list_first(const struct list *list)
{
    return list_empty(list) ? NULL : list->head.next;
}

/* The one behind l; NULL at the end. */
static inline struct link *list_next(const struct list *list, const struct link *l)
{
    return l->next == &list->head ? NULL : l->next;
}

/* Elements may not leave the list on the way; see list_each_safe. */
#define list_each(list, l)                                                                         \
    for (struct link *l = list_first(list); l != NULL; l = list_next(list, l))
/* The element l itself may leave the list. */
#define list_each_safe(list, l, after)                                                             \
    for (struct link *l = list_first(list), *after = l == NULL ? NULL : list_next(list, l);        \
         l != NULL; l = after, after = l == NULL ? NULL : list_next(list, l))

static inline void list_append(struct list *list, struct link *l)
{
    struct link *head = &list->head;
    if (head->next == NULL)
        head->next = head->prev = head;
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* Of whichever list it is in; nothing when it is in none. */
static inline void link_remove(struct link *l)
{
    if (l->next == NULL)
        return;
    l->next->prev = l->prev;
    l->prev->next = l->next;
    l->next = l->prev = NULL;
}

static inline struct link *list_pop(struct list *list)
{
    struct link *l = list_first(list);
    if (l != NULL)
        link_remove(l);
    return l;
}

/* Appends all of from, which is empty afterwards. */
static inline void list_move_all(struct list *to, struct list *from)
{
    struct link *l;
    while ((l = list_pop(from)) != NULL)
        list_append(to, l);
}

#endif
