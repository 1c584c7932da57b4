/* Runs the model for one request. */
#ifndef EDGE_ANSWER_H
#define EDGE_ANSWER_H

#include "engine.h"

struct answer {
    const struct engine *engine;
    const struct lane *lane;
    const struct request *request;
    struct buffer *line;                     /* where lines are written */
    bool (*send)(void *context, const struct buffer *line); /* sends a line of a stream; false ends the answer */
    void *send_context;
    uint64_t prompt_tokens, generated_tokens; /* out */
};

/* Leaves the last line in answer->line, or says why there is none. */
bool answer_run(struct answer *answer, struct failure *failure);

#endif
