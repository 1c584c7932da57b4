/* A model that is open, tested, and ready to answer: with a tokenizer and sessions for each worker. */
#ifndef EDGE_ENGINE_H
#define EDGE_ENGINE_H

#include <shrink.h>
#include <stdbool.h>

#include "options.h"
#include "request.h"

/* What one worker has for itself. NULL for what the model cannot do. */
struct lane {
    shrink_tokenizer *tokenizer;
    shrink_session *sessions[MODEL_OPERATION_COUNT];
};

struct engine {
    shrink_model *model;
    unsigned references;  /* of the server, and of each request that runs; under the server's lock */
    char fingerprint[65]; /* hexadecimal */
    uint32_t columns[MODEL_OPERATION_COUNT]; /* of the outputs; 0 for what the model cannot do */
    uint32_t contexts[MODEL_OPERATION_COUNT]; /* tokens that their sessions take */
    unsigned lane_count;
    struct lane lanes[];
};

/* Opens the file, checks all of it, runs its self-test and makes the sessions of all workers. NULL after a line in the
 * log that says what is wrong, with its `reason`. */
struct engine *engine_open(const struct options *options, shrink_code *reason);
void engine_free(struct engine *engine);

/* The names of what it can do, such as "embed and classify". */
const char *engine_operations(const struct engine *engine);

#endif
