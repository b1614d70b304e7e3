/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/pairtree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Leaves hold the pairs. Inner nodes hold children and, for each child, a pair that is a lower
 * bound of everything below it; that of the first child is never looked at. Bounds may be loose:
 * removing the first pair of a leaf does not touch them.
 *
 * Nodes of one level are linked both ways, so that a neighbour in another leaf is one step away.
 * No node but the root holds less than a third of what it can. A full leaf first shares with its
 * brother and splits only when that one is full too: under random changes leaves are then about
 * four fifths full, against two thirds.
 *
 * All nodes have one size: malloc's 512-byte class with its own 8 bytes inside.
 */
#define LEAF_MAX   30u
#define INNER_MAX  20u
#define LEVELS_MAX 16u /* at least 6 children a node: more pairs than memory can hold */
#define STOCK_MAX  (4u * LEVELS_MAX)

struct node {
    uint32_t count;
    uint32_t level; /* 0: a leaf */
    struct node *prev;
    struct node *next;
    struct pair pairs[]; /* a leaf's pairs; the lower bounds of an inner node's children */
};

#define NODE_BYTES (sizeof(struct node) + LEAF_MAX * sizeof(struct pair))

_Static_assert(INNER_MAX *(sizeof(struct pair) + sizeof(struct node *)) <=
                   LEAF_MAX * sizeof(struct pair),
               "an inner node fits where a leaf does");

struct pairtree {
    struct node *root;
    struct node *stock; /* spare nodes, linked by next */
    uint64_t stocked;
    uint64_t nodes; /* in use */
    uint64_t count;
};

/* The way from the root to a leaf, by level. */
struct path {
    struct node *node[LEVELS_MAX];
    uint32_t slot[LEVELS_MAX]; /* which child was taken; unused at level 0 */
};

static struct node **children(struct node *n)
{
    return (struct node **)(void *)(n->pairs + INNER_MAX);
}

static uint32_t node_max(const struct node *n)
{
    return n->level == 0 ? LEAF_MAX : INNER_MAX;
}

/* ---- the stock of nodes ---- */

static bool stock_add(struct pairtree *t)
{
    struct node *n = malloc(NODE_BYTES);
    if (n == NULL)
        return false;
    n->next = t->stock;
    t->stock = n;
    t->stocked++;
    return true;
}

static struct node *node_get(struct pairtree *t, uint32_t level)
{
    struct node *n = t->stock;
    assert(n != NULL); /* the caller has prepared */
    t->stock = n->next;
    t->stocked--;
    t->nodes++;
    n->count = 0;
    n->level = level;
    n->prev = NULL;
    n->next = NULL;
    return n;
}

static void node_put(struct pairtree *t, struct node *n)
{
    t->nodes--;
    if (t->stocked >= STOCK_MAX) {
        free(n);
        return;
    }
    n->next = t->stock;
    t->stock = n;
    t->stocked++;
}

bool pairtree_prepare(struct pairtree *t)
{
    /* An insertion splits one node a level at most and may add a root; the tree may have grown
     * by a level before the second. */
    uint64_t want = 2 * ((uint64_t)t->root->level + 3);
    while (t->stocked < want)
        if (!stock_add(t))
            return false;
    return true;
}

struct pairtree *pairtree_new(void)
{
    struct pairtree *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    if (!stock_add(t)) {
        free(t);
        return NULL;
    }
    t->root = node_get(t, 0);
    return t;
}

static void nodes_free(struct node *n)
{
    while (n != NULL) {
        struct node *next = n->next;
        free(n);
        n = next;
    }
}

void pairtree_free(struct pairtree *t)
{
    if (t == NULL)
        return;
    struct node *first = t->root;
    while (first != NULL) {
        struct node *below = first->level > 0 ? children(first)[0] : NULL;
        nodes_free(first);
        first = below;
    }
    nodes_free(t->stock);
    free(t);
}

/* ---- inside nodes ---- */

/* How many of the n pairs, in order, are less than p, or with or_equal less than or equal to p.
 * All are compared: halving would take a mispredicted jump a step, and is slower. */
static inline uint32_t pairs_before(const struct pair *pairs, uint32_t n, struct pair p,
                                    bool or_equal)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < n; i++)
        before += or_equal ? !pair_less(p, pairs[i]) : pair_less(pairs[i], p);
    return before;
}

static uint32_t child_slot(const struct node *n, struct pair p)
{
    return pairs_before(n->pairs + 1, n->count - 1, p, true);
}

/* Moves n items, within a node or between nodes of a level; counts are the caller's. */
static void items_move(struct node *to, uint32_t at, struct node *from, uint32_t from_at,
                       uint32_t n)
{
    assert(to->level == from->level && at + n <= node_max(to));
    memmove(to->pairs + at, from->pairs + from_at, n * sizeof(struct pair));
    if (to->level > 0)
        memmove(children(to) + at, children(from) + from_at, n * sizeof(struct node *));
}

static void item_insert(struct node *n, uint32_t at, struct pair p, struct node *child)
{
    items_move(n, at + 1, n, at, n->count - at);
    n->pairs[at] = p;
    if (n->level > 0)
        children(n)[at] = child;
    n->count++;
}

static void item_remove(struct node *n, uint32_t at)
{
    n->count--;
    items_move(n, at, n, at + 1, n->count - at);
}

/* ---- between nodes ---- */

/* Shares the items of the children i and i + 1 evenly. */
static void nodes_even(struct node *parent, uint32_t i)
{
    struct node *left = children(parent)[i];
    struct node *right = children(parent)[i + 1];
    uint32_t want = (left->count + right->count) / 2; /* on the left */
    if (left->count < want) {
        uint32_t n = want - left->count;
        items_move(left, left->count, right, 0, n);
        items_move(right, 0, right, n, right->count - n);
        left->count += n;
        right->count -= n;
    } else {
        uint32_t n = left->count - want;
        items_move(right, n, right, 0, right->count);
        items_move(right, 0, left, want, n);
        left->count -= n;
        right->count += n;
    }
    parent->pairs[i + 1] = right->pairs[0];
}

/* Moves all of child i + 1 into child i. */
static void nodes_merge(struct pairtree *t, struct node *parent, uint32_t i)
{
    struct node *left = children(parent)[i];
    struct node *right = children(parent)[i + 1];
    items_move(left, left->count, right, 0, right->count);
    left->count += right->count;
    left->next = right->next;
    if (right->next != NULL)
        right->next->prev = left;
    item_remove(parent, i + 1);
    node_put(t, right);
}

/* Moves the upper half of n into a new node behind it. */
static struct node *node_split(struct pairtree *t, struct node *n)
{
    struct node *right = node_get(t, n->level);
    uint32_t keep = n->count / 2;
    items_move(right, 0, n, keep, n->count - keep);
    right->count = n->count - keep;
    n->count = keep;
    right->prev = n;
    right->next = n->next;
    if (n->next != NULL)
        n->next->prev = right;
    n->next = right;
    return right;
}

static struct node *path_find(const struct pairtree *t, struct pair p, struct path *path)
{
    struct node *n = t->root;
    assert(n->level < LEVELS_MAX);
    while (n->level > 0) {
        path->node[n->level] = n;
        path->slot[n->level] = child_slot(n, p);
        n = children(n)[path->slot[n->level]];
    }
    path->node[0] = n;
    return n;
}

/* ---- insertion ---- */

/* Makes room in a full leaf if a brother has any; the path leads to where p belongs afterwards. */
static void leaf_share(struct path *path, struct pair p)
{
    struct node *parent = path->node[1];
    uint32_t slot = path->slot[1];
    if (slot > 0 && children(parent)[slot - 1]->count < LEAF_MAX - 1)
        nodes_even(parent, slot - 1);
    else if (slot + 1 < parent->count && children(parent)[slot + 1]->count < LEAF_MAX - 1)
        nodes_even(parent, slot);
    else
        return;
    path->slot[1] = child_slot(parent, p);
    path->node[0] = children(parent)[path->slot[1]];
}

static void root_grow(struct pairtree *t, struct node *right)
{
    struct node *left = t->root;
    assert(left->level + 1 < LEVELS_MAX);
    struct node *root = node_get(t, left->level + 1);
    item_insert(root, 0, left->pairs[0], left);
    item_insert(root, 1, right->pairs[0], right);
    t->root = root;
}

void pairtree_insert(struct pairtree *t, struct pair p)
{
    struct path path;
    struct node *leaf = path_find(t, p, &path);
    if (leaf->count == LEAF_MAX && leaf != t->root)
        leaf_share(&path, p);
    struct pair item = p;
    struct node *child = NULL;
    for (uint32_t level = 0;; level++) {
        struct node *n = path.node[level];
        uint32_t at =
            level == 0 ? pairs_before(n->pairs, n->count, p, false) : path.slot[level] + 1;
        if (n->count < node_max(n)) {
            item_insert(n, at, item, child);
            break;
        }
        struct node *right = node_split(t, n);
        if (at <= n->count)
            item_insert(n, at, item, child);
        else
            item_insert(right, at - n->count, item, child);
        item = right->pairs[0];
        child = right;
        if (n == t->root) {
            root_grow(t, right);
            break;
        }
    }
    t->count++;
}

/* ---- removal ---- */

/* Restores the least fill of the nodes on the path, from the leaf up. */
static void path_refill(struct pairtree *t, struct path *path)
{
    for (uint32_t level = 0; level < t->root->level; level++) {
        struct node *n = path->node[level];
        if (n->count >= node_max(n) / 3)
            break;
        struct node *parent = path->node[level + 1];
        uint32_t slot = path->slot[level + 1];
        uint32_t left = slot > 0 ? slot - 1 : slot;
        assert(left + 1 < parent->count);
        if (children(parent)[left]->count + children(parent)[left + 1]->count > node_max(n)) {
            nodes_even(parent, left);
            break;
        }
        nodes_merge(t, parent, left);
    }
    while (t->root->level > 0 && t->root->count == 1) {
        struct node *root = t->root;
        t->root = children(root)[0];
        node_put(t, root);
    }
}

static bool same(struct pair x, struct pair y)
{
    return x.a == y.a && x.b == y.b;
}

void pairtree_remove(struct pairtree *t, struct pair p)
{
    struct path path;
    struct node *leaf = path_find(t, p, &path);
    uint32_t at = pairs_before(leaf->pairs, leaf->count, p, false);
    assert(at < leaf->count && same(leaf->pairs[at], p));
    item_remove(leaf, at);
    t->count--;
    path_refill(t, &path);
}

/* Would the pairs of the leaf, and the bounds above it, stay in order with p in place at? */
static bool fits_in_place(const struct node *leaf, uint32_t at, struct pair p)
{
    if (pair_less(leaf->pairs[at], p))
        return at + 1 < leaf->count && pair_less(p, leaf->pairs[at + 1]);
    return at > 0 && pair_less(leaf->pairs[at - 1], p);
}

void pairtree_replace(struct pairtree *t, struct pair old, struct pair now)
{
    struct path path;
    struct node *leaf = path_find(t, old, &path);
    uint32_t at = pairs_before(leaf->pairs, leaf->count, old, false);
    assert(at < leaf->count && same(leaf->pairs[at], old));
    if (fits_in_place(leaf, at, now)) {
        leaf->pairs[at] = now;
        return;
    }
    item_remove(leaf, at);
    t->count--;
    path_refill(t, &path);
    pairtree_insert(t, now);
}

/* ---- questions ---- */

struct pairtree_near pairtree_find(const struct pairtree *t, struct pair p)
{
    const struct node *n = t->root;
    while (n->level > 0)
        n = children((struct node *)(uintptr_t)n)[child_slot(n, p)];
    struct pairtree_near near = {0};
    uint32_t at = pairs_before(n->pairs, n->count, p, true);
    if (at > 0 || n->prev != NULL) {
        near.has_below = true;
        near.below = at > 0 ? n->pairs[at - 1] : n->prev->pairs[n->prev->count - 1];
    }
    if (at < n->count || n->next != NULL) {
        near.has_above = true;
        near.above = at < n->count ? n->pairs[at] : n->next->pairs[0];
    }
    return near;
}

uint64_t pairtree_count(const struct pairtree *t)
{
    return t->count;
}

uint64_t pairtree_memory_bytes(const struct pairtree *t)
{
    return sizeof *t + (t->nodes + t->stocked) * (NODE_BYTES + sizeof(size_t));
}
