/* SPDX-License-Identifier: Apache-2.0 */
/* What the units can't see: leaks of sums and sockets, races of first use in many threads. */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "transport/base/endpoint.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"
#include "transport/base/sums.h"

#define THREADS     4
#define PAYLOAD_LEN (2u * SUMS_CHUNK_BYTES + 5u)

static const uint8_t payload[PAYLOAD_LEN];

static void *sum_it(void *arg)
{
    uint64_t *root = arg;
    struct sums *s = sums_new(PAYLOAD_LEN);
    assert(s != NULL);
    sums_update(s, payload, PAYLOAD_LEN);
    *root = sums_root(s);
    sums_free(s);
    log_info("test", "root %016llx", (unsigned long long)*root);
    return NULL;
}

static void sum_in_threads(void)
{
    pthread_t threads[THREADS];
    uint64_t roots[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        int rc = pthread_create(&threads[i], NULL, sum_it, &roots[i]);
        assert(rc == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert(roots[i] == roots[0]);
    }
}

static void use_sockets(void)
{
    struct endpoint e, bound;
    int rc = endpoint_parse("localhost:0", &e);
    assert(rc == 0);
    int listener = endpoint_listen(&e, 4, &bound);
    assert(listener >= 0);
    rc = endpoint_listen(&bound, 4, NULL);
    assert(rc < 0);
    int fd = endpoint_connect(&bound, 1000);
    assert(fd >= 0);
    close(fd);
    close(listener);
    rc = endpoint_connect(&bound, 1000);
    assert(rc < 0);
    /* Every descriptor went back: the lowest free one is the listener's again. */
    int again = dup(STDERR_FILENO);
    assert(again == listener);
    close(again);
}

int main(void)
{
    log_set_sink(log_to_stderr, NULL);
    sum_in_threads();
    use_sockets();
    return 0;
}
