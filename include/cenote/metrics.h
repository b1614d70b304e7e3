/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file metrics.h
 * What a client has done, and where its time goes.
 *
 * Concepts
 *   metrics  counters and histograms of one client since it was opened, as a text that Prometheus
 *            reads (doc/METRICS.md has the table). They are always counted, which costs a get or a
 *            put less than one per cent. An application that has a page for Prometheus appends the
 *            text to it; with several clients in a process the pages of a second one have the same
 *            names.
 *   trace    the newest spans of operations and of their stages, as a Chrome trace, which Perfetto
 *            (ui.perfetto.dev) opens. Off until it is switched on.
 *
 * Caveats
 *   - Only each 64th get that is answered from what the client knows already (a warm get over
 *     shared memory) is timed, and stands for the 64; all are counted.
 *   - Spans of operations in the background belong to no thread: the trace has them as events that
 *     overlap, each operation with its stages as a group of its own.
 *   - A trace that is on costs each stage of an operation some hundred nanoseconds. Fix: switch it
 *     off when enough has been seen.
 */
#ifndef CENOTE_METRICS_H
#define CENOTE_METRICS_H

#include <cenote/cenote.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What the client has done, in Prometheus' text format.
 * @param[out] text  the page, NUL-terminated; the caller frees it with free().
 * @return CENOTE_OK, CENOTE_INVALID or CENOTE_NO_MEMORY.
 * Any thread.
 */
CENOTE_API int cenote_metrics(struct cenote *client, char **text);

/**
 * Begins or ends tracing. Switched on again, it forgets the spans of before.
 * @return CENOTE_OK, CENOTE_INVALID or CENOTE_NO_MEMORY.
 * Any thread.
 */
CENOTE_API int cenote_trace(struct cenote *client, bool on);

/**
 * The newest spans as a Chrome trace: 4,096 for each thread, as long as there are at most 16.
 * @param[out] json  the trace, NUL-terminated; the caller frees it with free().
 * @return CENOTE_OK, CENOTE_INVALID or CENOTE_NO_MEMORY.
 * Any thread, while tracing is on or off.
 */
CENOTE_API int cenote_trace_dump(struct cenote *client, char **json);

#ifdef __cplusplus
}
#endif
#endif
